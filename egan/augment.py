"""Augmentation of all that D sees, so that it does not learn few images by heart.

DiffAugment (Zhao et al., 2006.10738) and ADA (Karras et al., 2006.06676): every input of D, real or
fake, in D's steps and in G's, is changed at random by a T through which gradients flow. D tells
T(x) from T(G(z)), so G does not learn T. Row i of the reals and row i of the fakes have the same T,
drawn from a stream of its own; siblings share it.

Resampling is a product with a matrix along each axis, so that penalties on gradients can be
differentiated again, and a GPU gives the same bits each time.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["none", "diffaug", "ada"]
Draws = Mapping[str, Tensor]  # see `draw`

UNIFORMS, NORMALS = 13, 7  # numbers for each image
SHIFT, CUT = 1 / 8, 1 / 2  # shares of a side
SCALE, FINE = 0.2, 1 / 8  # deviations of ADA's log2 of the scale, and of its shift as a share
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0  # of ADA; the latter two of the log2


def draw(count: int, strength: float, stream: torch.Generator) -> dict[str, Tensor]:
    """Draw what changes `count` images: `uniform` (N, U), `normal` (N, V), and `strength` ()."""
    return {
        "uniform": torch.rand(count, UNIFORMS, generator=stream),
        "normal": torch.randn(count, NORMALS, generator=stream),
        "strength": torch.full((), strength),
    }


def augmented(kind: Kind, images: Tensor, draws: Draws) -> Tensor:
    """Return T(images), (N, C, H, W) like the images; `strength` is the probability of each change.

    `draws` may have more rows than there are images.
    """
    count = len(images)
    own = {name: t[:count] if t.dim() else t for name, t in draws.items()}
    return _diffaug(images, own) if kind == "diffaug" else _ada(images, own)


def adapted(strength: float, certainty: float, target: float, images: int, kimg: float) -> float:
    """Return ADA's strength after `images` more, in [0, 1].

    `certainty` is r = E[sign D(x)]: above the target D overfits, and the strength rises, by 1
    within `kimg` thousand images; else it falls. The published code has no upper bound.
    """
    step = images / (1000 * kimg)
    rise = (certainty > target) - (certainty < target)
    return min(1.0, max(0.0, strength + rise * step))


def certainty(real: Tensor, fake: Tensor, anchored: bool) -> Tensor:
    """Return r = E[sign D(x)] () of logits (N, ...); if these only compare, that of D(x) - D(G)."""
    return torch.sign(real if anchored else real - fake).mean()


def _diffaug(x: Tensor, draws: Draws) -> Tensor:
    """Change colours, shift, and cut out a square: the published policy for few images."""
    u, p = draws["uniform"].unbind(1), draws["strength"]
    coloured, shifted, cut = (u[i] < p for i in range(3))
    x = brightened(x, torch.where(coloured, u[3] - 0.5, 0))
    x = saturated(x, torch.where(coloured, 2 * u[4], 1))
    x = contrasted(x, torch.where(coloured, u[5] + 0.5, 1))
    height, width = x.shape[2:]
    along = [
        sampling(side, shift=torch.where(shifted, _shift(own, side), 0))
        for own, side in ((u[6], height), (u[7], width))
    ]
    return _cut(moved(x, *along), u[8], u[9], cut)


def _ada(x: Tensor, draws: Draws) -> Tensor:
    """ADA's changes that hold for each axis by itself: no rotation by any angle, no hue."""
    u, n, p = draws["uniform"].unbind(1), draws["normal"].unbind(1), draws["strength"]
    mirror = torch.where((u[0] < p) & (u[9] < 0.5), -1.0, 1.0)
    quarters = torch.where(u[1] < p, (4 * u[10]).floor(), 0)
    height, width = x.shape[2:]
    if height == width:
        x = torch.where(_column(quarters % 2 == 1), x.mT, x)
    turned_y = torch.where((quarters == 1) | (quarters == 2), -1.0, 1.0)
    turned_x = torch.where((quarters == 2) | (quarters == 3), -1.0, 1.0)
    scale = torch.where(u[3] < p, torch.exp2(SCALE * n[0]), 1)
    stretch = torch.where(u[4] < p, torch.exp2(SCALE * n[1]), 1)
    along = []
    for side, sign, zoom, coarse, fine in (
        (height, turned_y, scale / stretch, u[11], n[2]),
        (width, turned_x * mirror, scale * stretch, u[12], n[3]),
    ):
        shift = torch.where(u[2] < p, _shift(coarse, side), 0)
        shift = shift + torch.where(u[5] < p, FINE * side * fine, 0)
        along.append(sampling(side, sign * zoom, shift))
    x = moved(x, *along)
    x = brightened(x, torch.where(u[6] < p, BRIGHTNESS * n[4], 0))
    x = contrasted(x, torch.where(u[7] < p, torch.exp2(CONTRAST * n[5]), 1))
    return saturated(x, torch.where(u[8] < p, torch.exp2(SATURATION * n[6]), 1))


# ------------------------------------------------------------------------------------- the changes


def brightened(x: Tensor, by: Tensor) -> Tensor:
    """Add a number (N,) to each image."""
    return x + _column(by)


def saturated(x: Tensor, by: Tensor) -> Tensor:
    """Move each pixel away from its grey, the mean of its channels, by a factor (N,)."""
    grey = x.mean(1, keepdim=True)
    return grey + (x - grey) * _column(by)


def contrasted(x: Tensor, by: Tensor) -> Tensor:
    """Move each pixel away from the image's mean by a factor (N,)."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * _column(by)


def sampling(side: int, scale: Tensor | float = 1.0, shift: Tensor | float = 0.0) -> Tensor:
    """Return matrices (N, side, side) that enlarge about the centre, then shift, along an axis.

    Output i is read at (i - shift - c) / scale + c by linear interpolation; a negative scale
    mirrors. What lies beyond the image is 0.
    """
    of = shift if isinstance(shift, Tensor) else scale
    assert isinstance(of, Tensor)
    places, centre = torch.arange(side, device=of.device, dtype=of.dtype), (side - 1) / 2
    read = (places - centre - _row(shift)) / _row(scale) + centre  # (N, side)
    return (1 - (read[:, :, None] - places).abs()).clamp(min=0)


def moved(x: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """Return images (N, C, H, W) resampled by matrices (N, H, H) and (N, W, W)."""
    return along_y[:, None] @ x @ along_x[:, None].mT


def _cut(x: Tensor, at_y: Tensor, at_x: Tensor, where: Tensor) -> Tensor:
    """Set a square of half a side to 0, with its centre anywhere, in images that are chosen."""
    inside = [_covered(at, side) for at, side in ((at_y, x.shape[2]), (at_x, x.shape[3]))]
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :] & _column(where)
    return torch.where(hole, 0, x)


def _covered(at: Tensor, side: int) -> Tensor:
    """Return which places (N, side) along an axis a square covers whose centre is drawn by `at`."""
    size = int(side * CUT + 0.5)
    centre = _whole(at, side + 1 - size % 2)
    places = torch.arange(side, device=at.device) - (centre[:, None] - size // 2)
    return (places >= 0) & (places < size)


def _shift(uniform: Tensor, side: int) -> Tensor:
    """Return whole pixels (N,) from -1/8 to 1/8 of a side."""
    most = int(side * SHIFT + 0.5)
    return _whole(uniform, 2 * most + 1) - most


def _whole(uniform: Tensor, below: int) -> Tensor:
    """Return a whole number in [0, below) for each number in [0, 1); a product may round up."""
    return (uniform * below).floor().clamp(max=below - 1)


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _row(values: Tensor | float) -> Tensor | float:
    return values[:, None] if isinstance(values, Tensor) else values
