"""Tools for a generator's latent space: style mixing, interpolation, stochastic variation.

The figures are those of Karras et al., arXiv 1812.04948: 3 (mixing) and 4 (noise). Everything is a
function of a run's snapshot and a seed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from egan.backbones import Rows
from egan.backbones.progressive.growth import doublings
from egan.backbones.stylegan.latents import Latents
from egan.data.pixels import to_uint8
from fitness.features import Progress
from fitness.metrics.ppl import arc, line
from runs.common.errors import ConfigError
from runs.sampling.conditions import Asked
from runs.sampling.pictures import check_picture
from runs.sampling.sampler import BATCH, Sampler
from runs.sampling.styled import StyledGenerator

COARSE_TO_FINE = ("coarse", "middle", "fine")
BACKGROUND = 128  # grey of a grid's empty cell, as that of its margins
Space = Literal["z", "w"]
Route = Literal["linear", "spherical"]


# ------------------------------------------------------------------------------------ style mixing


def style_ranges(resolution: int) -> dict[str, range]:
    """Return the layers whose styles are coarse, middle and fine, as far as there are any.

    At 1024 pixels they are the paper's: up to 8, up to 32, and above; with fewer resolutions, a
    third of them each.
    """
    sides = doublings(4, resolution)
    coarse = min(2, ceil(len(sides) / 3))
    middle = min(2, ceil((len(sides) - coarse) / 2))
    ends = (0, 2 * coarse, 2 * (coarse + middle), 2 * len(sides))
    ranges = map(range, ends[:-1], ends[1:])
    return {name: part for name, part in zip(COARSE_TO_FINE, ranges, strict=True) if part}


def mixing_grid(
    sampler: Sampler,
    seed: int,
    columns: int,
    rows: int,
    asked: Asked | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return the cells of figure 3, uint8 (N, H, W, C), `columns` + 1 in a line.

    The first line has the sources; each line below an image of its own, and then the same image
    with styles of the source above: `rows` lines with the coarse ones, then the middle, the fine.
    All images share their noise. Sources and images of one's own have the conditions `asked` in
    turn; None: those that `sample` gives them.

    Raises:
        ConfigError: the generator has no styles, or too many images are asked for.
    """
    generator = StyledGenerator.of(sampler, "mix")
    lines_below = rows * len(style_ranges(generator.stage.resolution))
    check_picture((1 + lines_below) * (1 + columns), sampler.sample_shape)
    latents = _latents(sampler, seed, columns + rows)
    conditions = _conditions(sampler, seed, columns + rows, asked)
    styles = generator.styles(generator.map(latents.z, conditions), conditions)
    sources, targets = styles[:columns], styles[columns:]
    lines = [sources]
    for layer_range in style_ranges(generator.stage.resolution).values():
        part = slice(layer_range.start, layer_range.stop)
        for target in targets:
            mixed = target.repeat(columns, 1, 1)  # (columns, layers, style)
            mixed[:, part] = sources[:, part]
            lines += [target[None], mixed]
    every = torch.cat(lines)
    parts = generator.parts(every, latents.seeds[:1].expand(len(every)))
    images = _drawn(parts, len(every), progress)
    return np.concatenate([np.full_like(images[:1], BACKGROUND), images])


# ----------------------------------------------------------------------------------- interpolation


def walk(points: Tensor, frames: int, route: Route) -> Tensor:
    """Return a closed walk through points (K, D), `frames` from each to the next: (K frames, D)."""
    t = (torch.arange(frames, device=points.device) / frames).repeat(len(points))
    starts, ends = (p.repeat_interleave(frames, 0) for p in (points, points.roll(-1, 0)))
    return (arc if route == "spherical" else line)(starts, ends, t).to(points)


def interpolation(
    sampler: Sampler,
    seed: int,
    points: int,
    frames: int,
    space: Space = "z",
    route: Route = "linear",
    asked: Asked | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return the images of a closed walk through `points` latents, uint8 (points frames, H, W, C).

    The noise of a generator with noise stays the same. A spherical walk is in z. Of a generator
    that takes conditions, the walk is through those of the latents, too: the ones that `sample`
    gives them, or the one that is asked for. Where several are asked for, it is through these, with
    one latent, and `points` is their number.

    Raises:
        ConfigError: samples are points, the generator has no w, or the walk is spherical in w.
    """
    if not sampler.images:
        raise ConfigError("interpolate makes images, and this run's samples are points")
    if space == "w" and route == "spherical":
        raise ConfigError("a spherical path is in z, whose prior is spherical; w takes linear")
    fixed = asked is not None and len(asked) > 1
    check_picture(points * frames, sampler.sample_shape)
    told = _conditions(sampler, seed, points, asked)
    conditions = None if told is None else walk(told, frames, "linear")
    if space == "w":
        generator = StyledGenerator.of(sampler, "interpolate --space w")
        latents = _latents(sampler, seed, points)
        z = latents.z[:1].expand(points, -1) if fixed else latents.z
        w = walk(generator.map(z, told), frames, route)
        parts = generator.parts(generator.styles(w, conditions), latents.seeds[:1].expand(len(w)))
        return _drawn(parts, points * frames, progress)
    noise = _inputs(sampler, seed, points)
    ends = noise.z if isinstance(noise, Latents) else noise
    assert isinstance(ends, Tensor)
    rows: Rows = ends[:1].expand(points * frames, -1) if fixed else walk(ends, frames, route)
    if isinstance(noise, Latents):
        assert isinstance(rows, Tensor)
        rows = Latents(rows, noise.seeds[:1].expand(len(rows)))
    return _drawn(sampler.floats(rows, conditions), points * frames, progress)


# ------------------------------------------------------------------------------------------- noise


@dataclass(frozen=True)
class Variation:
    """What noise changes: cells uint8 (N, H, W, C), how many make a line, and the largest std.

    A line has one latent with several noises, and at its end the standard deviation of every pixel
    over many, 255 being the largest of all lines, `largest` of 255.
    """

    cells: np.ndarray
    columns: int
    largest: float


def noise_variation(
    sampler: Sampler,
    seed: int,
    rows: int,
    columns: int,
    realisations: int = 100,
    asked: Asked | None = None,
    progress: Progress | None = None,
) -> Variation:
    """Return figure 4: `columns` images of each of `rows` latents, and the standard deviation map.

    Latents have the conditions `asked` in turn; None: those that `sample` gives them.

    Raises:
        ConfigError: the generator takes no noise, or too many images are asked for.
    """
    generator = StyledGenerator.of(sampler, "noise")
    check_picture(rows * (columns + 1), sampler.sample_shape)
    latents = _latents(sampler, seed, rows)
    conditions = _conditions(sampler, seed, rows, asked)
    styles = generator.styles(generator.map(latents.z, conditions), conditions)
    count = max(columns, realisations)
    seeds = torch.randint(2**62, (count,), generator=torch.Generator().manual_seed(seed))
    lines: list[np.ndarray] = []
    maps: list[Tensor] = []
    for row, style in enumerate(styles):
        if progress is not None:
            progress("rows", row, rows)
        images, deviation = _varied(generator, style, seeds.to(style.device), columns, realisations)
        lines.append(_as_arrays(images))
        maps.append(deviation)
    largest = float(torch.stack(maps).max())
    scale = 255 / largest if largest else 0.0
    cells = []
    for pictures, deviation in zip(lines, maps, strict=True):
        grey = (deviation * scale).round().to(torch.uint8)[:, :, None].cpu().numpy()
        cells += [pictures, np.broadcast_to(grey, pictures[:1].shape)]
    return Variation(np.concatenate(cells), columns + 1, largest)


def _varied(
    generator: StyledGenerator, style: Tensor, seeds: Tensor, columns: int, realisations: int
) -> tuple[Tensor, Tensor]:
    """Return the first images of a latent's, and the standard deviation over its noises.

    The images are made a few at a time, and only `columns` of them are kept.

    Args:
        generator: makes them.
        style: of all layers, (layers, style).
        seeds: of the noises, (N,).
        columns: how many images are returned, uint8 (columns, C, r, r).
        realisations: over how many noises the deviation (r, r) is taken. It is averaged over the
            channels, in units of 1/255.
    """
    kept: list[Tensor] = []
    first = total = squares = torch.zeros((), dtype=torch.float64, device=style.device)
    done = 0
    for images in generator.parts(style.expand(len(seeds), -1, -1), seeds):
        kept.append(to_uint8(images[: max(0, columns - done)]))
        values = images[: max(0, realisations - done)].double().clamp(-1, 1)
        first = values[0] if done == 0 else first
        values = values - first  # near zero, so that the difference of squares keeps its digits
        total = total + values.sum(0)
        squares = squares + values.square().sum(0)
        done += len(images)
    variance = squares / realisations - (total / realisations).square()  # (C, r, r)
    return torch.cat(kept), variance.clamp(min=0).sqrt().mean(0) * 127.5


# ------------------------------------------------------------------------------------------ common


def _inputs(sampler: Sampler, seed: int, count: int) -> Rows:
    if count > BATCH:
        raise ConfigError(f"at most {BATCH} latents at a time, not {count}")
    return sampler.inputs(count, seed)


def _conditions(sampler: Sampler, seed: int, count: int, asked: Asked | None) -> Tensor | None:
    """Return the conditions of `count` latents; None: the generator takes none."""
    return sampler.asked(None if asked is None else asked.cycled(count), 0, count, seed)


def _latents(sampler: Sampler, seed: int, count: int) -> Latents:
    """Return `count` latents of a generator with styles, the first of those that `sample` uses."""
    inputs = _inputs(sampler, seed, count)
    assert isinstance(inputs, Latents)
    return replace(inputs, z2=None, crossover=None)


def _drawn(parts: Iterable[Tensor], count: int, progress: Progress | None) -> np.ndarray:
    """Return images that come in [-1, 1], a few at a time, as uint8 (N, H, W, C)."""
    drawn: list[np.ndarray] = []
    done = 0
    for part in parts:
        drawn.append(_as_arrays(to_uint8(part)))
        done += len(part)
        if progress is not None:
            progress("images", done, count)
    return np.concatenate(drawn)


def _as_arrays(images: Tensor) -> np.ndarray:
    """Return (N, C, H, W), on any device, as (N, H, W, C)."""
    return images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
