"""Images of picked latents: moved along directions, walked between, with mixed styles.

A pick is a sample's number for a seed, so that several generators can be given the same latents.
Latents have one style (no style mixing but the one that is asked for), as in the command `mix`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from egan.backbones import Rows
from egan.backbones.stylegan.latents import Latents
from egan.backbones.stylegan.networks import Generator
from egan.data.pixels import to_uint8
from runs.common.errors import ConfigError
from runs.sampling.conditions import Asked, asked_for
from runs.sampling.latent import Route, style_ranges, walk
from runs.sampling.sampler import BATCH, Sampler
from runs.sampling.styled import StyledGenerator
from runs.sampling.translation_grid import visible

LARGEST_SEED = 2**53 - 1  # that a browser's numbers hold
MOVES = 6  # directions with a slider
SIDE = 32  # pixels of the images by which directions are found
SEED = 0  # of the samples by which they are found

Latent: TypeAlias = tuple[Rows, Tensor | None]  # noise (N rows), and conditions (N, size)


@dataclass(frozen=True)
class Pick:
    """A picked latent: the sample `number` of a seed, moved along directions.

    Attributes:
        seed: of the samples.
        number: which of them, below `BATCH`.
        moves: how far along each direction, in standard deviations of a latent. Short latents have
            fewer directions; what is said of others does nothing.
    """

    seed: int
    number: int
    moves: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """What it is called on the page."""
        moved = ", moved" if any(self.moves) else ""
        return f"seed {self.seed}, image {self.number}{moved}"


@dataclass(frozen=True)
class Wish:
    """What all images are asked for; a generator that cannot be asked for it makes its own.

    Attributes:
        psi: truncation of styles; None: none.
        classes: their names, in turn; none: those of the data.
        tags: of each image; none: those of the data.
    """

    psi: float | None = None
    classes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def of(self, sampler: Sampler) -> tuple[Sampler, Asked | None]:
        """Return a sampler that does so, and the conditions of its images; None: the data's.

        Raises:
            ConfigError: it knows no such class or tag, or psi is no number.
        """
        if has_styles(sampler):
            sampler = sampler.truncated(self.psi)
        card = sampler.conditions
        if card is None:
            return sampler, None
        if card.conditions.kind == "labels":
            return sampler, asked_for(card, classes=self.classes)
        return sampler, asked_for(card, tags=[",".join(self.tags)] if self.tags else ())


def seed_of(value: object) -> int:
    """Return the seed that was typed in.

    Raises:
        ConfigError: it is none.
    """
    whole = isinstance(value, int | float) and isfinite(value) and value == int(value)
    if not whole or not 0 <= value <= LARGEST_SEED:  # type: ignore[operator]
        arrived = "nothing" if value is None else f"{value:g}" if whole else f"{value}"
        raise ConfigError(
            f"a seed is a whole number from 0 to {LARGEST_SEED}, such as 7; {arrived} arrived"
        )
    return int(value)  # type: ignore[call-overload,no-any-return]


def has_styles(sampler: Sampler) -> bool:
    """Tell whether a sampler's generator has styles, which can be truncated and mixed."""
    return isinstance(sampler.function.module, Generator)


# ------------------------------------------------------------------------------------ latents


def sample_rows(sampler: Sampler, asked: Asked | None, seed: int, count: int) -> Latent:
    """Return the noise of the first `count` samples of a seed, and their conditions, if any."""
    rows = sampler.inputs(count, seed)
    if isinstance(rows, Latents):
        rows = replace(rows, z2=None, crossover=None)  # one style each
    return rows, sampler.asked(None if asked is None else asked.cycled(count), 0, count, seed)


def latent_of(
    sampler: Sampler, asked: Asked | None, pick: Pick, directions: Tensor | None = None
) -> Latent:
    """Return a pick's noise, one row, and its condition (1, size), if any.

    Args:
        sampler: makes the images.
        asked: the conditions of its samples, in turn; None: those of the data.
        pick: which sample.
        directions: see `directions`; needed if the pick is moved.
    """
    rows, told = sample_rows(sampler, asked, pick.seed, pick.number + 1)
    rows = rows[pick.number :]
    if any(pick.moves):
        assert directions is not None
        moves = torch.tensor(pick.moves[: len(directions)], device=directions.device)
        rows = _with_z(rows, _z_of(rows) + moves @ directions[: len(moves)])
    return rows, None if told is None else told[pick.number :]


def directions(sampler: Sampler) -> Tensor:
    """Return the directions of z that change images most on average, (K, latent), K <= `MOVES`.

    They are the first left singular vectors of E[z x^T], which for normal z is the expected
    Jacobian of the image x (Stein's lemma), over the first `BATCH` samples of a seed. Each one's
    largest component is positive.

    Raises:
        ConfigError: the generator's noise is of another kind than rows of numbers.
    """
    rows, told = sample_rows(sampler, None, SEED, BATCH)
    z = _z_of(rows).double()
    small = [
        F.adaptive_avg_pool2d(images, min(SIDE, images.shape[-1])).flatten(1).double()
        for images in sampler.floats(rows, told)
    ]
    x = torch.cat(small)
    effect = z.T @ (x - x.mean(0)) / len(z)  # (latent, pixels)
    _, vectors = torch.linalg.eigh(effect @ effect.T)  # rising
    first = vectors.T.flip(0)[:MOVES]
    largest = first.gather(1, first.abs().argmax(1, keepdim=True))
    found: Tensor = first * largest.sign()
    return found.float()


def _z_of(rows: Rows) -> Tensor:
    z = rows.z if isinstance(rows, Latents) else rows
    if not isinstance(z, Tensor) or z.dim() != 2:
        raise ConfigError("this generator's noise is of a kind of its own, which cannot be moved")
    return z


def _with_z(rows: Rows, z: Tensor) -> Rows:
    z = z.to(_z_of(rows))
    return replace(rows, z=z) if isinstance(rows, Latents) else z


# ------------------------------------------------------------------------------------- images


def images_of(sampler: Sampler, rows: Rows, told: Tensor | None) -> np.ndarray:
    """Return the images of noise and conditions, uint8 (N, H, W, 3)."""
    return shown(sampler.floats(rows, told))


def walked(sampler: Sampler, start: Latent, end: Latent, steps: int) -> np.ndarray:
    """Return the images of a walk between two latents, uint8 (steps, H, W, 3), both ends included.

    It is a line in W where there are styles, else an arc in z; conditions change linearly. The
    noise of the pixels stays that of the start.
    """
    (first, told), (last, wanted) = start, end
    conditions = None
    if told is not None and wanted is not None:
        conditions = _open_walk(torch.cat([told, wanted]), steps, "linear")
    if has_styles(sampler):
        generator = StyledGenerator.of(sampler, "a walk")
        assert isinstance(first, Latents)
        w = torch.cat([generator.map(_z_of(first), told), generator.map(_z_of(last), wanted)])
        styles = generator.styles(_open_walk(w, steps, "linear"), conditions)
        return shown(generator.parts(styles, first.seeds.expand(steps)))
    z = _open_walk(torch.cat([_z_of(first), _z_of(last)]), steps, "spherical")
    return images_of(sampler, z, conditions)


def _open_walk(ends: Tensor, steps: int, route: Route) -> Tensor:
    """Return `steps` points (steps, D) from the first of two ends to the second."""
    return walk(ends, steps - 1, route)[:steps]


def mixed(sampler: Sampler, own: Latent, other: Latent, parts: Sequence[str]) -> np.ndarray:
    """Return an image with another one's styles in some ranges, uint8 (1, H, W, 3).

    Args:
        sampler: makes the images.
        own: the noise and the condition of the image.
        other: those of the other one.
        parts: names of `style_ranges`.

    Raises:
        ConfigError: the generator has no styles.
    """
    generator = StyledGenerator.of(sampler, "mixing styles")
    styles, others = (
        generator.styles(generator.map(_z_of(rows), told), told) for rows, told in (own, other)
    )
    made = styles.clone()
    for name, layers in style_ranges(generator.stage.resolution).items():
        if name in parts:
            made[:, layers.start : layers.stop] = others[:, layers.start : layers.stop]
    assert isinstance(own[0], Latents)
    return shown(generator.parts(made, own[0].seeds))


def shown(parts: Iterable[Tensor]) -> np.ndarray:
    """Return images (N, C, H, W) in [-1, 1], in parts, as they are looked at, uint8."""
    return visible(to_uint8(torch.cat(list(parts))).cpu().numpy())
