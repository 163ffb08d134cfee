"""The game's configuration refuses what cannot be played, and says why."""

import pytest
from pydantic import ValidationError

from egan.config import GameConfig, PopulationConfig, average_by_rule
from egan.discriminator import misfit

PLAYABLE = {"data": {"source": "gaussians"}, "backbone": {"name": "mlp"}}


def test_defaults_are_the_papers_three_mutations_and_one_survivor():
    population = GameConfig(**PLAYABLE).population
    assert population.mutations == ("minimax", "heuristic", "least_squares")
    assert population.survivors == 1 and population.steps == 1


def test_mutations_are_kept_in_their_registered_spelling():
    assert PopulationConfig(mutations=["minmax"]).mutations == ("minimax",)


@pytest.mark.parametrize(
    ("mutations", "message"),
    [
        ([], "at least one mutation is needed"),
        (["heuristic", "heuristic"], "a mutation is named twice: heuristic, heuristic"),
        (["minimax", "minmax"], "named twice"),
        (["heuristc"], "did you mean 'heuristic'"),
        (["nowhere:f"], "cannot be imported"),
    ],
)
def test_impossible_mutations_are_explained(mutations, message):
    with pytest.raises(ValidationError, match=message):
        PopulationConfig(mutations=mutations)


def test_the_discriminators_batch_must_hold_every_survivor():
    with pytest.raises(
        ValidationError, match=r"population\.batch is 5, but .* each of the 3 survivors"
    ):
        GameConfig(**PLAYABLE, population={"survivors": 3, "batch": 5})
    assert GameConfig(**PLAYABLE, population={"survivors": 3, "batch": 6}).population.batch == 6


@pytest.mark.parametrize(
    "values",
    [
        {"seed": -1},
        {"seed": 2**63},
        {"population": {"survivors": 0}},
        {"population": {"steps": 0}},
        {"population": {"noise": "stale"}},
        {"population": {"average": 1.0}},
        {"population": {"size": 3}},
        {"backbone": {"name": "transformer"}},
        {"evolution": {}},
    ],
)
def test_values_out_of_range_and_unknown_keys_are_refused(values):
    with pytest.raises(ValidationError):
        GameConfig(**(PLAYABLE | values))


def test_the_average_by_images_has_its_half_life_and_warms_up():
    def decay(average_kimg, generation: int) -> float:
        population = PopulationConfig(average_kimg=average_kimg)
        return population.average_decay(generation, generation * 16, batch=8, updates=2)

    assert decay(0.001, 0) == 0
    # 16 images a generation; after 10 of them the half-life is 5 % of 160 images.
    assert decay(0.001, 10) == pytest.approx(0.5 ** (16 / 1))
    assert decay(1, 10) == pytest.approx(0.5 ** (16 / 8))
    assert decay(1, 10**5) == pytest.approx(0.5 ** (16 / 1000))
    assert decay("auto", 10**5) == decay(average_by_rule(8), 10**5) == decay(2.5, 10**5)
    ramp = {"from": 0, "to": 0.5, "over": 1.6}  # takes the place of the warm-up
    assert decay(ramp, 0) == 0
    assert decay(ramp, 50) == pytest.approx(0.5 ** (16 / 250))


@pytest.mark.parametrize("value", [0, -1, "automatic", {"from": -1, "to": 1, "over": 1}])
def test_impossible_half_lives_are_refused(value):
    with pytest.raises(ValidationError):
        PopulationConfig(average_kimg=value)


@pytest.mark.parametrize("loss", ["wasserstein", "relativistic"])
def test_a_critics_logits_are_not_taken_for_probabilities(loss):
    config = {**PLAYABLE, "discriminator": {"loss": loss}}
    with pytest.raises(
        ValidationError,
        match=rf"loss: {loss} is published with population\.mutations=\[{loss}\], not with "
        "minimax, heuristic, least_squares, which take a logit for a probability",
    ):
        GameConfig(**config)
    population = {"mutations": [loss, "math:fsum"]}  # what is a user's own is not judged
    assert GameConfig(**config, population=population).population.mutations[0] == loss


def test_losses_that_do_not_fit_are_told_and_others_are_not():
    assert misfit("bce", ["minimax", "blend", "own:loss"]) is None
    assert misfit("hinge", ["wasserstein", "heuristic"]) == (
        "discriminator.loss: hinge is published with population.mutations=[wasserstein], "
        "not with heuristic"
    )


def test_without_the_adversary_something_else_must_be_descended():
    alone = {"population": {"mutations": ["no_adversary"]}}
    pairs = {"data": {"source": "glyphs"}, "backbone": {"name": "unet"}}
    assert GameConfig(**pairs, **alone).game.l1 == 100
    for values in (PLAYABLE, {**pairs, "game": {"l1": 0}}):
        with pytest.raises(ValidationError, match="no_adversary leaves the critics out, and"):
            GameConfig(**values, **alone)


def test_a_translator_under_one_mutation_is_told_of_passes_that_it_can_leave_out():
    pairs = {"data": {"source": "glyphs"}, "backbone": {"name": "unet"}}
    one = {"mutations": ["heuristic"]}
    told = GameConfig(**pairs, population=one).spared_passes
    assert told and "game.gradient_ratio=false" in told and "reuse_fakes=true" in told
    taken = {"game": {"gradient_ratio": False}, "population": {**one, "reuse_fakes": True}}
    assert GameConfig(**pairs, **taken).spared_passes is None
    for population in ({}, {**one, "survivors": 2}, {**one, "steps": 2}, {**one, "noise": "fresh"}):
        assert GameConfig(**pairs, population=population).spared_passes is None
    assert GameConfig(**PLAYABLE, population=one).spared_passes is None


def test_a_sum_of_losses_needs_more_than_one():
    summed = {"game": {"gradient_ratio": False}}
    pairs = {"data": {"source": "glyphs"}, "backbone": {"name": "unet"}}
    styles = {**PLAYABLE, "backbone": {"name": "stylegan", "path_weight": 2}}
    for values in (pairs, styles):
        assert not GameConfig(**values, **summed).game.gradient_ratio
    for values in ({**PLAYABLE, **summed}, {**pairs, "game": {"l1": 0, "gradient_ratio": False}}):
        with pytest.raises(ValidationError, match="descend the adversarial loss alone; leave it"):
            GameConfig(**values)
