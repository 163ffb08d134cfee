"""Translators of two sets do not take black for white, a known failure of CycleGAN."""

import pytest

from egan.data import open_source
from runs.config.loading import load_config
from runs.training.driver import evolve
from runs.translation.comparing import compared
from runs.translation.opening import open_translator

RUN = [
    "tracking.enabled=false", "evaluation.every=null", "optimizer.decay=null", "generations=150",
    "backbone.critic_layers=1", "execution.threads=1", "population.mutations=[least_squares]",
    "backbone.width=8", "backbone.blocks=2", "backbone.critic_width=8",
    "data={source: glyphs, resolution: 32, aligned: false}",
]  # fmt: skip


def inverted(way):
    """Return the share of translations that are nearer to the target's negative."""
    wanted, made = way.wanted.astype(int), way.made.astype(int)
    own, other = (abs(made - target).mean((1, 2, 3)) for target in (wanted, 255 - wanted))
    return (other < own).mean()


@pytest.mark.long
@pytest.mark.parametrize("identity", [0.5, 0])
def test_letters_stay_black(identity, without_plots, tmp_path):
    config = load_config("cyclegan-emoji", overrides=[*RUN, f"game.identity={identity}"])
    opened = open_translator(evolve(config, tmp_path / "run").path)
    images = open_source(config.data.model_copy(update={"split": "test"}))
    ways = {way.name: way for way in compared(opened.translator, images)}
    assert inverted(ways["a-to-b"]) == inverted(ways["b-to-a"]) == 0
