"""The steps of every backbone: on one device, and recordable."""

import contextlib

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from egan import gradients
from egan.augment import draw
from egan.backbones.progressive.growth import Stage
from egan.config import GameConfig
from egan.cuda_graphs import PROOFS
from egan.data import ImageSource
from egan.engine import Engine
from egan.mutations import resolve
from egan.state import weights_of
from egan.tensor_tree import mapped
from tests.egan.recording import Tracer, played

IMAGES = np.random.default_rng(2).integers(0, 256, (64, 3, 16, 16), np.uint8)
SMALL = {"latent": 6, "fmap_base": 64, "fmap_max": 8, "stddev_group": 2}
STYLES = {"style": 5, "mapping_layers": 2}
GROWING = {"start": 8, "training_kimg": 0.016, "transition_kimg": 0.016}  # 2 + 2 generations
BACKBONES = {
    "dcgan": {"name": "dcgan", "width": 8},
    "stylegan": {"name": "stylegan", **SMALL, **STYLES},
    "stylegan, smoothed": {
        "name": "stylegan",
        **SMALL,
        **STYLES,
        "path_weight": 2.0,
        "path_every": 2,
    },
    "stylegan, growing": {"name": "stylegan", **SMALL, **STYLES, "growth": GROWING},
    "progan": {"name": "progan", **SMALL},
}
PLAYED = {"stylegan, growing": (0, 3, 9)}  # generations: 3 is in a fade-in
NAMES = ("minimax", "heuristic", "least_squares")


def engine_of(backbone: str, record=None, **discriminator) -> Engine:
    config = GameConfig.model_validate(
        {
            "data": {"source": "digits"},
            "backbone": BACKBONES[backbone],
            "population": {"batch": 8},
            "fitness": {"batch": 8},
            "discriminator": discriminator,
        }
    )
    mutations = {name: resolve(name) for name in NAMES}
    source, device = ImageSource("noise", IMAGES), torch.device("cpu")
    return Engine(config, source, mutations, device, record=record)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_steps_stay_on_the_device_of_their_arguments(backbone, monkeypatch):
    """Fake tensors of another device refuse to meet those that a step makes on the CPU."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    engine = engine_of(backbone, r1=1.0, gradient_penalty=1.0)
    state, mutations = engine.initial_state(), tuple(map(resolve, NAMES))
    inputs = engine.game.inputs(8, torch.Generator().manual_seed(0))
    parent = {"generator": state.parents[0].networks["generator"].weights}
    fake = FakeTensorMode()
    changes = draw(8, 0.5, torch.Generator().manual_seed(1))
    parent, critics, inputs, changes = (
        mapped(tree, lambda t: fake.from_tensor(t.to("meta")))
        for tree in (parent, weights_of(state.critics), inputs, changes)
    )
    with fake:
        for context in map(engine.context, PLAYED.get(backbone, (0,))):
            directions = context.directions(1, 0)
            if directions is not None:
                directions = fake.from_tensor(directions.to("meta"))
            descents, buffers = gradients.descents(
                context, parent, critics, inputs, {}, changes, directions,
                mutations=mutations, augment="ada",
            )  # fmt: skip
            fakes = gradients.fakes(context, parent, inputs)
            slope = gradients.gradients_on_reals(context, critics, fakes)
            scores = gradients.objectives(context, parent, critics, inputs, slope)
            mix, strength = (torch.empty(size, device="meta") for size in (8, ()))
            trained = gradients.critic_gradient(
                context, critics["discriminator"], fakes, fakes, inputs, mix, [strength] * 3,
                changes, role="discriminator", loss="bce",
                due=("r1", "r2", "gradient_penalty"), augment="diffaug",
            )  # fmt: skip
            for result in (descents, buffers, fakes, slope, scores, trained):
                found = []
                mapped(result, found.append)
                assert {tensor.device.type for tensor in found} <= {"meta"}
            assert (context.stage is not None and context.stage.alpha < 1) == (
                "growing" in backbone and context.generation == 3
            )
            assert len(descents) == 3 and fakes["x"].shape[0] == 8


def test_networks_that_grow_are_recorded_between_their_fade_ins():
    record = Tracer()
    plain, recorded = (engine_of("stylegan, growing", each) for each in (None, record))
    assert played(recorded, 8) == played(plain, 8)
    recordings = recorded._recordings
    assert not recordings._plain and max(record.replays.values()) > PROOFS
    assert {key[0][1] for key in recordings._known} == {Stage(8), Stage(16)}
