"""Networks of a user's own, named by import path: `backbone.name: my_package.module:MyNetworks`.

The class is a `Backbone`: its fields are the section's keys, `build(shape)` gives the networks. It
takes conditions if it has `build_conditional`, too.
"""

from collections.abc import Callable
from typing import Any

import torch
from pydantic import ValidationError, ValidationInfo

from egan.backbones.networks import Backbone, Networks
from egan.data.condition import Conditions
from egan.imports import import_named, imports
from egan.tensor_tree import leaves


class NotImported(Backbone, extra="allow", frozen=True):
    """A user's backbone whose class was not looked up: it can be shown, but not built."""

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Refuse to.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"backbone.name: {self.name} was not imported")


def import_backbone(values: Any, built_in: Callable[[Any], Any], info: ValidationInfo) -> Any:
    """Return the config of the section `backbone`: one of the project's, or of the named class.

    Raises:
        ValueError: the class cannot be imported, or is no backbone, or refuses the values.
    """
    name = values.get("name") if isinstance(values, dict) else None
    if not isinstance(name, str) or ":" not in name:
        own = isinstance(values, Backbone) and ":" in values.name  # checked already
        return values if own else built_in(values)
    found = _class_of(name) if imports(info) else NotImported
    try:
        return found.model_validate(values)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()
        ]
        raise ValueError(f"{name} refuses its keys: {'; '.join(faults)}") from None


def _class_of(name: str) -> type[Backbone]:
    found = import_named(name)
    if not (isinstance(found, type) and issubclass(found, Backbone)):
        raise ValueError(
            f"{name!r} is no backbone: it must be a class derived from "
            "egan.backbones.Backbone, with a method build(shape) that returns Networks"
        )
    return found


def check_networks(
    name: str,
    networks: Any,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    classify: bool = False,
) -> Networks:
    """Return a user's networks if they can make and judge two samples.

    `conditions` and `classify` are what `build_conditional` made them with, if it did.

    Raises:
        ValueError: they are no networks for samples of `shape`; the message says what they gave.
    """
    if not isinstance(networks, Networks):
        method = "build_conditional" if conditions else "build"
        raise ValueError(f"{name}.{method} returned a {type(networks).__name__}, not Networks")
    given = (torch.eye(2, conditions.size),) if conditions else ()
    try:
        weights = [
            function.initialise(torch.Generator().manual_seed(0))
            for function in (networks.generator, networks.discriminator)
        ]
        noise = networks.noise(2, torch.Generator().manual_seed(0))
        with torch.no_grad():
            fakes, _ = networks.generator(weights[0], noise, *given)
            logits, _ = networks.discriminator(weights[1], fakes, *(() if classify else given))
    except Exception as error:  # a user's networks may raise anything
        raise ValueError(f"{name} fails on two samples: {type(error).__name__}: {error}") from error
    if tuple(fakes.shape) != (2, *shape):
        raise ValueError(
            f"{name}: the generator gave {tuple(fakes.shape)} for 2 samples; the data need "
            f"{(2, *shape)}"
        )
    if conditions and classify and tuple(logits.shape) != (2, 1 + conditions.size):
        raise ValueError(
            f"{name}: the discriminator gave {tuple(logits.shape)} for 2 samples; to predict "
            f"the condition it must give {(2, 1 + conditions.size)}, the logit and one value for "
            "each place of the condition"
        )
    if logits.shape[:1] != (2,):
        raise ValueError(
            f"{name}: the discriminator gave logits {tuple(logits.shape)} for 2 samples; one row "
            "for each is needed, (2,) or (2, ...)"
        )
    again = [
        function.initialise(torch.Generator().manual_seed(0))
        for function in (networks.generator, networks.discriminator)
    ]
    for role, one, two in zip(("generator", "discriminator"), weights, again, strict=True):
        pairs = zip(leaves(one), leaves(two), strict=True)
        if not all(torch.equal(a, b) and a.isfinite().all() for a, b in pairs):
            raise ValueError(
                f"{name}: the {role}'s initial weights are not finite, or differ from call to call "
                "with the same random generator: fill every parameter and buffer from it"
            )
    return networks
