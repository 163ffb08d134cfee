"""Facts of data: sizes and channels from headers alone, pairs by their folders."""

import numpy as np
import pytest
from PIL import Image

from egan.data import DataError
from egan.data.config import ArrayConfig, ImagesConfig
from egan.data.decoding import decode_image, measure
from egan.data.facts import facts_of, pair_kind
from egan.data.pair_config import PairsConfig


def save(path, size=(9, 9), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)


def test_the_facts_of_a_folder(tmp_path):
    for name, size in (("a/1", (40, 20)), ("a/2", (30, 30)), ("b/3", (33, 30))):
        save(tmp_path / f"{name}.png", size)
    facts = facts_of(ImagesConfig(path=tmp_path))
    assert (facts.count, facts.channels, facts.classes, facts.oblong) == (3, 3, 2, 2)
    assert facts.sides == {20: 1, 30: 2} and facts.side == 20
    assert facts.told == "3 images, colour, the smallest 40 x 20 (a/1.png)"


def test_images_of_one_size_are_told_by_it(tmp_path):
    np.save(tmp_path / "set.npy", np.zeros((5, 28, 28), np.uint8))
    facts = facts_of(ArrayConfig(path=tmp_path / "set.npy"))
    assert facts.told == "5 images, grey, 28 x 28"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_headers_say_the_channels_that_decoding_gives(tmp_path, mode):
    save(tmp_path / "a.png", (9, 8), mode)
    content = (tmp_path / "a.png").read_bytes()
    decoded = decode_image(content, 8, None)
    assert measure(content) == (9, 8, len(decoded.pixels))


def test_mixed_channels_are_refused_unless_all_are_converted(tmp_path):
    save(tmp_path / "a.png", mode="L")
    save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png: has 3 channels where .* data\.channels"):
        facts_of(ImagesConfig(path=tmp_path))
    assert facts_of(ImagesConfig(path=tmp_path, channels=1)).count == 2
    assert facts_of(ImagesConfig(path=tmp_path, skip_bad=True)).count == 1


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "a.png").write_text("<html>")
    with pytest.raises(DataError, match=r"a\.png: .*it is a web page"):
        facts_of(ImagesConfig(path=tmp_path))
    with pytest.raises(DataError, match="none of 1 images can be used"):
        facts_of(ImagesConfig(path=tmp_path, skip_bad=True))


@pytest.mark.parametrize(
    ("folders", "kind"),
    [
        (("trainA", "trainB", "testA", "testB"), "sets"),
        (("A/train", "B/train"), "pairs"),
        (("A", "B", "C"), "images"),
        (("cats", "dogs"), "images"),
    ],
)
def test_pairs_are_told_by_their_folders(tmp_path, folders, kind):
    for folder in folders:
        save(tmp_path / "set" / folder / "1.png")
    assert pair_kind(ImagesConfig(path=tmp_path)) == kind
    if kind != "images":
        facts = facts_of(PairsConfig(path=tmp_path))
        assert (facts.count, facts.side) == (1, 9)


def test_folders_a_and_b_of_equal_names_are_asked_about(tmp_path):
    save(tmp_path / "A/1.png")
    save(tmp_path / "B/1.jpg")
    with pytest.raises(DataError, match=r"A/train/.*data\.labels=folders"):
        pair_kind(ImagesConfig(path=tmp_path))
    save(tmp_path / "B/2.jpg")
    assert pair_kind(ImagesConfig(path=tmp_path)) == "images"
