"""Translations of part masks, judged by what a segmenter sees in them."""

import numpy as np
import pytest
import torch

from egan.data.avatar_pairs import COLOURS, painted
from egan.data.pair_config import AvatarsPartsConfig, GlyphsConfig
from fitness.segmenters.base import Segmenter
from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.translation import part_scores
from runs.translation.comparing import Compared
from runs.translation.part_scores import PARTS, PartScores


class ByRed(Segmenter):
    """Sees part n where red is 20 n."""

    def presence(self, images):
        red = (images[:, :1] + 1) * 127.5
        return -(red - 20 * torch.arange(6)[:, None, None]).abs()


@pytest.fixture
def masks():
    return np.random.default_rng(0).integers(0, 6, (3, 8, 8))


@pytest.fixture(autouse=True)
def seen_by_red(monkeypatch):
    def segmenter(style, resolution, device, progress):
        assert (style, resolution) == ("landscape", 8)
        return ByRed("parts", tuple("abcdef"), "x")

    monkeypatch.setattr(part_scores, "part_segmenter", segmenter)


def picture(masks):
    return np.repeat(20 * masks[:, None], 3, 1).astype(np.uint8)


def test_translated_masks_show_their_parts(masks):
    scores = PartScores(AvatarsPartsConfig(resolution=8), False, "cpu")
    wrong = masks.copy()
    wrong[:, :4] = (masks[:, :4] + 1) % 6
    for made, accuracy in ((masks, 1.0), (wrong, 0.5)):
        way = Compared("", painted(masks), picture(made), None, picture(masks))
        found = scores([way], PARTS)
        assert found.keys() == {f"{name}-parts-3" for name in PARTS}
        assert found["part-accuracy-parts-3"] == pytest.approx(accuracy)
    assert scores([way], ["part-iou", "l1"]).keys() == {"part-iou-parts-3"}


def test_the_other_direction_reads_the_colours_of_translations(masks):
    noisy = painted(masks).astype(int) + np.random.default_rng(1).integers(-20, 20, (3, 3, 8, 8))
    made = noisy.clip(0, 255).astype(np.uint8)
    way = Compared("", picture(masks), made, painted(masks), painted(masks))
    found = PartScores(AvatarsPartsConfig(resolution=8), True, "cpu")([way], PARTS)
    assert found["part-iou-parts-3"] == 1.0
    scores = PartScores(AvatarsPartsConfig(resolution=8), False, "cpu")
    sets = [
        Compared("a-to-b", painted(masks), picture(masks), None, picture(masks)),
        Compared("a-to-a", painted(masks), painted(masks), painted(masks), painted(masks)),
        Compared("b-to-a", picture(masks), made, None, painted(masks)),
    ]
    assert scores(sets, PARTS).keys() == {f"a-to-b/{name}-parts-3" for name in PARTS}


def test_what_has_no_parts_is_refused():
    with pytest.raises(ConfigError, match=r"are of data\.source=avatars-parts; this is glyphs"):
        PartScores(GlyphsConfig(), False, "cpu")
    with pytest.raises(ConfigError, match="part-iou do not score translations"):
        load_config("pix2pix-emoji", overrides=["evaluation.metrics=[l1, part-iou]"])
    with pytest.raises(ConfigError, match="part-iou compare translations"):
        load_config("digits", overrides=["evaluation.metrics=[part-iou]"])
    kept = load_config("pix2pix-parts", overrides=["evaluation.metrics=[translation, parts]"])
    assert kept.evaluation.metrics == ("translation", "parts")


def test_the_colours_of_parts_are_far_from_each_other():
    apart = np.abs(COLOURS[:, None].astype(int) - COLOURS).sum(2)
    assert apart[~np.eye(len(COLOURS), dtype=bool)].min() > 100
