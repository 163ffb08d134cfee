"""Pairs of images: the layouts on disk, and draws that treat both of a pair alike."""

import zipfile
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from egan.data import DataError, open_source
from egan.data.deep import write_deep_png
from egan.data.pair_config import (
    AvatarsPartsConfig,
    EmojiLinesConfig,
    EmojiStylesConfig,
    GlyphsConfig,
    PairsConfig,
)
from egan.data.pair_draws import PairDraws
from egan.data.pairs import PairSource
from egan.streams import Purpose

TRAIN, EVALUATION, CRITIC = (
    Purpose.TRAIN_DATA, Purpose.EVALUATION_DATA, Purpose.DISCRIMINATOR_DATA,
)  # fmt: skip
COUNTS = {TRAIN: 3, EVALUATION: 2, CRITIC: 4}


def picture(value, size=(8, 8), channels=3):
    """Return an image (W, H) whose pixels tell where they lie, and the image's number."""
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    pixels[..., 1] = np.arange(size[0])
    pixels[..., 2] = np.arange(size[1])[:, None]
    image = Image.fromarray(pixels)
    return image if channels == 3 else image.getchannel(0)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def side_by_side(a, b):
    whole = Image.new("RGB", (a.width + b.width, a.height))
    whole.paste(a, (0, 0))
    whole.paste(b, (a.width, 0))
    return whole


def write(root, layout, split="train", count=4, size=(8, 8)):
    """Write pairs whose A has the value 10 n and whose B has 10 n + 1."""
    for n in range(count):
        a, b = picture(10 * n, size), picture(10 * n + 1, size)
        if layout == "whole":
            save(side_by_side(a, b), root / split / f"{n}.png")
        elif layout == "folders":
            save(a, root / "A" / split / f"{n}.png")
            save(b, root / "B" / split / f"{n}.png")
        else:
            save(a, root / f"{split}A" / f"{n}.png")
            save(b, root / f"{split}B" / f"b{n}.png")


def read(root, **options):
    options = {"resolution": 8} | options
    return open_source(PairsConfig(path=root, **options))


@pytest.mark.parametrize("layout", ["whole", "folders", "sets"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_layout_is_read_from_a_folder_and_a_zip(tmp_path, layout, packed):
    root = tmp_path / "maps"
    write(root, layout)
    write(root, layout, split="test", count=2)
    if packed:
        with zipfile.ZipFile(tmp_path / "maps.zip", "w") as archive:
            for file in sorted(root.rglob("*.png")):
                archive.write(file, file.relative_to(tmp_path))
        root = tmp_path / "maps.zip"
    source = read(root)
    assert source.aligned == (layout != "sets") and source.length == 4
    assert source.shape == source.target == (3, 8, 8)
    assert source.a[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert source.b[:, 0, 0, 0].tolist() == [1, 11, 21, 31]
    assert (source.a[0, 1:] == source.b[0, 1:]).all()  # where a pixel lies
    test = read(root, split="test", flip=True)
    assert test.length == 2 and not test.flip and not test.held_out
    assert test.fingerprint != source.fingerprint == read(root).fingerprint


def test_two_sets_of_equal_names_are_pairs_where_the_config_says_so(tmp_path):
    write(tmp_path, "folders")
    assert not read(tmp_path, aligned=False).aligned
    with pytest.raises(DataError, match=r"side by side.*trainA and trainB"):
        write(tmp_path / "x", "whole")
        read(tmp_path / "x", aligned=False)


def test_other_sizes_are_squeezed_as_a_whole(tmp_path):
    write(tmp_path, "whole", size=(32, 16))
    source = read(tmp_path, resolution=(8, 12))
    assert source.a.shape[2:] == (8, 12)
    assert source.a[1, 1, 4, 0] < 3 and source.a[1, 1, 4, -1] > 28  # the whole width


@pytest.mark.parametrize(
    ("channels", "shape", "dtype"),
    [(None, 1, np.uint16), (3, 3, np.uint8), (1, 1, np.uint16)],
)
def test_grey_images_of_16_bits_keep_them(tmp_path, channels, shape, dtype):
    write(tmp_path, "folders", count=3)
    for n in range(3):
        wide = Image.fromarray((np.arange(64, dtype=np.uint16) * 1000 + n).reshape(8, 8))
        (tmp_path / "A" / "train" / f"{n}.png").unlink()
        save(wide, tmp_path / "A" / "train" / f"{n}.tif")
    source = read(tmp_path, channels=channels)
    assert source.a.shape[1] == shape and source.a.dtype == dtype
    if dtype == np.uint16:
        assert source.a[1, 0].ravel().tolist() == [1000 * n + 1 for n in range(64)]
        drawn, _ = PairDraws(source, 0, COUNTS)(0, TRAIN)
        assert drawn.min() >= -1 and drawn.max() == pytest.approx(63_001 / 32_767.5 - 1, abs=1e-4)


@pytest.mark.parametrize(("channels", "mode"), [(2, "LA"), (4, "RGBA")])
def test_opacity_is_kept_where_it_is_asked_for(tmp_path, channels, mode):
    write(tmp_path, "folders", count=2)
    for n in range(2):
        save(Image.new(mode, (8, 8), (9,) * (channels - 1) + (0,)), tmp_path / f"A/train/{n}.png")
    assert read(tmp_path, channels=channels).a[0, :, 0, 0].tolist() == [9] * (channels - 1) + [0]
    assert read(tmp_path).a[0, :, 0, 0].tolist() == [255] * (channels - 1)


def test_what_is_no_pair_is_an_error_that_names_both_files_or_left_out(tmp_path):
    def refused(match):
        with pytest.raises(DataError, match=match):
            read(tmp_path)

    write(tmp_path, "folders", count=6)
    a, b = tmp_path / "A" / "train", tmp_path / "B" / "train"
    (b / "0.png").unlink()
    refused(r"A/train/0.png has no partner B/train/0\.\*; 1 image")
    source = read(tmp_path, skip_bad=True)
    assert source.length == 5 and source.skipped[0][0] == "A/train/0.png"
    (a / "0.png").unlink()
    save(picture(1, (9, 8)), a / "1.png")
    refused(r"A/train/1.png and B/train/1.png: are of two sizes, 9 x 8 and 8 x 8")
    (b / "2.png").write_bytes(b"\x89PNG nothing")
    assert len(read(tmp_path, skip_bad=True).skipped) == 2
    (a / "1.png").unlink()
    (b / "1.png").unlink()
    refused(r"A/train/2.png and B/train/2.png: B/train/2.png cannot be read")
    save(picture(3), a / "3.jpg")
    refused(r"A/train/3.(jpg|png) and A/train/3.(jpg|png) have one name")


def test_other_mistakes_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no images of part 'train'\. Looked for ROOT/train"):
        read(tmp_path)
    save(picture(0), tmp_path / "trainA" / "0.png")
    with pytest.raises(DataError, match="no images in trainB; one side is missing"):
        read(tmp_path)
    write(tmp_path / "odd", "whole", size=(8, 8), count=2)
    save(picture(0, (15, 8)), tmp_path / "odd" / "train" / "0.png")
    with pytest.raises(DataError, match=r"0.png: is 15 pixels wide.*even width"):
        read(tmp_path / "odd")
    write(tmp_path / "grey", "folders", count=3)
    save(picture(2, channels=1), tmp_path / "grey" / "A" / "train" / "2.png")
    with pytest.raises(DataError, match=r"2.png and .*2.png: has .*\(1, 'uint8'\)"):
        read(tmp_path / "grey")
    with pytest.raises(ValidationError, match="load is 6 x 6, smaller than resolution, 8 x 8"):
        PairsConfig(path=tmp_path, resolution=8, load=6)


def test_colours_of_16_bits_are_kept(tmp_path):
    write(tmp_path, "folders", count=3)
    pixels = np.random.default_rng(0).integers(0, 65536, (3, 3, 8, 8), np.uint16)
    for n in range(3):
        write_deep_png(pixels[n], tmp_path / "A" / "train" / f"{n}.png")
    source = read(tmp_path)
    assert source.a.dtype == np.uint16 and (source.a == pixels).all()
    assert source.b.dtype == np.uint8


def test_two_arrays_are_pairs_by_their_rows(tmp_path):
    images = np.arange(5 * 3 * 8 * 8, dtype=np.uint8).reshape(5, 3, 8, 8)
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "b.npy", images[:, :1] + 1)
    np.save(tmp_path / "few.npy", images[:3])
    source = read(tmp_path / "a.npy", target=tmp_path / "b.npy")
    assert source.aligned and source.target == (1, 8, 8) and (source.b == source.a[:, :1] + 1).all()
    with pytest.raises(DataError, match=r"a.npy has 5 images and .*few.npy 3"):
        read(tmp_path / "a.npy", target=tmp_path / "few.npy")
    assert not read(tmp_path / "a.npy", target=tmp_path / "few.npy", aligned=False).aligned
    with pytest.raises(DataError, match=r"a.npy: its images are 8 x 8; set data.resolution"):
        read(tmp_path / "a.npy", target=tmp_path / "b.npy", resolution=16)


# ------------------------------------------------------------------------------------------- draws


def placed(count, side, aligned=True, **options):
    """Return a source whose pixels say (row, y, x), of A and of B alike."""
    rows, y, x = np.meshgrid(np.arange(count), np.arange(side), np.arange(side), indexing="ij")
    images = np.stack([rows, y, x], 1).astype(np.uint8)
    return PairSource("placed", images, images.copy(), aligned, **options)


def values(images):
    return ((images + 1) * 127.5).round().int().numpy()


def test_both_of_a_pair_are_cut_and_mirrored_alike_as_a_function_of_seed_and_generation():
    source = placed(40, 11, size=(8, 8), flip=True)
    draws, again = PairDraws(source, 3, COUNTS), PairDraws(source, 3, COUNTS)
    places, mirrored = set(), set()
    for generation in range(12):
        a, b = draws(generation, TRAIN)
        assert a.shape == (3, 3, 8, 8) and a.equal(b)
        for row, y, x in values(a):
            assert len(np.unique(row)) == 1 and (np.diff(y, axis=0) == 1).all()
            step = np.unique(np.diff(x, axis=1)).item()
            mirrored.add(step)
            places.add((y.min(), x.min()))
    assert mirrored == {-1, 1} and len(places) > 6
    assert max(max(place) for place in places) == 3 and min(min(place) for place in places) == 0
    assert again(7, TRAIN)[0].equal(draws(7, TRAIN)[0])  # at random access
    assert not PairDraws(source, 4, COUNTS)(7, TRAIN)[0].equal(draws(7, TRAIN)[0])


def test_what_is_held_out_judges_and_never_trains():
    draws = PairDraws(placed(40, 8, size=(8, 8), held_out=8), 0, COUNTS)
    seen = {purpose: set() for purpose in COUNTS}
    for generation in range(40):
        for purpose in COUNTS:
            seen[purpose] |= set(values(draws(generation, purpose)[0])[:, 0, 0, 0])
    assert seen[EVALUATION] == {7, 15, 23, 31, 39}
    assert not (seen[TRAIN] | seen[CRITIC]) & seen[EVALUATION]
    assert len(seen[TRAIN] | seen[CRITIC]) == 35


def test_without_held_out_rows_the_purposes_of_a_generation_are_disjoint():
    draws = PairDraws(placed(40, 8, size=(8, 8)), 0, COUNTS)
    for generation in range(4):
        rows = [values(draws(generation, purpose)[0])[:, 0, 0, 0] for purpose in COUNTS]
        assert len(set(np.concatenate(rows))) == 9


def test_two_sets_are_drawn_apart():
    draws = PairDraws(placed(40, 8, aligned=False, size=(8, 8)), 0, COUNTS)
    same = sum(
        (values(a)[:, 0, 0, 0] == values(b)[:, 0, 0, 0]).sum()
        for a, b in (draws(generation, CRITIC) for generation in range(10))
    )
    assert same < 10  # of 40
    with pytest.raises(ValueError, match="no draw of"):
        draws(0, Purpose.PENALTY)


# ------------------------------------------------------------------------------------ built-in sets


def test_glyphs_are_the_same_letters_in_two_fonts():
    config = GlyphsConfig(count=64)
    train, test = open_source(config), open_source(config.model_copy(update={"split": "test"}))
    assert train.shape == train.target == (1, 32, 32)
    assert (train.length, test.length) == (56, 8) and train.held_out and not test.held_out
    ink = [255 - images.astype(float) for images in (train.a, train.b)]
    overlap = (ink[0] * ink[1]).mean((1, 2, 3))
    others = (ink[0] * np.roll(ink[1], 1, 0)).mean((1, 2, 3))
    assert overlap.mean() > 1.3 * others.mean()
    sets = open_source(config.model_copy(update={"aligned": False}))
    assert (len(sets.a), len(sets.b)) == (28, 28) and not sets.aligned
    assert (sets.a == train.a[::2]).all() and (sets.b == train.b[1::2]).all()
    hidden = open_source(config.model_copy(update={"aligned": False, "split": "test"}))
    assert hidden.counterparts and (hidden.a == test.a).all() and (hidden.b == test.b).all()
    with pytest.raises(DataError, match="no 'Comic'; it has DejaVuSans"):
        open_source(GlyphsConfig(fonts=("Comic", "DejaVuSans")))


@pytest.mark.skipif(find_spec("resvg_py") is None, reason="resvg-py is not installed")
def test_emoji_are_lines_and_the_same_in_colour(monkeypatch, tmp_path):
    from egan.data import emoji

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lines, colours = emoji.draw((32, 24), 12)
    assert lines.shape == (12, 1, 32, 24) and colours.shape == (12, 3, 32, 24)
    drawn = (lines < 64).mean((1, 2, 3))
    assert ((drawn > 0.02) & (drawn < 0.9)).all()
    painted = (colours < 250).any(1)  # (N, H, W)
    ink = lines[:, 0] < 64  # a line lies where there is colour
    assert painted[ink].mean() > np.roll(painted, 1, 0)[ink].mean() + 0.1
    calls = []
    monkeypatch.setattr(emoji, "draw", lambda size: calls.append(size) or (lines, colours))
    config = EmojiLinesConfig(resolution=(32, 24), flip=True)
    first, second = open_source(config), open_source(config)
    assert calls == [(32, 24)] and first.fingerprint == second.fingerprint
    assert first.length == 11 and first.flip


@pytest.mark.skipif(find_spec("resvg_py") is None, reason="resvg-py is not installed")
def test_emoji_in_two_styles_are_the_same_emoji(monkeypatch, tmp_path):
    from egan.data import emoji

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fluent, noto = emoji.draw_styles((32, 32), 16)
    assert fluent.shape == noto.shape == (16, 3, 32, 32)
    assert (fluent == emoji.draw((32, 32), 16)[1]).all()
    a, b = (images.astype(float).mean((2, 3)) for images in (fluent, noto))  # mean colours
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > np.corrcoef(a[::-1].ravel(), b.ravel())[0, 1]
    monkeypatch.setattr(emoji, "draw_styles", lambda size: (fluent, noto))
    train = open_source(EmojiStylesConfig(resolution=32))
    assert not train.aligned and train.length == 7 and (train.a[1] == fluent[2]).all()
    assert (train.b[1] == noto[3]).all()
    test = open_source(EmojiStylesConfig(resolution=32, split="test"))
    assert test.counterparts and (test.a == fluent[7::8]).all() and (test.b == noto[7::8]).all()


def test_avatars_come_with_masks_of_their_parts(monkeypatch):
    from egan.data import avatar_pairs

    masks = np.random.default_rng(0).integers(0, 6, (32, 8, 8)).astype(np.uint8)
    images = np.random.default_rng(1).integers(0, 256, (32, 3, 8, 8)).astype(np.uint8)
    sizes = []

    def recorded(value):
        return lambda config: sizes.append((config.style, config.resolution)) or value

    monkeypatch.setattr(avatar_pairs, "recalled", recorded(SimpleNamespace(images=images)))
    monkeypatch.setattr(avatar_pairs, "avatar_parts", recorded(SimpleNamespace(masks=masks)))
    source = open_source(AvatarsPartsConfig(resolution=6, load=8, count=32))
    assert sizes == [("landscape", 8)] * 2 and source.shape == source.target == (3, 6, 6)
    assert (source.b == images[np.arange(32) % 8 != 7]).all() and source.aligned
    found = avatar_pairs.parts_of(source.a, 6)
    assert (found == masks[np.arange(32) % 8 != 7]).all()
    with pytest.raises(ValidationError, match="drawn as squares, not 8 x 12"):
        AvatarsPartsConfig(resolution=(8, 12))


def test_emoji_without_their_pen_are_refused_with_a_remedy(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    from egan.data import emoji

    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(emoji, "version", missing)
    with pytest.raises(DataError, match="pip install resvg-py"):
        open_source(EmojiLinesConfig())
