"""Images of 16 bits and several channels, of which Pillow keeps the upper 8 bits: all 16.

Pillow decodes such a file as if its bytes were in the one order, and then in the other: the upper
bytes of each come first in the one and second in the other. Grey images of 16 bits it reads itself.
"""

import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from egan.data.decoding import opened
from egan.data.source import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

WHITE = 65535
LUMA = np.array([299, 587, 114], np.float32) / 1000  # ITU-R 601, as Pillow's "L"
_NATIVE = "L" if sys.byteorder == "little" else "B"
_OTHER = {"L": "B", "B": "L"}
_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels to a PNG's colour type
_RGB, _RGBA, _GREY_AND_OPACITY = "RGB;16", "RGBA;16", "LA;16B"


@dataclass(frozen=True, eq=False)
class DeepPicture:
    """An image (H, W, C), uint16, C from 2 to 4; with 2 and 4 the last channel is the opacity."""

    pixels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def mode(self) -> str:
        """The channels, as Pillow names them."""
        return {2: "LA", 3: "RGB", 4: "RGBA"}[self.pixels.shape[2]]

    def crop(self, box: tuple[int, int, int, int]) -> "DeepPicture":
        """Return what lies between left, top, right and bottom."""
        left, top, right, bottom = box
        return DeepPicture(self.pixels[top:bottom, left:right])

    def planes(self, channels: int | None) -> np.ndarray:
        """Return float32 (C, H, W), values to 65535.

        With `channels` None, C is 1 for a grey image and 3 for any other, laid on white; with 1 and
        3 it is converted; with 2 and 4 it keeps its opacity.
        """
        values = self.pixels.astype(np.float32).transpose(2, 0, 1)
        colour, opacity = values, np.full_like(values[:1], WHITE)
        if len(values) in (2, 4):
            colour, opacity = values[:-1], values[-1:]
        channels = channels or len(colour)
        wanted = channels - 1 if channels in (2, 4) else channels
        if wanted == 1 and len(colour) == 3:
            colour = np.tensordot(LUMA, colour, 1).astype(np.float32)[None]
        elif wanted == 3 and len(colour) == 1:
            colour = colour.repeat(3, 0)
        if channels in (2, 4):
            return np.concatenate([colour, opacity])
        share = opacity / WHITE
        laid: np.ndarray = colour * share + WHITE * (1 - share)
        return laid


def read_deep(content: bytes) -> DeepPicture | None:
    """Return the image of a file with 16 bits and several channels; None: it is another one.

    Raises:
        DataError: as `opened`; or its form is not known.
        Exception: whatever Pillow raises on a damaged file.
    """
    with opened(content) as image:
        mode = _raw_mode(image)
    if ";16" not in mode or image.mode.startswith("I"):
        return None
    if mode == _GREY_AND_OPACITY:  # four bytes a pixel, as 8 bits of four channels are
        pairs = _decoded(content, "RGBA").astype(np.uint16)
        return DeepPicture(pairs[..., ::2] * 256 + pairs[..., 1::2])
    start, order = mode[:-1], mode[-1]
    if start not in (_RGB, _RGBA) or order not in ("B", "L", "N"):
        raise DataError(f"16-bit pixels in the form {mode} are not read; save it as RGB or RGBA")
    order = _NATIVE if order == "N" else order
    upper, lower = (
        _decoded(content, start + one).astype(np.uint16) for one in (order, _OTHER[order])
    )
    return DeepPicture(upper * 256 + lower)


def _raw_mode(image: "Image") -> str:
    """Return how Pillow would unpack an image's pixels."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return image.mode
    told = tiles[0].args
    return str(told if isinstance(told, str) else told[0] if told else image.mode)


def _decoded(content: bytes, raw_mode: str) -> np.ndarray:
    """Return an image's bytes (H, W, C), unpacked as told, turned as its EXIF orientation says."""
    from PIL import ImageOps

    with opened(content) as image:
        image.tile = [  # type: ignore[attr-defined]
            tile._replace(
                args=raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:])
            )
            for tile in image.tile  # type: ignore[attr-defined]
        ]
        image.load()
        return np.asarray(ImageOps.exif_transpose(image))


def write_deep_png(pixels: np.ndarray, path: Path) -> None:
    """Write an image (C, H, W), uint16, as a PNG."""
    channels, height, width = pixels.shape
    rows = np.ascontiguousarray(pixels.transpose(1, 2, 0)).astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)  # 0: no filter
    header = struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOURS[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts))


def write_deep_tiff(pixels: np.ndarray, path: Path) -> None:
    """Write an image (C, H, W), uint16, as a TIFF of one compressed strip (TIFF 6.0, deflate).

    Raises:
        DataError: it has other than 3 or 4 channels, which readers do not know in 16 bits.
    """
    channels, height, width = pixels.shape
    if channels not in (3, 4):
        raise DataError(
            f"{path}: {channels} channels of 16 bits are written as PNG; name a .png file"
        )
    data = zlib.compress(np.ascontiguousarray(pixels.transpose(1, 2, 0)).astype("<u2").tobytes())
    bits = struct.pack(f"<{channels}H", *[16] * channels)
    start = 8 + len(bits)  # of the strip, after the header and the bits of each channel
    tags = [
        (256, width), (257, height), (258, 8), (259, 8), (262, 2), (273, start), (277, channels),
        (278, height), (279, len(data)),
    ]  # fmt: skip
    if channels == 4:
        tags.append((338, 2))  # the fourth is opacity, with which colours are not multiplied
    long = (256, 257, 273, 278, 279)  # of 32 bits; the others have 16
    table = b"".join(
        struct.pack("<HHII", tag, 4 if tag in long else 3, channels if tag == 258 else 1, value)
        for tag, value in tags
    )
    end = start + len(data) + len(data) % 2  # tables begin at even places
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, end)
        + (bits + data).ljust(end - 8, b"\0")
        + struct.pack("<H", len(tags)) + table + bytes(4)
    )  # fmt: skip


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
