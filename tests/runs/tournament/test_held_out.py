import math

import numpy as np
import pytest
import torch

from egan.data import DataError, open_held_out, open_source
from egan.data.config import DigitsConfig
from egan.data.held_out import divide
from egan.data.source import ImageSource
from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.sampling import opening
from runs.tournament import held_out
from runs.tournament.held_out import RANKING, VERDICT, Judge, kept_from_training


def test_what_is_held_out_is_not_trained_on_and_nothing_is_lost():
    whole = open_source(DigitsConfig(resolution=None))
    config = DigitsConfig(resolution=None, held_out=300)
    rest, held = open_source(config), open_held_out(config)
    assert (len(rest), len(held)) == (1497, 300)
    assert rest.fingerprint != whole.fingerprint != held.fingerprint

    def rows(source):
        pairs = zip(source.images, source.labels, strict=True)
        return sorted((image.tobytes(), label) for image, label in pairs)

    assert sorted(rows(rest) + rows(held)) == rows(whole)
    assert np.array_equal(open_held_out(config).images, held.images)


def test_enough_must_be_left_for_training():
    source = ImageSource("few", np.zeros((10, 1, 4, 4), np.uint8))
    assert len(divide(source, 8)[0]) == 2
    with pytest.raises(DataError, match=r"lower data\.held_out"):
        divide(source, 9)


def test_an_endless_source_keeps_nothing_back_a_finite_one_less_than_a_fifth(tiny):
    assert kept_from_training(tiny()) == {}
    digits = tiny(
        base=f"{{data: {{source: digits}}, backbone: {{name: dcgan}}, {REST}}}", judge="{}"
    )
    assert kept_from_training(digits) == {"held_out": 256 + 85}


REST = "population: {batch: 8}, fitness: {batch: 8}, tracking: {enabled: false}"


class Sampler:
    """Gives what it is told to."""

    def __init__(self, samples):
        self.samples, self.seeds = samples, []

    def batches(self, count, seed):
        self.seeds.append(seed)
        yield from self.samples[:count].split(50)


@pytest.fixture
def fitness(tiny, monkeypatch):
    """The fitness of given samples, on a draw."""
    tournament = tiny(judge="{samples: 400, reals: 500}")
    judges = [Judge(tournament, tournament.base, draw) for draw in (RANKING, VERDICT)]

    def find(samples, draw=RANKING):
        sampler = Sampler(torch.as_tensor(samples, dtype=torch.float32))
        monkeypatch.setattr(held_out, "open_run", lambda *_: opening.Opened(sampler, "", 0))
        return judges[draw].of_island(None, 0), sampler.seeds

    return find


def test_fitness_is_near_zero_for_the_data_and_worse_for_lost_or_blurred_modes(fitness):
    source = open_source(load_config("gaussians25-bad").data)
    true = source.sample(400, np.random.default_rng(0))[0]
    lost = true[(true[:, 0] < 1)][:300].repeat(2, 0)[:400]
    blurred = true + np.random.default_rng(1).normal(0, 0.5, true.shape)
    best, _ = fitness(true)
    assert abs(best) < 0.025  # 10 / samples
    assert fitness(lost)[0] > best + 0.1
    assert fitness(blurred)[0] > best + 0.1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_samples_that_are_no_numbers_are_the_worst(fitness, value):
    samples = np.zeros((400, 2))
    samples[7, 1] = value
    assert fitness(samples)[0] == math.inf


def test_the_verdict_has_other_noise_and_other_reals(fitness):
    samples = np.random.default_rng(0).normal(0, 3, (400, 2))
    (one, (noise,)), (other, (new_noise,)) = fitness(samples), fitness(samples, VERDICT)
    assert one != other and noise != new_noise
    assert fitness(samples) == (one, [noise])


def test_pairs_are_refused(tiny):
    with pytest.raises(ConfigError, match="pairs"):
        kept_from_training(
            tiny(base=f"{{data: {{source: glyphs}}, backbone: {{name: dcgan}}, {REST}}}")
        )
