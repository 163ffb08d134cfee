"""DCGAN's convolutions, 4 x 4 taps and stride 2, with 9 multiplications where the direct has 16.

Winograd's minimal filtering F(2 x 2, 2 x 2), as Lavin and Gray (arXiv 1509.09308) use it. With the
four pixels of a 2 x 2 block as four times the channels, what is left is a convolution of 2 x 2
taps and stride 1. In one dimension, its outputs from blocks d and taps g are

    y0 = d0 g0 + d1 g1 = m0 + m1        m0 = (d0 - d1) g0
    y1 = d1 g0 + d2 g1 = m1 + m2        m1 = d1 (g0 + g1)        m2 = (d2 - d1) g1

and so, in two, y = O(D(x) K(w)): linear maps with coefficients 0, 1 and -1 around nine matrix
products. It is as exact as the direct sum, but rounds otherwise.

<y, O(D(x) u)> is linear in x, in u = K(w) and in y (see trilinear.py).
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from egan.backbones.dcgan.trilinear import Trilinear

NARROWEST = 64  # channels; with fewer, the maps cost more than the products save
CHUNK = 1 << 21  # elements of D(x) at a time on a CPU: 8 MiB, which its cache keeps


def worthwhile(weight: Tensor, x: Tensor, multiple: int) -> bool:
    """Return whether images x (N, C, H, W) are whole tiles, and the layer wide enough to gain."""
    whole_tiles = x.shape[2] % multiple == x.shape[3] % multiple == 0
    return whole_tiles and min(weight.shape[:2]) >= NARROWEST


# ------------------------------------------------------------- the product and its derivatives


def halve(x: Tensor, u: Tensor) -> Tensor:
    """Return y (N, O, h, w) = O(D(x) u) of images x (N, C, 2 h, 2 w) and u (9, O, 4 C)."""
    n, _, height, width = x.shape
    y = _empty(x, n, u.shape[1], height // 2, width // 2)
    for x_part, y_part in _parts(x, y):
        _output(_data(x_part) @ u.mT, y_part)
    return y


def double(y: Tensor, u: Tensor) -> Tensor:
    """Return the gradient by x: images (N, C, 2 h, 2 w) of y (N, O, h, w) and u (9, O, 4 C)."""
    n, _, height, width = y.shape
    x = _empty(y, n, u.shape[2] // 4, 2 * height, 2 * width)
    for x_part, y_part in _parts(x, y):
        _data_transposed(_output_transposed(y_part) @ u, x_part)
    return x


def correlate(x: Tensor, y: Tensor) -> Tensor:
    """Return the gradient by u: (9, O, 4 C) of images x (N, C, 2 h, 2 w) and y (N, O, h, w)."""
    u = x.new_empty(9, y.shape[1], 4 * x.shape[1])
    for part, (x_part, y_part) in enumerate(_parts(x, y)):
        torch.baddbmm(u, _output_transposed(y_part).mT, _data(x_part), beta=part > 0, out=u)
    return u


WINOGRAD = Trilinear(halve, double, correlate)


def _empty(like: Tensor, *shape: int) -> Tensor:
    layout = torch.channels_last
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)


def _parts(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images x (N, C, H, W) and y (N, O, h, w) in parts (n, H, W, C) and (n, h, w, O)."""
    size = len(x) if x.is_cuda else max(1, CHUNK * 4 // (9 * x[0].numel()))
    pixels = (images.permute(0, 2, 3, 1).contiguous() for images in (x, y))
    yield from zip(*(torch.split(rows, size) for rows in pixels), strict=True)


# --------------------------------------------------------------------------- the three linear maps


def transformed(weight: Tensor) -> Tensor:
    """Return u = K(w) (9, O, 4 C), differentiable, of a layer's weights (O, C, 4, 4)."""
    out, channels = weight.shape[:2]
    # Tap 2 a + p of a column is tap a of the blocks and pixel p in them; b and q are the row's.
    taps = weight.view(out, channels, 2, 2, 2, 2).permute(2, 4, 0, 3, 5, 1)  # a b O p q C
    (g00, g01), (g10, g11) = taps.contiguous()
    left, right = g00 + g10, g01 + g11
    u = [g00, g00 + g01, g01, left, left + right, right, g10, g10 + g11, g11]
    return torch.stack(u).view(9, out, 4 * channels)


def _data(x: Tensor) -> Tensor:
    """Return D(x) (9, N h / 2 w / 2, 4 C) of images (N, 2 h, 2 w, C): tiles of 3 x 3 blocks."""
    n, height, width, channels = x.shape
    h, w = height // 4, width // 4
    blocks = pad(x, (0, 0, 1, 1, 1, 1)).view(n, 2 * h + 1, 2, 2 * w + 1, 2 * channels)
    d = x.new_empty(3, 3, n, h, w, 2, 2 * channels)
    middle = blocks[:, 1::2]
    rows = (blocks[:, :-1:2] - middle, middle, blocks[:, 2::2] - middle)
    for row, (left, centre, right) in zip(rows, d, strict=True):
        columns = row.transpose(2, 3)
        odd = columns[:, :, 1::2]
        torch.sub(columns[:, :, :-1:2], odd, out=left)
        centre.copy_(odd)
        torch.sub(columns[:, :, 2::2], odd, out=right)
    return d.view(9, n * h * w, 4 * channels)


def _data_transposed(d: Tensor, x: Tensor) -> None:
    """Write the transpose of D, of d (9, N h / 2 w / 2, 4 C), to images (N, 2 h, 2 w, C)."""
    n, height, width, channels = x.shape
    h, w = height // 4, width // 4
    tiles = d.view(3, 3, n, h, w, 2, 2 * channels)
    rows = d.new_empty(3, n, h, 2, 2 * w + 1, 2 * channels)
    for tile, row in zip(tiles, rows, strict=True):
        _overlap(tile, row.transpose(2, 3), 2)
    blocks = d.new_empty(n, 2 * h + 1, 2, 2 * w + 1, 2 * channels)
    _overlap(rows, blocks, 1)
    x.copy_(blocks.view(n, height + 2, width + 2, channels)[:, 1:-1, 1:-1])


def _overlap(parts: Tensor, blocks: Tensor, dim: int) -> None:
    """Write the transpose of d -> (d0 - d1, d1, d2 - d1) for tiles that share their outer blocks.

    `parts` (3, ...) has t tiles in dimension `dim` of each part; `blocks` has 2 t + 1 there.
    """
    first, middle, last = parts
    count = first.shape[dim]
    even = blocks[(slice(None),) * dim + (slice(None, None, 2),)]
    odd = blocks[(slice(None),) * dim + (slice(1, None, 2),)]
    torch.sub(middle, first, out=odd).sub_(last)
    even.narrow(dim, 0, count).copy_(first)
    even.narrow(dim, count, 1).zero_()
    even.narrow(dim, 1, count).add_(last)


def _output(m: Tensor, y: Tensor) -> None:
    """Write O(m), of products m (9, N h / 2 w / 2, O), to y (N, h, w, O)."""
    n, h, w, out = y.shape
    m = m.view(3, 3, n, h // 2, w // 2, out)
    tiles = y.view(n, h // 2, 2, w // 2, 2, out)
    for i in range(2):
        row = m[i] + m[i + 1]
        for j in range(2):
            torch.add(row[j], row[j + 1], out=tiles[:, :, i, :, j])


def _output_transposed(y: Tensor) -> Tensor:
    """Return the transpose of O, of y (N, h, w, O): (9, N h / 2 w / 2, O)."""
    n, h, w, out = y.shape
    tiles = y.view(n, h // 2, 2, w // 2, 2, out)
    m = y.new_empty(3, 3, n, h // 2, w // 2, out)
    for row, i in ((m[0], 0), (m[2], 1)):
        left, right = tiles[:, :, i, :, 0], tiles[:, :, i, :, 1]
        row[0].copy_(left)
        torch.add(left, right, out=row[1])
        row[2].copy_(right)
    torch.add(m[0], m[2], out=m[1])
    return m.view(9, -1, out)
