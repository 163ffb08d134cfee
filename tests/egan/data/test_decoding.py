"""Image files: every kind of pixel comes out as it looks, and what is no image is named."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from egan.data import DataError, open_source, prepare
from egan.data.config import ImagesConfig, PackedConfig
from egan.data.decoding import decode_image, kind_of

GREY, GREY_ALPHA, COLOUR, COLOUR_ALPHA = 0, 4, 2, 6  # a PNG's colour types
FLAT = Image.new("L", (4, 4))


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png16(values, colour, transparent=None, side=4):
    """Return a PNG of 16 bits, all pixels alike; Pillow cannot write most of them."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    row = b"\0" + b"".join(struct.pack(">H", value) for value in values) * side
    key = b"" if transparent is None else chunk(b"tRNS", struct.pack(">H", transparent))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, colour, 0, 0, 0))
        + key
        + chunk(b"IDAT", zlib.compress(row * side))
        + chunk(b"IEND", b"")
    )


def first(content, **config):
    return decode_image(content, 4, config.pop("channels", None), **config).pixels[:, 0, 0].tolist()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize(("mode", "colour", "pixel"), [
    ("L", 77, [77]), ("RGB", (200, 10, 30), [200, 10, 30]), ("1", 1, [255]),
])  # fmt: skip
def test_formats_without_loss_give_the_same_pixels(kind, mode, colour, pixel):
    assert first(saved(Image.new(mode, (8, 8), colour), kind)) == pixel


@pytest.mark.parametrize(
    ("content", "pixel"),
    [
        (png16([65535], GREY), [255]),
        (png16([257 * 99], GREY), [99]),
        (png16([257 * 99], GREY, transparent=257 * 99), [255]),
        (png16([257 * 99], GREY, transparent=257 * 98), [99]),
        (png16([257 * 99, 65535], GREY_ALPHA), [99]),
        (png16([257 * 99, 0], GREY_ALPHA), [255]),
        (png16([257 * 9, 257 * 8, 257 * 7], COLOUR), [9, 8, 7]),
        (png16([257 * 9, 257 * 8, 257 * 7, 0], COLOUR_ALPHA), [255, 255, 255]),
        (saved(Image.new("LA", (4, 4), (9, 0)), "TIFF"), [255]),
        (saved(Image.new("RGBA", (4, 4), (9, 8, 7, 0)), "TIFF"), [255, 255, 255]),
        (saved(Image.new("I;16", (4, 4), 257 * 99), "TIFF"), [99]),
        (saved(Image.new("I;16", (4, 4), 257 * 99), "TIFF", tiffinfo={262: 0}), [156]),
        (saved(Image.new("L", (4, 4), 9), "PNG", transparency=9), [255]),
    ],
)
def test_every_kind_of_pixel_looks_as_it_is_meant(content, pixel):
    assert first(content) == pixel


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_bits_say_what_is_white_in_16_bits(bits):
    white = 2**bits - 1
    assert first(png16([white], GREY), bits=bits) == [255]
    assert first(png16([0], GREY), bits=bits) == [0]
    with pytest.raises(DataError, match=rf"beyond 0 to {white}; .*data\.bits.*--bits"):
        first(png16([white + 1], GREY), bits=bits)
    with pytest.raises(DataError, match="no plain grey"):
        first(png16([9, 9, 9], COLOUR), bits=bits)


def wide(folder, brightest):
    for index, value in enumerate((brightest // 4, brightest)):
        (folder / f"{index}.png").write_bytes(png16([value], GREY))


@pytest.mark.parametrize("brightest", [1023, 4095, 16383])
def test_16_bit_images_that_are_all_dark_are_asked_about(tmp_path, brightest):
    wide(tmp_path, brightest)
    bits = brightest.bit_length()
    message = rf"2 images have 16 bits, but no value above {brightest}, .*such as {bits}, or 16"
    with pytest.raises(DataError, match=message):
        open_source(ImagesConfig(path=tmp_path, resolution=4))
    chosen = open_source(ImagesConfig(path=tmp_path, resolution=4, bits=bits))
    assert chosen.images[:, 0, 0, 0].tolist() == [64, 255]
    dark = open_source(ImagesConfig(path=tmp_path, resolution=4, bits=16))
    assert dark.images.max() == round(brightest / 257)


def test_a_dark_image_among_bright_ones_is_as_it_is(tmp_path):
    wide(tmp_path, 65535)
    (tmp_path / "dark.png").write_bytes(png16([4095], GREY))
    images = open_source(ImagesConfig(path=tmp_path, resolution=4)).images
    assert images[:, 0, 0, 0].tolist() == [64, 255, 16]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(Image.new("L", (2, 2)), "PNG"), "2 x 2 pixels; at least 4 x 4"),
        (saved(Image.new("L", (1, 40)), "PNG"), "1 x 40 pixels; at least 4 x 4"),
        (saved(Image.new("F", (4, 4)), "TIFF"), "floating-point"),
        (saved(Image.new("I", (4, 4), 70_000), "TIFF"), "from 70000 to 70000"),
        (saved(Image.new("I", (4, 4), -1), "TIFF"), "from -1 to -1"),
        (saved(FLAT, "TIFF", save_all=True, append_images=[FLAT]), "2 pages"),
        (saved(FLAT, "GIF"), "it is a GIF image"),
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n", "it begins as a PNG image, but is damaged or truncated"),
        (b"\xff\xd8\xff\xe0", "it begins as a JPEG image, but is damaged or truncated"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "it begins as a WebP image, but"),
        (b"<!DOCTYPE html><p>404", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS.*git lfs pull"),
        (b'<?xml version="1.0"?><svg>', "an SVG drawing"),
        (b"\0\0\0\x20ftypheic", "HEIF, AVIF or video file .brand heic"),
        (bytes(30), "its 30 bytes are all 0"),
        (b"hello", "it is text, 'hello'"),
        (b"\x80\x04\x95\x00", "begins with the bytes 80 04 95 00"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_what_it_is(content, message):
    with pytest.raises(DataError, match=message) as caught:
        decode_image(content, 4, None)
    assert "0x" not in str(caught.value)


def test_what_a_file_is_is_said_of_any_bytes():
    for start in range(256):
        assert kind_of(bytes([start])) and kind_of(bytes([start]) * 300)
    assert kind_of(saved(FLAT, "PNG")) == "it is a PNG image"
    assert kind_of(saved(FLAT, "WEBP")) == "it is a WebP image"


def test_enlarged_and_animated_images_are_said_and_packed(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    Image.new("RGB", (20, 30)).save(tree / "a.png")
    Image.new("RGB", (64, 64)).save(tree / "b.png")
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(tree / "c.webp", save_all=True, append_images=frames[1:], lossless=True)
    notes = (
        "2 images are smaller than 48 x 48 and were enlarged, the smallest from 20 x 20",
        "1 files hold several frames, and the first was read",
    )
    assert open_source(ImagesConfig(path=tree, resolution=48)).origin.notes == notes
    prepare(tree, tmp_path / "packed", 48)
    assert open_source(PackedConfig(path=tmp_path / "packed")).origin.notes == notes


def test_equal_images_of_two_classes_are_said(tmp_path):
    for name, value in (("cats/a", 1), ("cats/b", 1), ("dogs/c", 1), ("dogs/d", 2)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), value).save(tmp_path / f"{name}.png")
    note = "1 images are equal to one of another class, such as dogs/c.png to cats/a.png"
    assert open_source(ImagesConfig(path=tmp_path, resolution=8)).origin.notes == (note,)
    assert open_source(ImagesConfig(path=tmp_path, resolution=8, labels="none")).origin.notes == ()


def test_bad_files_are_counted_by_reason(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    for index in range(3):
        (tmp_path / f"empty{index}.png").write_bytes(b"")
    Image.new("L", (2, 8)).save(tmp_path / "b.png")
    source = open_source(ImagesConfig(path=tmp_path, resolution=8, skip_bad=True))
    assert len(source) == 1
    (what, count), (other, one) = source.origin.left_out
    assert "it is empty" in what and count == 3
    assert "2 x 8 pixels" in other and one == 1
    assert np.array_equal(source.images, np.zeros((1, 1, 8, 8)))
