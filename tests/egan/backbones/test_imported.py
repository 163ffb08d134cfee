"""Networks of a user's own, named by import path."""

import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from egan.backbones import build_networks
from egan.config import GameConfig
from egan.data import open_source
from egan.engine import Engine
from egan.mutations import resolve
from egan.replica import EngineReplica
from populations.individual import Job

EXAMPLES = Path(__file__).parents[3] / "examples"
OWN = """
import torch
from torch import nn

from egan.backbones import Backbone, Networks
from egan.backbones.function import NetworkFunction
from own_networks import initialise, layers

class Own(Backbone, frozen=True):
    fault: str = ""

    def build(self, shape):
        if self.fault == "no networks":
            return shape
        first = (lambda module, stream: None) if self.fault == "unfilled" else initialise
        wide = shape[0] + (self.fault == "too wide")
        generator = NetworkFunction(lambda: layers(2, 4, wide), first)
        if self.fault == "flat":
            return Networks(generator, NetworkFunction(lambda: Flat(), initialise), 2, "normal")
        latent = 3 if self.fault == "latent" else 2
        critic = NetworkFunction(lambda: layers(wide, 4, 1), initialise)
        return Networks(generator, critic, latent, "normal")

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(2, 1)

    def forward(self, x):
        return self.weight(x).mean()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own", None)


def config(**backbone) -> GameConfig:
    values = {"data": {"source": "gaussians"}, "backbone": backbone, "population": {"batch": 8}}
    return GameConfig.model_validate(values)


def test_a_users_networks_play_like_built_in_ones(own):
    game = config(name="own_networks:TwoLayers", width=5)
    again = GameConfig.model_validate(game.model_dump(mode="json"))
    assert again == game and again.backbone.width == 5
    mutations = {"heuristic": resolve("heuristic")}
    engine = Engine(game, open_source(game.data), mutations, torch.device("cpu"))
    replica, job = EngineReplica(engine), Job(0, (0,), "heuristic")
    first = replica.step(0, None, [job])
    second = replica.step(1, (job,), [job])
    assert first.scores[0].finite and second.checksum != first.checksum


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own:Missing", "cannot be imported: AttributeError"),
        ("nowhere:Own", "cannot be imported: ModuleNotFoundError"),
        ("own:Flat", "must be a class derived from egan.backbones.Backbone"),
    ],
)
def test_what_is_no_backbone_is_refused(own, name, message):
    with pytest.raises(ValidationError, match=message):
        config(name=name)


def test_a_key_that_the_class_has_not_is_named(own):
    with pytest.raises(ValidationError, match="own:Own refuses its keys: depth"):
        config(name="own:Own", depth=3)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no networks", r"own:Own.build returned a tuple, not Networks"),
        ("too wide", r"the generator gave \(2, 3\) for 2 samples; the data need \(2, 2\)"),
        ("flat", r"the discriminator gave logits \(\) for 2 samples"),
        ("latent", r"own:Own fails on two samples: RuntimeError: mat1 and mat2"),
        ("unfilled", r"the generator's initial weights are not finite, or differ"),
    ],
)
def test_networks_that_do_not_fit_are_told_what_they_gave(own, fault, message):
    if fault == "unfilled":  # what memory holds may be the same twice
        torch.utils.deterministic.fill_uninitialized_memory = True
        torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(ValueError, match=message):
            build_networks(config(name="own:Own", fault=fault).backbone, (2,))
    finally:
        torch.use_deterministic_algorithms(False)
