"""Folders and archives of images: decoded right, labelled right, bad files named."""

import json
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from egan.data import DataError, detect_source, open_source
from egan.data import trees as module
from egan.data.config import ImagesConfig

GREY, RED = Image.new("L", (20, 12), 77), Image.new("RGB", (12, 20), (200, 10, 30))


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def opened(path, **config):
    return open_source(ImagesConfig(path=path, **{"resolution": 8, **config}))


def zip_folder(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for entry in sorted(folder.rglob("*"), reverse=True):
            if entry.is_file():
                archive.write(entry, entry.relative_to(folder).as_posix())
    return path


def test_a_tree_and_its_zip_are_the_same_set_in_the_order_of_names(tmp_path):
    tree = tmp_path / "tree"
    save(RED, tree / "all/dogs/b.png")
    save(Image.new("RGB", (9, 9), "blue"), tree / "all/cats/z/c.webp", lossless=True)
    save(Image.new("RGB", (30, 40), "white"), tree / "all/dogs/a.JPG", format="JPEG")
    (tree / "notes.txt").write_text("ignored")
    (tree / ".hidden.png").write_bytes(b"")
    assert detect_source(tree) == ImagesConfig(path=tree)
    source = opened(tree)
    assert source.shape == (3, 8, 8)
    assert source.classes == ("cats", "dogs")  # the wrapping folder "all" is no class
    assert source.labels.tolist() == [0, 1, 1]
    assert source.images[:, :, 0, 0].tolist() == [[0, 0, 255], [255, 255, 255], [200, 10, 30]]
    archive = zip_folder(tree, tmp_path / "set.zip")
    assert detect_source(archive) == ImagesConfig(path=archive)
    assert opened(archive).fingerprint == source.fingerprint


def test_images_outside_subfolders_have_no_labels(tmp_path):
    save(RED, tmp_path / "a.png")
    save(RED, tmp_path / "b/b.png")
    assert opened(tmp_path).labels is None
    (tmp_path / "a.png").unlink()
    assert opened(tmp_path).labels is None


def test_labels_come_from_dataset_json(tmp_path):
    for name in ("00000/a.png", "00001/b.png"):
        save(RED, tmp_path / name)
    index = tmp_path / "dataset.json"
    index.write_text(json.dumps({"labels": [["00001/b.png", 7], ["00000/a.png", 3]]}))
    assert opened(tmp_path).labels.tolist() == [3, 7]
    assert opened(zip_folder(tmp_path, tmp_path.parent / "s.zip")).labels.tolist() == [3, 7]
    index.write_text('{"labels": null}')
    assert opened(tmp_path).labels is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be"),
        ("[]", "must be"),
        ('{"labels": 3}', "must be"),
        ('{"labels": [[[], 3]]}', "must be"),
        ("[" * 100_000, "must be"),
        ('{"labels": [["b.png", 3]]}', "lists 1 files, and 1 of them are not there: b.png"),
        ('{"labels": []}', "no label of a.png: 1 of 1 images are not listed"),
        ('{"labels": [["a.png", 1.5]]}', "label of a.png"),
        ('{"labels": [["a.png", true]]}', "label of a.png"),
        ('{"labels": [["a.png", -1]]}', "label of a.png"),
    ],
)
def test_a_bad_dataset_json_is_named(tmp_path, text, message):
    save(RED, tmp_path / "a.png")
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=f"dataset.json: .*{message}"):
        opened(tmp_path)


def test_mixed_channels_are_an_error_unless_channels_are_chosen(tmp_path):
    save(GREY, tmp_path / "a.png")
    save(RED, tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png: has 3 channels .*data\.channels"):
        opened(tmp_path)
    kept = opened(tmp_path, skip_bad=True)
    assert kept.shape == (1, 8, 8)
    assert [name for name, _ in kept.skipped] == ["b.png"]
    both = opened(tmp_path, channels=3)
    assert both.images[0, :, 0, 0].tolist() == [77, 77, 77]
    assert opened(tmp_path, channels=1).images.shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("RGBA", (9, 9), (10, 20, 30, 0)), [255, 255, 255]),
        (Image.new("RGBA", (9, 9), (10, 20, 30, 255)), [10, 20, 30]),
        (Image.new("LA", (9, 9), (10, 0)), [255]),
        (Image.new("1", (9, 9), 1), [255]),
        (Image.new("I;16", (9, 9), 257 * 99), [99]),
        (RED.quantize(4), [200, 10, 30]),
    ],
)
def test_every_kind_of_pixel_is_brought_to_grey_or_colour(tmp_path, image, pixel):
    save(image, tmp_path / "a.png")
    assert opened(tmp_path).images[0, :, 3, 3].tolist() == pixel


def test_cmyk_photographs_are_read(tmp_path):
    save(Image.new("RGB", (16, 16), "white").convert("CMYK"), tmp_path / "a.jpg")
    assert opened(tmp_path).images.min() > 250


def test_exif_orientation_is_respected(tmp_path):
    image = Image.new("L", (8, 8))
    image.paste(255, (0, 0, 8, 4))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    save(image, tmp_path / "a.png", exif=exif)
    assert opened(tmp_path).images[0, 0, :, 0].tolist() == [0] * 4 + [255] * 4


def test_the_centre_square_is_kept(tmp_path):
    wide = Image.new("L", (30, 10))
    wide.paste(255, (10, 0, 20, 10))
    save(wide, tmp_path / "a.png")
    assert opened(tmp_path, resolution=5).images.min() == 255


def test_bad_files_are_named_or_skipped_and_listed(tmp_path):
    save(RED, tmp_path / "one/a.png")
    save(RED, tmp_path / "two/d.png")
    (tmp_path / "one/b.png").write_bytes((tmp_path / "one/a.png").read_bytes()[:40])
    (tmp_path / "two/c.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"one/b\.png: "):
        opened(tmp_path)
    source = opened(tmp_path, skip_bad=True)
    assert [name for name, _ in source.skipped] == ["one/b.png", "two/c.jpg"]
    assert all(reason for _, reason in source.skipped)
    assert source.labels.tolist() == [0, 1]
    for good in ("one/a.png", "two/d.png"):
        (tmp_path / good).unlink()
    with pytest.raises(DataError, match="none of 2 images"):
        opened(tmp_path, skip_bad=True)


def test_empty_and_absent_places_are_named(tmp_path):
    with pytest.raises(DataError, match="no images; looked for"):
        opened(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        opened(tmp_path / "absent")
    damaged = tmp_path / "a.zip"
    damaged.write_bytes(b"PK\x03\x04 and no more")
    for open_it in (opened, detect_source):
        with pytest.raises(DataError, match=r"a\.zip: not a readable \.zip"):
            open_it(damaged)


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(64)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(2**13, 2**13 + 1), (2**30, 2**30), (9500, 9500)])
def test_decompression_bombs_are_refused(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png_claiming(*size))
    with pytest.raises(DataError, match=r"bomb\.png: .*(pixels|bomb)"):
        opened(tmp_path)


def test_an_archive_entry_of_absurd_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(1001))
    with pytest.raises(DataError, match=r"bomb\.png: 1001 bytes, more than 1000"):
        opened(tmp_path / "a.zip")


def test_an_archive_is_never_extracted(tmp_path):
    save(RED, tmp_path / "in.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "in.png", "in.png")
        archive.write(tmp_path / "in.png", "../../escaped.png")
    with pytest.raises(DataError, match=r"'\.\./\.\./escaped\.png' leads out of the archive's"):
        opened(tmp_path / "a.zip")
    assert not (tmp_path.parent.parent / "escaped.png").exists()
