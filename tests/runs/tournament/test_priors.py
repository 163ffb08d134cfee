"""The built-in priors fit every kind of network: islands can be made of what they draw."""

import numpy as np
import pytest

from runs.config.loading import load_config, validate
from runs.tournament.config import tournament_of
from runs.tournament.genes import first_genes, next_genes, with_genes
from runs.tournament.priors import built_in

R3GAN = ["discriminator.r1", "discriminator.r2"]
OPTIMIZER = ["optimizer.learning_rate", "optimizer.discriminator_learning_rate",
             "optimizer.betas.0"]  # fmt: skip


def tournament(preset, name, *overrides):
    base = load_config(preset, overrides)
    return tournament_of({"genes": name}, base, preset)


def penalties(preset, name, *overrides):
    """Return the genes of penalties, as in a tournament's file."""
    genes = built_in(name, load_config(preset, overrides))
    return {key: gene for key, gene in genes.items() if key.startswith("discriminator.")}


@pytest.mark.parametrize("name", ["near", "wide"])
@pytest.mark.parametrize(
    "preset",
    ["gaussians25-bad", "digits", "r3gan-digits", "stylegan-quick", "stylegan2-quick",
     "progan-fashion", "stylegan-fashion"],
)  # fmt: skip
def test_islands_can_be_made_of_what_is_drawn(name, preset):
    points = preset.startswith("gaussians")
    made = tournament(preset, name, *[] if points else ["data={source: digits}"])
    base, stream = made.base, np.random.default_rng(0)
    assert list(made.prior)[:3] == OPTIMIZER
    start = first_genes(made.prior, made.given, 8, stream)
    assert start[0] == made.given
    for genes in [*start, *(next_genes(made.prior, made.given, each, stream) for each in start)]:
        config = validate(with_genes(base.model_dump(mode="json"), genes), "island")
        assert config.optimizer.betas == (genes["optimizer.betas.0"], base.optimizer.betas[1])
    rates = {key: [genes[key] for genes in start] for key in OPTIMIZER[:2]}
    for values in rates.values():  # around the config's own
        assert min(values) < values[0] < max(values)


def test_near_jitters_the_penalties_that_there_are():
    assert list(penalties("digits", "near")) == ["discriminator.r1"]
    assert list(penalties("gaussians25", "near")) == ["discriminator.r1", "discriminator.r2"]
    ends = [f"{key}.{end}" for key in R3GAN for end in ("from", "to")]
    assert list(penalties("r3gan-digits", "near")) == ends
    assert penalties("digits", "near", "discriminator.r1=auto") == {}


def test_wide_begins_with_other_penalties_too():
    values = [0.0, 0.01, 0.1, 1.0]
    for preset in ("gaussians25-bad", "digits"):
        found = penalties(preset, "wide")
        assert [gene["from"] for gene in found.values()] == [values, values]
        assert list(found) == R3GAN
    automatic = penalties("digits", "wide", "discriminator.r1=auto")
    assert automatic["discriminator.r1"] == {"choices": ["auto", *values]}


def test_weights_of_penalties_grow_with_the_images():
    found = penalties("digits", "wide", "data.resolution=64", "population.batch=8")
    middle = 0.0002 * 64 * 64 / 8
    assert found["discriminator.r1"]["from"] == pytest.approx([0, middle / 10, middle, 10 * middle])


def test_a_loss_has_the_penalties_that_it_needs():
    relativistic = ["population.mutations=[relativistic]", "discriminator.loss=relativistic"]
    found = penalties("digits", "wide", *relativistic)
    assert [gene["from"] for gene in found.values()] == [[0.01, 0.1, 1.0]] * 2
    wasserstein = ["population.mutations=[wasserstein]", "discriminator.loss=wasserstein"]
    plain = penalties("digits", "wide", *wasserstein, "backbone.discriminator_norm=none")
    assert list(plain) == ["discriminator.gradient_penalty"]
    assert list(penalties("digits", "wide", *wasserstein)) == R3GAN  # batch normalisation


def test_critics_with_betas_of_their_own_have_a_gene_for_them():
    genes = built_in("wide", load_config("digits", ["optimizer.discriminator_betas=[0.3, 0.99]"]))
    assert list(genes)[:4] == [*OPTIMIZER, "optimizer.discriminator_betas.0"]
