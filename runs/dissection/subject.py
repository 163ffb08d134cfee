"""The generator that is looked into: its images with their layers' maps, and its layers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from egan.backbones import Rows
from egan.backbones.function import NetworkFunction
from egan.backbones.taps import tapped
from fitness.digest import digest
from fitness.suggestion import nearest
from runs.common.errors import ConfigError
from runs.sampling.conditions import Asked
from runs.sampling.generators import is_generator
from runs.sampling.repair import layers_of, weights_of
from runs.sampling.sampler import BATCH, Sampler
from runs.store.folder import RunFolder

ALL = "all"
Maps = dict[str, Tensor]  # by layer, (N, U, h, w)


@dataclass(frozen=True)
class Subject:
    """A generator of images.

    Attributes:
        path: the folder of the run, or of the generator.
        name: what it comes from, such as the newest snapshot.
        sampler: makes the images.
        asked: what samples are asked for; None: nothing.
        seed: of the samples.
    """

    path: Path
    name: str
    sampler: Sampler
    asked: Asked | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sampler.images:
            raise ConfigError(
                f"{self.path}: the samples are points, whose generator has no maps; images are "
                "needed"
            )

    @property
    def run(self) -> RunFolder | None:
        """The run; None: a generator alone."""
        return None if is_generator(self.path) else RunFolder(self.path)

    @property
    def function(self) -> NetworkFunction:
        """The generator's network."""
        return self.sampler.function

    @property
    def weights(self) -> str:
        """A hash of the generator's weights."""
        return weights_of(self.sampler)

    @property
    def identity(self) -> str:
        """A hash of all that decides its images."""
        sampler, asked = self.sampler, self.asked
        how = (sampler.psi, sampler.cutoff, sampler.stage, sampler.shown, self.seed)
        told = () if asked is None else (asked.vectors,)
        off = () if sampler.repair is None else (sampler.repair.model_dump_json(),)
        return digest(self.weights, str(how), *told, *off, *sampler.given)

    def images(self, first: int, count: int) -> Iterator[Tensor]:
        """Yield images, float (n, C, H, W) in [-1, 1], in the reals' size, a part at a time."""
        for images, _ in self.seen(first, count, ()):
            yield images

    def seen(
        self, first: int, count: int, layers: Sequence[str], skip: int = 0
    ) -> Iterator[tuple[Tensor, Maps]]:
        """Yield the same images and the maps of some layers, by name, a part at a time.

        Args:
            first: the number of the first sample, a multiple of `BATCH`.
            count: how many.
            layers: whose maps are taken.
            skip: how many images are left out at the beginning, in whole parts.
        """
        passed = skip // BATCH * BATCH
        for number, noise, told in self.parts(first + passed, count - passed):
            if passed < skip:
                passed += number
                continue
            with tapped(self.function, layers) as maps, torch.no_grad():
                images = self.sampler.enlarged(self.sampler.fakes(noise, told))
            yield images[:number], {layer: maps[layer][:number] for layer in layers}

    def parts(self, first: int, count: int) -> Iterator[tuple[int, Rows, Tensor | None]]:
        """Yield what samples are made from; see `Sampler.parts`."""
        told = None if self.asked is None else self.asked.cycled(first + count)
        return self.sampler.parts(first, count, self.seed, told)

    def layers(self) -> dict[str, tuple[int, ...]]:
        """Return the layers with maps, and the maps' shapes (U, h, w), in the order of calls."""
        return layers_of(self.sampler)

    def chosen(self, layer: str) -> dict[str, tuple[int, ...]]:
        """Return the layer of a name, or of all the last one of each shape, and the maps' shapes.

        Raises:
            ConfigError: there is no such layer, or it has no maps.
        """
        known = self.layers()
        if layer == ALL:
            last = {shape: name for name, shape in known.items()}
            return {name: shape for name, shape in known.items() if last[shape] == name}
        if layer not in known:
            there = ", ".join(
                f"{name} ({' x '.join(map(str, own))})" for name, own in known.items()
            )
            raise ConfigError(
                f"--layer: no layer {layer!r} with maps{nearest(layer, [*known, ALL])} There are: "
                f"{there or 'none'}; or all"
            )
        return {layer: known[layer]}


def second_half(count: int) -> int:
    """Return the number of the first sample of a second set, after `count` of a first."""
    return -(-count // BATCH) * BATCH
