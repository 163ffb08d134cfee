"""What is seen on the page: pictures of some generators, as functions of the controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from runs.common.errors import ConfigError
from runs.dissection.editing import difference
from runs.explore.catalogue import Shown
from runs.explore.drawings import given_image, translation
from runs.explore.latents import (
    Latent,
    Pick,
    Wish,
    has_styles,
    images_of,
    latent_of,
    mixed,
    sample_rows,
    shown,
    walked,
)
from runs.explore.units import OFF, changed_images, dissected, edits, repair_of
from runs.sampling.pictures import MARGIN, image_grid
from runs.sampling.repair import repaired
from runs.sampling.sampler import Sampler

CELL = 128  # pixels that small images are enlarged to, in a grid
BESIDE = 256  # the same of two or three beside each other
ALONE = 384  # the same of single ones
COUNTS = (4, 9, 16, 25, 36)  # of samples
A, B = (230, 120, 20), (30, 110, 220)  # colours of the picked images' frames


@dataclass(frozen=True)
class Picture:
    """A picture, uint8 (H, W, 3), and what stands under it."""

    title: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Controls:
    """What the controls of the page say.

    Attributes:
        wish: what all images are asked for.
        seed: of the samples.
        count: of the samples.
        a: the first picked latent.
        b: the second.
        steps: of the walk.
        parts: of A's styles that B's are put in place of.
        switches: names of units that are changed.
        amount: how they are changed.
        repair: the file of the units that a repair switches off; "": there is none.
    """

    wish: Wish = field(default_factory=Wish)
    seed: int = 0
    count: int = 16
    a: Pick = field(default_factory=lambda: Pick(0, 0))
    b: Pick = field(default_factory=lambda: Pick(0, 1))
    steps: int = 8
    parts: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    amount: str = OFF
    repair: str = ""


def sheet(images: np.ndarray, columns: int, side: int = CELL) -> np.ndarray:
    """Return a grid (H, W, 3) of images (N, H, W, 3), small ones enlarged by a whole factor."""
    factor = max(1, side // max(images.shape[1:3]))
    return image_grid(images.repeat(factor, 1).repeat(factor, 2), columns)


def columns_of(count: int) -> int:
    """Return how many samples make a line."""
    return int(np.ceil(np.sqrt(count)))


# --------------------------------------------------------------------------- what can be seen


def sample_view(some: Sequence[Shown], asked: Controls) -> list[Picture]:
    """Return the samples of each generator."""
    return [
        Picture(
            one.title + one.sampler.fading, sheet(_samples(one, asked), columns_of(asked.count))
        )
        for one in some
    ]


def move_view(some: Sequence[Shown], asked: Controls) -> list[Picture]:
    """Return A as it was picked, and moved along directions; these are the first generator's."""
    pictures = []
    for one in some:
        sampler, told = asked.wish.of(one.sampler)
        pair = [
            images_of(sampler, *latent_of(sampler, told, pick, some[0].directions))
            for pick in (replace(asked.a, moves=()), asked.a)
        ]
        pictures.append(
            Picture(f"{one.title}; A as picked, and moved", sheet(np.concatenate(pair), 2, BESIDE))
        )
    return pictures


def walk_view(some: Sequence[Shown], asked: Controls) -> list[Picture]:
    """Return a walk from A to B by each generator."""
    pictures = []
    for one in some:
        sampler, a, b = _picked(one, some[0], asked)
        images = walked(sampler, a, b, asked.steps)
        pictures.append(Picture(f"{one.title}; from A to B", sheet(images, asked.steps)))
    return pictures


def mix_view(some: Sequence[Shown], asked: Controls) -> list[Picture]:
    """Return A, A with some of B's styles, and B, by each generator with styles.

    Raises:
        ConfigError: none has styles.
    """
    pictures = []
    for one in some:
        if has_styles(one.sampler):
            sampler, a, b = _picked(one, some[0], asked)
            images = [
                images_of(sampler, *a),
                mixed(sampler, a, b, asked.parts),
                images_of(sampler, *b),
            ]
            pictures.append(
                Picture(f"{one.title}; A, mixed, B", sheet(np.concatenate(images), 3, BESIDE))
            )
    if not pictures:
        raise ConfigError(
            "only generators with styles (backbone.name: stylegan) can be mixed, and none is shown"
        )
    return pictures


def unit_view(some: Sequence[Shown], asked: Controls) -> list[Picture]:
    """Return samples of the first generator with and without changes of units.

    Raises:
        ConfigError: it was not dissected.
    """
    one = some[0]
    changes = edits(dissected(one), asked.switches, asked.amount)
    sampler, told = asked.wish.of(one.sampler)
    latents = sample_rows(sampler, told, asked.seed, asked.count)
    before, after = (changed_images(sampler, own, *latents) for own in ((), changes))
    return _compared(one.title, before, f"units {asked.amount}", after)


def repair_view(some: Sequence[Shown], asked: Controls) -> list[Picture]:
    """Return samples of the first generator, raw and repaired.

    Raises:
        ConfigError: there is no file of units, or they are of another generator.
    """
    one = some[0]
    units = repair_of(one, asked.repair)
    sampler, told = asked.wish.of(one.sampler)
    latents = sample_rows(sampler, told, asked.seed, asked.count)
    before, after = (
        torch.cat(list(own.floats(*latents))) for own in (sampler, repaired(sampler, units))
    )
    return _compared(f"{one.title}, raw", before, "repaired", after)


VIEWS: Mapping[str, Callable[[Sequence[Shown], Controls], list[Picture]]] = {
    "Samples": sample_view,
    "Change A": move_view,
    "Walk": walk_view,
    "Mix": mix_view,
    "Units": unit_view,
    "Repair": repair_view,
}


def translation_view(
    some: Sequence[Shown], content: bytes | None, name: str, resize: bool, backwards: bool
) -> list[Picture]:
    """Return an image as translators get it, and its translations.

    Args:
        some: the translators.
        content: of the image's file; None: there is none yet.
        name: of the file.
        resize: whether it is brought to the size of the training.
        backwards: whether it is translated from B to A, by runs of two sets.

    Raises:
        ConfigError, DataError: it cannot be read or translated.
    """
    pictures: list[Picture] = []
    if content is None:
        return pictures
    for one in some:
        translator = one.translator.reversed() if backwards else one.translator
        image, given = given_image(content, name, translator, resize)
        if not pictures:
            pictures.append(Picture(f"given: {name}", sheet(given[None], 1, ALONE)))
        made = translation(translator, image, resize)
        pictures.append(Picture(one.title, sheet(made[None], 1, ALONE)))
    return pictures


# -------------------------------------------------------------------------------- the picker


def picker(one: Shown, asked: Controls) -> np.ndarray:
    """Return the samples of a generator, with frames around A and B if they are among them."""
    columns = columns_of(asked.count)
    pixels = sheet(_samples(one, asked), columns)
    rows = -(-asked.count // columns)
    for pick, colour in ((asked.b, B), (asked.a, A)):
        if pick.seed == asked.seed and pick.number < asked.count:
            _frame(pixels, rows, columns, pick.number, colour)
    return pixels


def picked(x: int, y: int, shape: tuple[int, ...], count: int) -> int | None:
    """Return the number of the sample at a place of a picker's picture; None: there is none.

    Args:
        x: column of the place.
        y: row of the place.
        shape: of the picture, (H, W, 3).
        count: of the samples.
    """
    columns = columns_of(count)
    rows = -(-count // columns)
    number = min(y * rows // shape[0], rows - 1) * columns + min(
        x * columns // shape[1], columns - 1
    )
    return number if 0 <= number < count else None


def _frame(
    pixels: np.ndarray, rows: int, columns: int, number: int, colour: tuple[int, int, int]
) -> None:
    """Draw a frame into the margin around an image of a grid."""
    row, column = divmod(number, columns)
    height = (pixels.shape[0] - MARGIN) // rows
    width = (pixels.shape[1] - MARGIN) // columns
    top, left = row * height, column * width
    bottom, right = top + height + MARGIN, left + width + MARGIN
    thick = 3 * MARGIN
    for part in (
        np.s_[top : top + thick, left:right],
        np.s_[bottom - thick : bottom, left:right],
        np.s_[top:bottom, left : left + thick],
        np.s_[top:bottom, right - thick : right],
    ):
        pixels[part] = colour


# ------------------------------------------------------------------------------------ common


def _compared(first: str, before: Tensor, second: str, after: Tensor) -> list[Picture]:
    """Return images, float (N, C, H, W) in [-1, 1], before and after, and the difference."""
    grey, most = difference(before, after)
    columns = columns_of(len(before))
    return [
        Picture(first, sheet(shown([before]), columns)),
        Picture(second, sheet(shown([after]), columns)),
        Picture(f"difference; white is {most:.0f} of 255", sheet(grey, columns)),
    ]


def _samples(one: Shown, asked: Controls) -> np.ndarray:
    sampler, told = asked.wish.of(one.sampler)
    return images_of(sampler, *sample_rows(sampler, told, asked.seed, asked.count))


def _picked(one: Shown, first: Shown, asked: Controls) -> tuple[Sampler, Latent, Latent]:
    """Return a generator's sampler, and A and B; A is moved along the first one's directions."""
    sampler, told = asked.wish.of(one.sampler)
    directions = first.directions if any(asked.a.moves) else None
    return (
        sampler,
        latent_of(sampler, told, asked.a, directions),
        latent_of(sampler, told, asked.b),
    )
