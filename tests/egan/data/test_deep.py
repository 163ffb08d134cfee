"""Images of 16 bits and several channels: read to the bit, whatever writes them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from egan.data.decoding import DataError
from egan.data.deep import DeepPicture, read_deep, write_deep_png, write_deep_tiff
from egan.data.pair_files import to_pixels

HEIGHT, WIDTH = 10, 7
COLOURS = {2: 4, 3: 2, 4: 6}


def pixels_of(channels):
    stream = np.random.default_rng(channels)
    return stream.integers(0, 65536, (HEIGHT, WIDTH, channels), np.uint16)


def filtered(rows, step):
    """Return PNG rows, each by another of the five filters (section 9.2 of the PNG standard)."""
    data, before = b"", np.zeros_like(rows[0])
    for n, row in enumerate(rows):
        left = np.concatenate([np.zeros(step, np.uint8), row[:-step]])
        corner = np.concatenate([np.zeros(step, np.uint8), before[:-step]])
        guesses = [
            np.zeros_like(row), left, before,
            ((left.astype(int) + before) // 2).astype(np.uint8),
            np.array([paeth(*map(int, three)) for three in zip(left, before, corner, strict=True)],
                     np.uint8),
        ]  # fmt: skip
        data += bytes([n % 5]) + (row - guesses[n % 5]).tobytes()
        before = row
    return data


def paeth(a, b, c):
    return min((a, b, c), key=lambda one: abs(a + b - c - one))


ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)  # of each pass: first row and column, steps between rows and columns


def png_of(pixels, interlaced=False):
    channels = pixels.shape[2]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    data = b""
    for top, left, down, right in passes:
        part = pixels[top::down, left::right]
        if part.size:
            data += filtered(part.astype(">u2").view(np.uint8).reshape(len(part), -1), 2 * channels)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, COLOURS[channels], 0, 0, int(interlaced))
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        sum_ = struct.pack(">I", zlib.crc32(kind + data))
        content += struct.pack(">I", len(data)) + kind + data + sum_
    return content


def lzw(data):
    """Return data in TIFF's LZW: codes of 9 bits, as the table is cleared before it needs 10."""
    codes = []
    for n, byte in enumerate(data):
        codes += [256, byte] if n % 200 == 0 else [byte]
    text = "".join(f"{code:09b}" for code in [*codes, 257])
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


PACKED = {1: bytes, 5: lzw, 8: zlib.compress}  # by the number of the compression


def tiff_of(pixels, order, compression, photometric=2):
    """Return a TIFF of one strip, in a byte order."""
    mark = "<" if order == b"II" else ">"
    data = PACKED[compression](pixels.astype(f"{mark}u2").tobytes())
    channels = pixels.shape[2]
    bits = struct.pack(f"{mark}{channels}H", *[16] * channels)
    at_bits, at_data = 8, 8 + len(bits)
    entries = [
        (256, 3, 1, WIDTH), (257, 3, 1, HEIGHT), (258, 3, channels, at_bits),
        (259, 3, 1, compression), (262, 3, 1, photometric), (273, 4, 1, at_data),
        (277, 3, 1, channels), (278, 3, 1, HEIGHT), (279, 4, 1, len(data)),
    ]  # fmt: skip
    table = struct.pack(f"{mark}H", len(entries))
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        table += struct.pack(f"{mark}HHI{'HH' if short else 'I'}", tag, kind, count,
                             *((value, 0) if short else (value,)))  # fmt: skip
    start = at_data + len(data)
    return order + struct.pack(f"{mark}HI", 42, start) + bits + data + table + bytes(4)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_is_read_to_the_bit_and_written_so(channels, tmp_path):
    pixels = pixels_of(channels)
    found = read_deep(png_of(pixels))
    assert (found.pixels == pixels).all() and found.mode == {2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    write_deep_png(pixels.transpose(2, 0, 1), tmp_path / "a.png")
    assert (read_deep((tmp_path / "a.png").read_bytes()).pixels == pixels).all()
    with Image.open(tmp_path / "a.png") as picture:  # what others see of it: the upper bits
        assert (np.asarray(picture)[..., 0] == pixels[..., 0] >> 8).all()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_an_interlaced_png_is_read_to_the_bit(channels):
    pixels = pixels_of(channels)
    assert (read_deep(png_of(pixels, interlaced=True)).pixels == pixels).all()


@pytest.mark.parametrize("order", [b"II", b"MM"])
@pytest.mark.parametrize("compression", PACKED)
def test_a_tiff_is_read_to_the_bit(order, compression):
    pixels = pixels_of(3)
    assert (read_deep(tiff_of(pixels, order, compression)).pixels == pixels).all()


@pytest.mark.parametrize("channels", [3, 4])
def test_a_tiff_is_written_to_the_bit(channels, tmp_path):
    pixels = pixels_of(channels)
    write_deep_tiff(pixels.transpose(2, 0, 1), tmp_path / "a.tif")
    assert (read_deep((tmp_path / "a.tif").read_bytes()).pixels == pixels).all()
    with Image.open(tmp_path / "a.tif") as picture:  # what others see of it: the upper bits
        assert picture.mode == "RGBA"[:channels]
        assert (np.asarray(picture) == pixels >> 8).all()


def test_other_files_are_none_of_these(tmp_path):
    for name, array in (
        ("grey.png", np.zeros((8, 8), np.uint16)), ("colour.png", np.zeros((8, 8, 3), np.uint8))
    ):  # fmt: skip
        Image.fromarray(array).save(tmp_path / name)
        assert read_deep((tmp_path / name).read_bytes()) is None
    with pytest.raises(DataError, match="16-bit pixels in the form CMYK;16L are not read"):
        read_deep(tiff_of(pixels_of(4), b"II", 1, photometric=5))


def test_channels_are_converted_in_16_bits():
    pixels = pixels_of(4)
    picture = DeepPicture(pixels)
    values = pixels.astype(float).transpose(2, 0, 1)
    share = values[3] / 65535
    laid = values[:3] * share + 65535 * (1 - share)
    grey = 0.299 * values[0] + 0.587 * values[1] + 0.114 * values[2]
    expected = {
        None: laid, 3: laid, 4: values, 1: (grey * share + 65535 * (1 - share))[None],
        2: np.stack([grey, values[3]]),
    }  # fmt: skip
    for channels, wanted in expected.items():
        found = to_pixels(picture, (HEIGHT, WIDTH), channels)
        assert found.dtype == np.uint16 and (np.abs(found - wanted) <= 1).all()
    flat = DeepPicture(np.full((8, 8, 3), 40_000, np.uint16)).crop((0, 2, 8, 6))
    assert flat.size == (8, 4)
    assert (to_pixels(flat, (6, 12), None) == 40_000).all()
