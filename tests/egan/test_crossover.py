"""Crossover by distillation, and IE-GAN's objectives, beside slow, obvious references."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from egan.config import PopulationConfig
from egan.streams import Purpose
from fitness.scores import spread
from populations.individual import Job
from populations.seeding import torch_seed
from tests.egan.test_variation import assert_same, flat, train_noise

CROSSING = {"survivors": 2, "crossover": "distillation"}
CROSSED = Job(6, (4, 2), "distillation")  # of parent 1's heuristic child and parent 0's third
IEGAN = {"name": "iegan", "gamma": 0.05}


def evaluation_noise(engine, state) -> torch.Tensor:
    seed = torch_seed(engine.config.seed, state.generation, Purpose.EVALUATION_NOISE, 0, 0)
    shape = engine.config.fitness.batch, engine.config.backbone.latent
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def distances(samples: torch.Tensor) -> list[float]:
    """The mean absolute difference of each sample to the next one."""
    rows = [sample.flatten().tolist() for sample in samples]
    return [
        sum(abs(a - b) for a, b in zip(row, rows[(place + 1) % len(rows)], strict=True)) / len(row)
        for place, row in enumerate(rows)
    ]


def continued(engine, module: nn.Module, moments) -> torch.optim.Adam:
    """torch's Adam on a module's parameters, with an individual's moments."""
    settings = engine.config.optimizer
    parameters = list(module.parameters())
    optimizer = torch.optim.Adam(
        parameters, settings.learning_rate, settings.betas, settings.eps, foreach=False
    )
    start = 0
    for parameter in parameters:
        part = slice(start, start := start + parameter.numel())
        optimizer.state[parameter] = {
            "step": torch.tensor(float(moments.step)),
            "exp_avg": moments.first[part].view_as(parameter).clone(),
            "exp_avg_sq": moments.second[part].view_as(parameter).clone(),
        }
    return optimizer


@pytest.mark.parametrize("kind", ("mlp", "dcgan"))
@pytest.mark.parametrize("diversity", [0.0, 5.0])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_child_of_two_mutants_is_the_first_after_a_step_towards_the_better_fakes(
    engine_of, jobs_of, after, ordinary, kind, diversity, steps
):
    engine = engine_of(
        kind, population={**CROSSING, "crossover_diversity": diversity, "steps": steps}
    )
    state = after(engine, 3)
    (child,) = engine.vary(state, [CROSSED])
    assert child.failure is None

    function = engine.game.generators["generator"]
    jobs = jobs_of(engine)
    mutants = engine.vary(state, [jobs[index] for index in CROSSED.parents])
    networks = [mutant.networks["generator"] for mutant in mutants]
    judge = state.critics["discriminator"].weights
    z = train_noise(engine, state, steps)  # not that of any mutant's step
    fakes, worth = [], []
    for network in networks:
        with torch.no_grad():
            made = ordinary(function, network.weights)(z)
            logits = ordinary(engine.game.critics["discriminator"], judge)(made)
        fakes.append(made)
        pairs = zip(logits.tolist(), distances(made), strict=True)
        worth.append([logit + diversity * distance for logit, distance in pairs])
    which = [int(b > a) for a, b in zip(*worth, strict=True)]
    assert set(which) == {0, 1}, "neither is better everywhere: the test sees a choice"
    targets = torch.stack([fakes[place][row] for row, place in enumerate(which)])
    student = ordinary(function, networks[0].weights)
    optimizer = continued(engine, student, networks[0].moments)
    ((student(z) - targets) ** 2).mean().backward()
    optimizer.step()

    made = child.networks["generator"]
    assert torch.equal(made.weights.params, flat(student))
    assert made.moments.step == networks[0].moments.step + 1
    moments = [optimizer.state[p] for p in student.parameters()]
    assert torch.equal(made.moments.first, torch.cat([m["exp_avg"].flatten() for m in moments]))
    for name, buffer in student.named_buffers():
        assert torch.equal(made.weights.buffers[name], buffer)


@pytest.mark.parametrize("kind", ("mlp", "dcgan"))
def test_a_crossing_changes_neither_mutants_nor_parents_and_needs_none_made_before(
    engine_of, jobs_of, after, bits, kind
):
    engine = engine_of(kind, population=CROSSING)
    state = after(engine, 2)
    jobs = jobs_of(engine)
    assert jobs == jobs_of(engine_of(kind, population={"survivors": 2})) and len(jobs) == 6
    before = {name: tensor.clone() for name, tensor in state.tensors()}
    mutants = {child.job: child for child in engine.vary(state, jobs)}
    copies = {job: bits(child) for job, child in mutants.items()}
    (crossed,) = engine.vary(state, [CROSSED], mutants)
    (alone,) = engine.vary(state, [CROSSED])
    assert_same(bits(crossed), bits(alone))
    assert_same(dict(state.tensors()), before)
    for job, child in mutants.items():
        assert_same(bits(child), copies[job])


def test_a_crossed_survivor_goes_on_in_the_line_of_its_first_mutants_parent(engine_of, after):
    engine = engine_of("mlp", population={**CROSSING, "average": 0.9})
    state = after(engine, 2)
    (child,) = engine.vary(state, [CROSSED])
    advanced, _ = engine.advance(state, [child, child])
    own = child.networks["generator"].weights.params
    decay = engine.config.population.average_decay(2, 0, 8, 1)
    old = state.parents[1].average["generator"].params
    expected = old.lerp(own, 1 - decay)
    assert torch.equal(advanced.parents[0].average["generator"].params, expected)


@pytest.mark.parametrize("kind", ("mlp", "dcgan"))
def test_the_objectives_of_iegan_are_the_mean_logit_and_the_mean_distance(
    engine_of, jobs_of, after, ordinary, kind
):
    engine = engine_of(kind, fitness=IEGAN)
    state = after(engine, 2)
    assert engine.gradients_on_reals(state) == {}
    children = engine.vary(state, jobs_of(engine))
    scores = engine.evaluate(state, children)
    for child in children:
        weights = child.networks["generator"].weights
        with torch.no_grad():
            fakes = ordinary(engine.game.generators["generator"], weights)(
                evaluation_noise(engine, state)
            )
            critic = engine.game.critics["discriminator"]
            logits = ordinary(critic, state.critics["discriminator"].weights)(fakes)
        quality = sum(logits.tolist()) / len(logits)
        distance = sum(distances(fakes)) / len(fakes)
        assert scores[child.job.index].values == pytest.approx((quality, distance), rel=1e-5)


def test_equal_samples_have_no_distance():
    assert spread(torch.ones(4, 2, 3)).tolist() == [0.0] * 4
    assert spread(torch.tensor([[0.0, 0.0], [1.0, 3.0], [1.0, 3.0]])).tolist() == [2.0, 0.0, 2.0]


def test_a_crossover_needs_two_children_and_a_name_of_its_own():
    with pytest.raises(ValidationError, match="crosses two children, but heuristic of one survivo"):
        PopulationConfig(mutations=("heuristic",), crossover="distillation")
    assert PopulationConfig(survivors=3, crossover="distillation").children == 3 * 3 + 1
    assert PopulationConfig(survivors=3).children == 9
