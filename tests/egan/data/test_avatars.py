"""Avatars: drawn once, labelled by an attribute, refused with a hint where the packages lack."""

from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import numpy as np
import pytest

from egan.data import DataError, avatars, open_source
from egan.data.config import AvatarsConfig

INSTALLED = all(find_spec(name) for name in ("dicebear", "dicebear_styles", "resvg_py"))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def drawings(monkeypatch):
    """Stand in for the packages; note what is drawn."""
    drawn = []

    def draw(style, count, resolution):
        drawn.append((style, count, resolution))
        images = np.full((count, 3, resolution, resolution), len(drawn), np.uint8)
        parts = {"bodyVariant": ("round", "tall"), "eyesVariant": ("big",)}
        parts |= {label: ("a",) for label in avatars.LABELS.values() if label not in parts}
        attributes = {
            name: ((np.arange(count) % len(classes)).astype(np.uint16), classes)
            for name, classes in parts.items()
        }
        return avatars.Drawn(images, attributes)

    monkeypatch.setattr(avatars, "version", lambda package: "1.0")
    monkeypatch.setattr(avatars, "draw_avatars", draw)
    return drawn


def test_avatars_are_drawn_once_and_kept(drawings, tmp_path):
    config = AvatarsConfig(count=6, resolution=8)
    first, second = open_source(config), open_source(config)
    assert drawings == [("critters", 6, 8)]
    assert first.fingerprint == second.fingerprint
    assert second.shape == (3, 8, 8) and second.classes == ("round", "tall")
    assert second.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".npz"]


def test_other_avatars_are_drawn_anew(drawings):
    for changes in ({}, {"style": "pixel-art"}, {"count": 3}, {"resolution": 16}):
        open_source(AvatarsConfig(**{"count": 2, "resolution": 8} | changes))
    assert len(drawings) == 4


def test_another_label_is_of_the_same_drawings(drawings):
    body = open_source(AvatarsConfig(count=4, resolution=8))
    eyes = open_source(AvatarsConfig(count=4, resolution=8, label="eyesVariant"))
    assert len(drawings) == 1
    assert np.array_equal(body.images, eyes.images)
    assert (body.classes, body.labels.tolist()) == (("round", "tall"), [0, 1, 0, 1])
    assert (eyes.classes, eyes.labels.tolist()) == (("big",), [0, 0, 0, 0])
    assert eyes.labels.dtype == np.int64


def test_a_damaged_cache_is_drawn_again(drawings, tmp_path):
    config = AvatarsConfig(count=2, resolution=8)
    open_source(config)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    assert len(open_source(config)) == 2 and len(drawings) == 2


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(avatars, "version", missing)
    with pytest.raises(DataError, match="pip install dicebear-core dicebear-styles resvg-py"):
        open_source(AvatarsConfig())


@pytest.mark.skipif(not INSTALLED, reason="the packages of the extra `avatars` are not installed")
def test_a_long_drawing_tells_how_far_it_is(monkeypatch, caplog):
    monkeypatch.setattr(avatars, "INTERVAL", 0)
    avatars.draw_avatars("critters", 2, 8)
    assert caplog.messages[-1] == "drawing avatars (critters), once: 1 of 2"
    caplog.clear()
    monkeypatch.setattr(avatars, "INTERVAL", 60)
    avatars.draw_avatars("critters", 2, 8)
    assert caplog.messages == []


@pytest.mark.skipif(not INSTALLED, reason="the packages of the extra `avatars` are not installed")
@pytest.mark.parametrize("style", sorted(avatars.LABELS))
def test_every_style_draws_varied_and_labelled_avatars(style):
    source = open_source(AvatarsConfig(style=style, count=40, resolution=16))
    assert source.images.shape == (40, 3, 16, 16)
    assert len(np.unique(source.images, axis=0)) > 30
    assert len(set(source.labels.tolist())) == len(source.classes) > 1
    assert np.array_equal(source.images[:5], avatars.draw_avatars(style, 5, 16).images)


def test_an_attribute_is_the_class_of_each_avatar_and_none_where_it_lacks_the_part():
    found = avatars._attributes(
        [
            {"hatVariant": "tall", "hairColor": ["#222", "#333"], "skinColor": [], "size": 8},
            {"hatVariant": None, "hairColor": ["#111"], "skinColor": []},
            {"hairColor": ["#222"]},
        ]
    )
    assert {name: (labels.tolist(), classes) for name, (labels, classes) in found.items()} == {
        "hatVariant": ([1, 0, 0], ("none", "tall")),
        "hairColor": ([1, 0, 1], ("#111", "#222")),
    }


@pytest.mark.skipif(not INSTALLED, reason="the packages of the extra `avatars` are not installed")
def test_an_unknown_attribute_is_refused_and_the_parts_are_named():
    with pytest.raises(DataError, match=r"no critters avatar has 'wingVariant'.*eyes"):
        open_source(AvatarsConfig(count=2, label="wingVariant"))
