"""Masks of avatars' parts: exact, aligned with the drawings, drawn once."""

from importlib.util import find_spec

import numpy as np
import pytest

from egan.data import avatar_parts, avatars
from egan.data.config import AvatarsConfig

INSTALLED = all(find_spec(name) for name in ("dicebear", "dicebear_styles", "resvg_py"))

SVG = (
    '<svg viewBox="0 0 4 4" fill="none" shape-rendering="auto" width="4" height="4"><defs>'
    '<clipPath id="c"><path d="M0 0h4v4H0z"/></clipPath>'
    '<g id="body-round-0123abcd"><g><path d="M0 2h4v2H0z" fill="#6ee7b9" opacity=".5"/></g></g>'
    '<g id="eyes-big-0123abcd"><path d="M1 2h1v1H1z" stroke="#111" fill="none"/></g>'
    '<g id="odd-x-0123abcd"><path d="M1 2h1v1H1z" fill="#222"/></g></defs>'
    '<g><rect width="4" height="4" fill="#b6e3f4"/><use href="#body-round-0123abcd"/></g></svg>'
)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_flat_drawing_has_one_opaque_colour_for_each_part():
    text = avatar_parts.flat(SVG, "critters")
    names = avatar_parts.PARTS["critters"]
    body, eyes = (f"#{names.index(part) * avatar_parts.STEP:02x}0000" for part in ("body", "eyes"))
    assert f'd="M0 2h4v2H0z" fill="{body}"/>' in text
    assert f'stroke="{eyes}" fill="none"/>' in text
    assert 'fill="#000000"' in text  # the background
    assert "opacity" not in text and "#222" not in text  # what is no part is not seen
    assert 'shape-rendering="crispEdges"' in text


def test_what_a_mask_lets_through_keeps_its_colours():
    text = '<path fill="#123456"/><mask id="m"><path fill="white"/></mask><path fill="#222"/>'
    painted = avatar_parts._painted(text, "critters", "top")
    assert '<mask id="m"><path fill="white"/></mask>' in painted
    assert painted.count('fill="#100000"') == 2


def test_masks_are_drawn_once_and_kept(monkeypatch, tmp_path):
    drawn = []

    def draw(style, count, resolution):
        drawn.append(style)
        return np.ones((count, resolution, resolution), np.uint8)

    monkeypatch.setattr(avatars, "version", lambda package: "1.0")
    monkeypatch.setattr(avatar_parts, "draw_parts", draw)
    config = AvatarsConfig(count=3, resolution=8)
    first, second = avatar_parts.avatar_parts(config), avatar_parts.avatar_parts(config)
    assert drawn == ["critters"] and np.array_equal(first.masks, second.masks)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:50])
    assert avatar_parts.avatar_parts(config).names == avatar_parts.PARTS["critters"]
    assert len(drawn) == 2  # a damaged file is drawn again


@pytest.mark.skipif(not INSTALLED, reason="the packages of the extra `avatars` are not installed")
@pytest.mark.parametrize("style", sorted(avatar_parts.PARTS))
def test_masks_are_those_of_the_drawings(style):
    """Within the mask of a part of one colour, and off its edges, the drawing has one colour."""
    masks = avatar_parts.draw_parts(style, 4, 64)
    images = avatars.draw_avatars(style, 4, 64).images
    seen = np.unique(masks)
    assert len(seen) >= len(avatar_parts.PARTS[style]) - 4
    for image, mask in zip(images, masks, strict=True):
        inner = np.all(
            [np.roll(mask == 0, shift, (0, 1)) for shift in ((0, 3), (0, -3), (3, 0), (-3, 0))], 0
        )
        inner[[0, 1, 2, -3, -2, -1]] = inner[:, [0, 1, 2, -3, -2, -1]] = False
        colours, counts = np.unique(image[:, inner], axis=1, return_counts=True)
        assert counts.max() / counts.sum() > 0.95, "the background has one colour"
        frame = colours[:, counts.argmax()]
        outside = (image == frame[:, None, None]).all(0) & (mask != 0)
        assert outside.sum() < 0.02 * mask.size, "and no part has it"


@pytest.mark.skipif(not INSTALLED, reason="the packages of the extra `avatars` are not installed")
def test_every_component_of_a_style_is_a_part_or_lies_on_one():
    for style, names in avatar_parts.PARTS.items():
        found = {
            component
            for avatar in avatars.avatars_of(style, 5, 16)
            for _, component in avatar_parts.SYMBOL.findall(avatar.to_string())
        }
        on_parts = {avatar_parts.OF_PARTS.get(name, name) for name in found - {"animation"}}
        assert on_parts <= set(names)
