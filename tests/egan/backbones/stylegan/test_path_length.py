"""Path length regularisation: its value the slow way, when it is computed, and its state."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from egan import gradients
from egan.backbones.progressive.growth import Stage
from egan.backbones.stylegan import networks as stylegan
from egan.backbones.stylegan.latents import crossover_layer, layers
from egan.backbones.stylegan.noise import noise_images
from egan.backbones.stylegan.path_length import RATE
from egan.backbones.stylegan.styles import map_latents, synthesise
from egan.child import RATIO
from egan.config import GameConfig
from egan.cuda_graphs import PROOFS
from egan.data import ImageSource
from egan.data.condition import Conditions
from egan.engine import Engine
from egan.mutations import resolve
from egan.replica import EngineReplica
from egan.state import Weights, checksum, weights_of
from egan.streams import Purpose
from populations.individual import Job
from tests.egan.recording import Tracer

TINY = {"latent": 3, "style": 3, "mapping_layers": 1, "fmap_base": 16, "fmap_max": 3}
DEMODULATED = {"norm": "demodulation", "rgb": "sum", "output": "tanh"}
NAMES = ("minimax", "heuristic")
JOBS = [Job(index, (0,), name) for index, name in enumerate(NAMES)]
IMAGES = np.random.default_rng(5).integers(0, 256, (40, 1, 8, 8), np.uint8)


def lengths(networks, weights, latents, condition, directions, stage) -> torch.Tensor:
    """Return ||J^T y|| of each row, from the whole Jacobian of its image by its styles."""
    side, count, found = stage.resolution, layers(stage.resolution), []
    for row in range(len(directions)):
        own = latents[row : row + 1]
        told = None if condition is None else condition[row : row + 1]
        first, second = (
            map_latents(networks.generator, weights, z, told)[0] for z in (own.z, own.z2)
        )
        place = int(crossover_layer(own.crossover, count))
        styles = torch.stack([first if layer < place else second for layer in range(count)])
        noise = noise_images(own.seeds, side)

        def image(styles, noise=noise):
            return synthesise(networks.generator, weights, styles[None], noise, stage).flatten()

        jacobian = torch.autograd.functional.jacobian(image, styles)  # (pixels, layers, style)
        product = torch.tensordot(directions[row].flatten() / side, jacobian, dims=1)
        found.append(product.square().sum(1).mean().sqrt())
    return torch.stack(found)


@pytest.mark.parametrize(
    ("own", "stage", "told"),
    [(DEMODULATED, Stage(8), False), ({}, Stage(8, 0.5), True)],
    ids=["StyleGAN2", "fading in, told a label"],
)
def test_the_penalty_is_that_of_the_whole_jacobian(own, stage, told, stream, lively):
    config = stylegan.StyleGANConfig(**TINY, **own, path_weight=2, path_every=8)
    labels = Conditions("labels", 2, ("a", "b"), (0.5, 0.5))
    networks = stylegan.build(config, (1, 8, 8), labels if told else None)
    weights = lively(networks.generator)
    before = torch.tensor(0.3)
    weights = Weights(weights.params, weights.buffers | {"path_length": before})
    latents, condition = networks.noise(6, stream), torch.eye(2)[[0, 1, 1, 0, 0, 1]]
    condition = condition if told else None
    directions = torch.randn(3, 1, 8, 8, generator=stream)
    expected = lengths(networks, weights, latents, condition, directions, stage)
    mean = (1 - RATE) * before + RATE * expected.mean()
    loss, buffers = networks.regularisation(weights, latents, condition, directions, stage)
    torch.testing.assert_close(loss, 2 * 8 * (expected - mean).square().mean())
    torch.testing.assert_close(buffers, {"path_length": mean})


def engine_of(record=None, **sections) -> Engine:
    config = GameConfig.model_validate(
        {
            "seed": 4,
            "data": {"source": "digits"},
            "backbone": {"name": "stylegan", **TINY, **DEMODULATED, "path_weight": 2.0}
            | sections.pop("backbone", {}),
            "population": {"batch": 8, "mutations": NAMES, **sections.pop("population", {})},
            "fitness": {"batch": 8},
        }
    )
    mutations = {name: resolve(name) for name in NAMES}
    source, device = ImageSource("noise", IMAGES), torch.device("cpu")
    return Engine(config, source, mutations, device, record=record)


def after(engine, generations):
    state = engine.initial_state()
    for _ in range(generations):
        state, _ = engine.advance(state, engine.vary(state, JOBS[:1]))
    return state


def path_length(state) -> float:
    return float(state.parents[0].networks["generator"].weights.buffers["path_length"])


def test_siblings_descend_their_loss_and_the_penalty():
    engine = engine_of()
    state = after(engine, 4)
    context, parent = engine.context(4), weights_of(state.parents[0].networks)
    inputs, critics = context.inputs(8, Purpose.TRAIN_NOISE, (0, 0), {}), weights_of(state.critics)
    directions, losses = context.directions(1, 0), tuple(map(resolve, NAMES))
    together, plain = (
        gradients.descents(context, parent, critics, inputs, {}, None, each, mutations=losses)[0]
        for each in (directions, None)
    )
    own = Weights(parent["generator"].params.requires_grad_(), parent["generator"].buffers)
    penalty, _ = engine.game.networks.regularisation(own, inputs["noise"], None, directions, None)
    (slope,) = torch.autograd.grad(penalty, own.params)
    assert slope.abs().max() > 1e-3
    for (loss, (gradient,), ratio), (alone, (adversarial,), _) in zip(together, plain, strict=True):
        torch.testing.assert_close(loss, alone + penalty.detach())
        torch.testing.assert_close(gradient, adversarial + slope)
        torch.testing.assert_close(ratio, (adversarial.norm() / slope.norm()).double())


def test_it_is_computed_in_every_nth_step_of_the_run_on_half_the_batch():
    engine = engine_of(backbone={"path_every": 3}, population={"steps": 2})
    shapes = [
        None
        if (found := engine.context(step // 2).directions(2, step % 2)) is None
        else found.shape
        for step in range(8)
    ]
    due = (4, 1, 8, 8)
    assert shapes == [due, None, None, due, None, None, due, None]
    first, second = (engine.context(g).directions(2, s) for g, s in ((0, 0), (1, 1)))
    assert not torch.equal(first, second)
    assert torch.equal(first, engine_of(backbone={"path_every": 3}).context(0).directions(1, 0))


def test_directions_have_the_size_of_the_stage():
    config = stylegan.StyleGANConfig(**TINY, path_weight=2, growth={"start": 4})
    networks = stylegan.build(config, (3, 16, 16))
    assert networks.directions(0, 8, Stage(8, 0.5)) == (4, 3, 8, 8)
    assert networks.directions(4, 1, None) == (1, 3, 16, 16)
    assert networks.directions(5, 8, None) is None


def test_the_running_mean_moves_in_those_steps_alone_and_is_state_only_where_it_is_used():
    engine, seen = engine_of(), []
    state = engine.initial_state()
    for _ in range(6):
        seen.append(path_length(state))
        state, _ = engine.advance(state, engine.vary(state, JOBS[:1]))
    assert seen[0] == 0 < seen[1] == seen[2] == seen[3] == seen[4] < seen[5]
    plain = after(engine_of(backbone={"path_weight": 0}), 1)
    names = [name for name, _ in plain.tensors()]
    assert not any("path_length" in name for name in names)
    before = checksum(state)
    state.parents[0].networks["generator"].weights.buffers["path_length"].add_(1e-3)
    assert checksum(state) != before


def test_the_record_tells_how_much_the_penalty_weighs():
    engine = engine_of()
    for generation, due in ((0, True), (1, False)):
        (child,) = engine.vary(after(engine, generation), JOBS[:1])
        assert (RATIO in child.report) == due


def test_a_replica_that_restores_a_state_goes_on_with_the_same_bits():
    replicas = [EngineReplica(engine_of()) for _ in range(2)]
    history = [(JOBS[generation % 2],) for generation in range(6)]
    whole = replicas[0].restore(None, history)
    replicas[1].restore(None, history[:3])
    kept = replicas[1].export()
    assert EngineReplica(engine_of()).restore(kept, history[3:]) == whole


def test_steps_with_and_without_the_penalty_have_recordings_of_their_own():
    own = {"path_every": 2}
    plain, recorded = (engine_of(record, backbone=own) for record in (None, Tracer()))
    start = plain.initial_state()
    for generation in range(7):
        state = replace(start, generation=generation)
        (child,), (other,) = (engine.vary(state, JOBS[:1]) for engine in (plain, recorded))
        ours, theirs = (own.networks["generator"].weights for own in (child, other))
        assert torch.equal(ours.params, theirs.params)
        assert torch.equal(ours.buffers["path_length"], theirs.buffers["path_length"])
    recordings = recorded._recordings
    assert not recordings._plain
    assert [entry.proofs for entry in recordings._known.values()] == [PROOFS, PROOFS]
