"""The mutations: adversarial objectives that turn one parent into different children.

Wang et al., Evolutionary GAN, arXiv 1803.00657, section 3.2. D(G(z)) = sigmoid(logit) is the
discriminator's probability that a fake is real; each mutation maps the logits (N, ...) of a child's
fakes to the scalar loss that the child descends. A user adds one with the decorator, or names it
in a config by import path, `package.module:function`:

    @mutation
    def maximum_likelihood(logits):
        return -logits.exp().mean() / 2

A mutation may look at the logits of as many reals, too, as relativistic losses do:

    @mutation
    def relativistic_least_squares(fake, real):
        return (fake - real - 1).square().mean()
"""

import inspect
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import softplus

from egan.imports import import_named
from fitness.suggestion import nearest

Mutation = Callable[..., Tensor]  # of the logits of fakes, or of fakes and reals
MUTATIONS: dict[str, Mutation] = {}
ALIASES = {"minmax": "minimax", "hinge": "wasserstein"}  # a hinge is D's; G's loss is the same


def canonical(name: str) -> str:
    """Return the registered spelling of a mutation's name."""
    return ALIASES.get(name, name)


@cache
def takes_reals(function: Mutation) -> bool:
    """Return whether a mutation wants the logits of reals beside those of fakes.

    Raises:
        ValueError: it takes neither one argument nor two.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions do not say
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) and required <= 1:
        return False
    if required not in (1, 2) or any(
        p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters
    ):
        name = getattr(function, "__name__", repr(function))
        raise ValueError(
            f"mutation {name}{inspect.signature(function)} must take the logits of fakes, (fake), "
            "or those of fakes and reals, (fake, real)"
        )
    return required == 2


def mutation(function: Mutation) -> Mutation:
    """Register a mutation under its function's name; a reloaded one takes its old self's place.

    Raises:
        ValueError: a different function has that name already, or it takes other arguments.
    """
    name = function.__name__
    takes_reals(function)
    registered = MUTATIONS.get(canonical(name), function)
    known = (registered.__module__, registered.__qualname__)
    if known != (function.__module__, function.__qualname__):
        raise ValueError(f"a mutation named {name!r} exists already: choose another function name")
    MUTATIONS[name] = function
    return function


@mutation
def minimax(logits: Tensor) -> Tensor:
    """Minimise the probability that D is right about the fakes."""
    return -softplus(logits).mean() / 2  # 1/2 E[log(1 - D(G(z)))]


@mutation
def heuristic(logits: Tensor) -> Tensor:
    """Maximise the probability that D is wrong; does not saturate when D rejects."""
    return softplus(-logits).mean() / 2  # -1/2 E[log D(G(z))]


@mutation
def least_squares(logits: Tensor) -> Tensor:
    """Bring D's probability to 1 by squared error; as published, on the probability."""
    return (torch.sigmoid(logits) - 1).square().mean()  # E[(D(G(z)) - 1)^2]


@mutation
def least_squares_logit(logits: Tensor) -> Tensor:
    """Bring D's raw logit to 1 by squared error, as the authors' PyTorch code does."""
    return (logits - 1).square().mean()  # E[(C(G(z)) - 1)^2]


@mutation
def blend(logits: Tensor) -> Tensor:
    """Descend the mean of the paper's three losses at once.

    Averaging the children of the three after one step is, but for Adam's scale, this step.
    """
    return (minimax(logits) + heuristic(logits) + least_squares(logits)) / 3


@mutation
def wasserstein(logits: Tensor) -> Tensor:
    """Raise D's raw logit: Arjovsky et al., 1701.07875; under a hinge, Lim and Ye, 1705.02894."""
    return -logits.mean()  # -E[C(G(z))]


@mutation
def relativistic(fake: Tensor, real: Tensor) -> Tensor:
    """Raise a fake's logit above that of a real: Jolicoeur-Martineau, 1807.00734; R3GAN."""
    return softplus(real - fake).mean()  # -E[log D], D = sigmoid(C(G(z)) - C(x)) of pairs


@mutation
def no_adversary(logits: Tensor) -> Tensor:
    """Leave the critics out: the child descends the game's own loss alone, such as L1."""
    return 0 * logits.mean()


def resolve(name: str) -> Mutation:
    """Return the mutation of a registered name or an import path `package.module:function`.

    Raises:
        ValueError: there is none; the message names the nearest one.
    """
    name = canonical(name)
    if name in MUTATIONS:
        return MUTATIONS[name]
    if ":" in name:
        found = import_named(name)
        if not callable(found):
            raise ValueError(f"mutation {name!r} is a {type(found).__name__}, not a function")
        takes_reals(found)
        return found  # type: ignore[no-any-return]
    raise ValueError(
        f"no mutation {name!r}{nearest(name, MUTATIONS)} Known: {', '.join(MUTATIONS)}; "
        "or an import path, package.module:function"
    )
