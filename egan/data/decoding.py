"""Image files as uint8 arrays, with Pillow; and what a file is if it is not an image.

Each image is turned as its EXIF orientation says, laid on white where it is transparent, cropped to
its centre square and resized. 16-bit greys are scaled by the bits that they use.
"""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from egan.data.resize import crop_and_resize, to_array
from egan.data.source import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff",
)  # fmt: skip
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
READ = "PNG, JPEG, WebP, BMP and TIFF"  # the formats, for messages
MAX_PIXELS = 2**26
"""An image of more pixels (8,192 x 8,192) is refused: a tiny file may claim any size."""
MAX_SCANS = 100
"""A JPEG of more scans is refused: each takes a few bytes, and decodes the whole image again."""
BEGINNING = 2**10  # bytes that tell what a file is
SMALLEST = 4  # pixels of a side; an enlarged smaller image is one flat colour
GREY = ("1", "L", "LA", "La")  # Pillow's modes of 8 bits or fewer
_START_OF_SCAN = b"\xff\xda"  # which a JPEG's compressed data never contain
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a TIFF's tag, and one of its values

# What a file begins with, and what it is; the first that fits.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x93NUMPY", "a .npy array"),
    (b"PK\x03\x04", "a .zip archive"),
    (b"\x1f\x8b", "a .gz file"),
    (b"%PDF", "a PDF document"),
    (b"version https://git-lfs", "a Git LFS pointer, whose file was not fetched (git lfs pull)"),
)


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image, and what to know of its file.

    Attributes:
        pixels: uint8 (C, R, R).
        side: of the file's centre square, in pixels.
        brightest: the largest value of a 16-bit image; None: it has 8 bits.
        frames: how many images the file holds; the first was read.
    """

    pixels: np.ndarray
    side: int
    brightest: int | None
    frames: int


def decode_image(
    content: bytes, resolution: int, channels: int | None, bits: int | None = None
) -> Decoded:
    """Decode an image file.

    Args:
        content: of the file.
        resolution: R, the side to bring it to.
        channels: C; None: 1 for a grey image and 3 for any other.
        bits: how many of 16 bits a 16-bit grey uses; None: all.

    Raises:
        DataError: no image of these formats, or one that cannot be used.
        Exception: whatever Pillow raises on a damaged file.
    """
    from PIL import ImageOps

    with opened(content) as image:
        side, frames = min(image.size), getattr(image, "n_frames", 1)
        inverted = _is_inverted(image)
        turned = ImageOps.exif_transpose(image)
    brightest = None
    if turned.mode.startswith("I"):
        wide = np.asarray(turned).astype(np.int64)
        brightest = int(wide.max())
        flat = _narrowed(wide, 2 ** (bits or 16) - 1, inverted, turned.info.get("transparency"))
    else:
        flat = flattened(turned)
        if _is_16_bit_colour(content):
            if bits not in (None, 16):
                raise DataError(
                    f"16-bit pixels that are no plain grey, so that data.bits={bits} cannot be "
                    "taken into account; save it with 8 bits"
                )
            brightest = 257 * int(np.asarray(flat).max())
            if _is_grey_with_alpha(content):
                flat = flat.convert("L")
    if channels is not None:
        flat = flat.convert("L" if channels == 1 else "RGB")
    return Decoded(to_array(crop_and_resize(flat, resolution)), side, brightest, frames)


def measure(content: bytes) -> tuple[int, int, int]:
    """Return (width, height, channels) of an image file as it is stored; no pixel is decoded.

    The channels are those of `decode_image` where it is given none.

    Raises:
        DataError, Exception: as `decode_image`.
    """
    with opened(content) as image:
        deep = image.mode.startswith("I") or _is_grey_with_alpha(content)
        return image.width, image.height, 1 if deep or image.mode in GREY else 3


def open_picture(content: bytes) -> "Image":
    """Return a file's image as it is stored, turned as its EXIF orientation says.

    Raises:
        DataError, Exception: as `decode_image`.
    """
    from PIL import ImageOps

    with opened(content) as image:
        turned = ImageOps.exif_transpose(image)
        turned.load()
        return turned


def kind_of(content: bytes, cut: bool = False) -> str:
    """Say what a file is, by its first bytes; `cut`: it could not be read as an image."""
    if not content:
        return "it is empty"
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            damaged = cut and kind.removeprefix("a ").partition(" ")[0].upper() in FORMATS
            return (
                f"it begins as {kind}, but is damaged or truncated" if damaged else f"it is {kind}"
            )
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return (
            f"it {'begins as' if cut else 'is'} a WebP image{', but is damaged or truncated' * cut}"
        )
    if content[4:8] == b"ftyp":
        brand = content[8:12].decode("ascii", "replace")
        return f"it is an HEIF, AVIF or video file (brand {brand})"
    start = content[:200].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is a web page"
    if b"<svg" in content[:1000]:
        return "it is an SVG drawing"
    if not any(content):
        return f"its {len(content)} bytes are all 0"
    try:
        text = content[:40].decode("ascii")
    except UnicodeDecodeError:
        return f"it begins with the bytes {content[:8].hex(' ')}"
    return f"it is text, {text.strip()!r}"


def opened(content: bytes) -> "Image":
    """Open a file and check its header; nothing is decoded yet."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except OSError:  # not of these formats, or Pillow cannot begin with it
        raise DataError(
            f"not an image in a format that is read ({READ}): {kind_of(content, cut=True)}"
        ) from None
    _check(image, content)
    return image


def _check(image: "Image", content: bytes) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(
            f"{image.width} x {image.height} pixels, more than {MAX_PIXELS}; shrink it first"
        )
    if min(image.size) < SMALLEST:
        raise DataError(
            f"{image.width} x {image.height} pixels; at least {SMALLEST} x {SMALLEST} are needed"
        )
    if image.format == "JPEG" and content.count(_START_OF_SCAN) > MAX_SCANS:
        raise DataError(f"a JPEG file of more than {MAX_SCANS} scans; save it again")
    if image.format == "TIFF" and (pages := getattr(image, "n_frames", 1)) > 1:
        raise DataError(f"a TIFF file of {pages} pages; save each as a file")
    if image.mode == "F":
        raise DataError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if _is_16_bit_colour(content) and "transparency" in image.info:
        raise DataError("16-bit pixels with a transparent colour; save it with 8 bits")


def _is_16_bit_colour(content: bytes) -> bool:
    """Whether this is a PNG of 16 bits that Pillow brings to 8: any but plain grey."""
    return content.startswith(_MAGIC[0][0]) and content[24] == 16 and content[25] != 0


def _is_grey_with_alpha(content: bytes) -> bool:
    """Whether this is a PNG of 16-bit grey with alpha, which Pillow opens as colour."""
    return _is_16_bit_colour(content) and content[25] == 4


def _is_inverted(image: "Image") -> bool:
    """Whether 0 is white in a 16-bit TIFF, which Pillow does not turn."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _narrowed(wide: np.ndarray, white: int, inverted: bool, transparent: int | None) -> "Image":
    """Return a grey image of values 0 to `white` with 8 bits, one value of it transparent."""
    from PIL import Image

    if wide.min() < 0 or wide.max() > max(white, 0):
        raise DataError(
            f"its values run from {wide.min()} to {wide.max()}, beyond 0 to {white}; save it with "
            "8 or 16 bits, or give the bits that are used: data.bits in a config, --bits of the "
            "command prepare"
        )
    narrow = ((white - wide if inverted else wide) * 255 + white // 2) // white
    if transparent is not None:
        narrow[wide == transparent] = 255
    return Image.fromarray(narrow.astype(np.uint8))


def flattened(image: "Image") -> "Image":
    """Return an 8-bit image as "L" (grey) or "RGB", transparent parts laid on white."""
    from PIL import Image

    mode = "L" if image.mode in GREY else "RGB"
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB").convert(mode)
    return image.convert(mode)
