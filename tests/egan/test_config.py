"""The game's configuration refuses what cannot be played, and says why."""

import pytest
from pydantic import ValidationError

from egan.config import GameConfig, PopulationConfig

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
        {"backbone": {"name": "resnet"}},
        {"evolution": {}},
    ],
)
def test_values_out_of_range_and_unknown_keys_are_refused(values):
    with pytest.raises(ValidationError):
        GameConfig(**(PLAYABLE | values))
