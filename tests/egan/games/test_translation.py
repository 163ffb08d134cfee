"""The games of translation against slow references: losses, pools, objectives, both directions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from egan.child import RATIO
from egan.config import GameConfig
from egan.data.pairs import PairSource
from egan.engine import Engine
from egan.games import PairedGame, UnpairedGame
from egan.mutations import MUTATIONS
from egan.replay import replayed
from egan.replica import EngineReplica, export_state, import_state
from egan.state import checksum
from egan.streams import Purpose
from populations.individual import Job

CPU = torch.device("cpu")
NAMES = ("minimax", "heuristic", "least_squares")
JOBS = [Job(index, (0,), name) for index, name in enumerate(NAMES)]
NETWORKS = {
    "unet": {"name": "unet", "width": 2, "downs": 5, "critic_width": 2, "critic_layers": 1},
    "resnet": {"name": "resnet", "width": 2, "blocks": 1, "critic_width": 2, "critic_layers": 1},
}


def source(aligned, channels=(1, 2), count=24, side=32):
    stream = np.random.default_rng(0)
    a, b = (stream.integers(0, 256, (count, c, side, side), np.uint8) for c in channels)
    return PairSource("pairs", a, b, aligned, (side, side), held_out=4)


def engine(aligned, network="unet", channels=(1, 2), **sections):
    values = {
        "seed": 5,
        "data": {"source": "glyphs"},
        "backbone": NETWORKS[network],
        "population": {"batch": 2},
        "fitness": {"batch": 3},
        "optimizer": {"learning_rate": 0.01},
    }
    side = 32 if network == "unet" else 8
    config = GameConfig.model_validate(values | sections)
    return Engine(config, source(aligned, channels, side=side), MUTATIONS, CPU)


def grad(weights):
    return replace(weights, params=weights.params.clone().requires_grad_())


def drawn(one, purpose, noise, count, step=0):
    """Return the reals and the seeds that a child of generation 0 is made from."""
    context = one.context(0)
    a, b = context.draws(0, purpose)
    part = slice(step * count, (step + 1) * count)
    seeds = torch.randint(2**62, (count,), generator=context.stream(noise, step, 0))
    return a[part], b[part], seeds


def logits(one, state, role, images):
    return one.game.critics[role](state.critics[role].weights, images)[0]


def paired_losses(one, state, genes, a, b, seeds, mutation):
    fake = one.game.generators["generator"](genes["generator"], a, seeds)[0]
    judged = logits(one, state, "discriminator", torch.cat([a, fake], 1))
    return mutation(judged), 100 * (fake - b).abs().mean()


def unpaired_losses(one, state, genes, a, b, seeds, mutation):
    def there(x):
        return one.game.generators["g_ab"](genes["g_ab"], x, seeds)[0]

    def back(x):
        return one.game.generators["g_ba"](genes["g_ba"], x, seeds)[0]

    adversarial = mutation(logits(one, state, "d_b", there(a)))
    adversarial = adversarial + mutation(logits(one, state, "d_a", back(b)))
    cycle = (back(there(a)) - a).abs().mean() + (there(back(b)) - b).abs().mean()
    identity = (there(b) - b).abs().mean() + (back(a) - a).abs().mean() if a.shape == b.shape else 0
    return adversarial, 10 * cycle + 5 * identity


CASES = [
    (True, "unet", (1, 2), paired_losses),
    (True, "resnet", (2, 2), paired_losses),
    (False, "unet", (1, 2), unpaired_losses),
    (False, "resnet", (2, 2), unpaired_losses),
]


@pytest.mark.parametrize(("aligned", "network", "channels", "losses"), CASES)
def test_a_child_descends_its_mutation_and_the_games_own_losses(aligned, network, channels, losses):
    one = engine(aligned, network, channels)
    state = one.initial_state()
    a, b, seeds = drawn(one, Purpose.TRAIN_DATA, Purpose.TRAIN_NOISE, 2)
    for child in one.vary(state, JOBS):
        genes = {r: grad(network.weights) for r, network in state.parents[0].networks.items()}
        mutation = MUTATIONS[child.job.operator]
        parts = losses(one, state, genes, a, b, seeds, mutation)
        params = [own.params for own in genes.values()]
        own, fixed = (torch.autograd.grad(part, params, retain_graph=True) for part in parts)
        for role, x, y in zip(genes, own, fixed, strict=True):
            moment = child.networks[role].moments.first  # (1 - beta1) g after one step
            torch.testing.assert_close(moment, (x + y) / 2, rtol=1e-4, atol=1e-6)
        ratio = torch.cat(own).norm() / torch.cat(fixed).norm()
        assert child.report[RATIO] == pytest.approx(ratio.item(), rel=1e-4)


@pytest.mark.parametrize(("aligned", "network", "channels", "losses"), CASES)
def test_the_sum_of_losses_is_descended_at_once_where_no_ratio_is_recorded(
    aligned, network, channels, losses
):
    one = engine(aligned, network, channels, game={"gradient_ratio": False})
    state = one.initial_state()
    a, b, seeds = drawn(one, Purpose.TRAIN_DATA, Purpose.TRAIN_NOISE, 2)
    children = one.vary(state, JOBS)
    for child in children:
        genes = {r: grad(network.weights) for r, network in state.parents[0].networks.items()}
        total = sum(losses(one, state, genes, a, b, seeds, MUTATIONS[child.job.operator]))
        expected = torch.autograd.grad(total, [own.params for own in genes.values()])
        (alone,) = one.vary(state, [child.job])
        for role, x in zip(genes, expected, strict=True):
            moment = child.networks[role].moments.first  # (1 - beta1) g after one step
            assert (moment - x / 2).norm() < 1e-5 * x.norm()
            assert torch.equal(moment, alone.networks[role].moments.first)
        assert not child.report
    apart = engine(aligned, network, channels).vary(state, JOBS)
    for child, other in zip(children, apart, strict=True):
        for role, network in child.networks.items():  # another order of sums
            assert not torch.equal(network.moments.first, other.networks[role].moments.first)


@pytest.mark.parametrize(("aligned", "network", "channels", "losses"), CASES)
def test_a_score_is_of_patches_all_critics_and_the_held_out_reconstruction(
    aligned, network, channels, losses
):
    one = engine(aligned, network, channels, fitness={"batch": 3, "reconstruction": 2})
    state = one.initial_state()
    (child,) = one.vary(state, JOBS[:1])
    score = one.evaluate(state, [child])[0].values
    a, b, seeds = drawn(one, Purpose.EVALUATION_DATA, Purpose.EVALUATION_NOISE, 3)
    genes = {role: network.weights for role, network in child.networks.items()}
    game = one.game
    with torch.no_grad():
        if aligned:
            fake = game.generators["generator"](genes["generator"], a, seeds)[0]
            seen = {"discriminator": (torch.cat([a, b], 1), torch.cat([a, fake], 1))}
            error = (fake - b).abs().mean()
        else:
            there, back = (game.generators[r](genes[r], x, seeds)[0]
                           for r, x in (("g_ab", a), ("g_ba", b)))  # fmt: skip
            seen = {"d_b": (b, there), "d_a": (a, back)}
            again = [game.generators[r](genes[r], x, seeds)[0]
                     for r, x in (("g_ba", there), ("g_ab", back))]  # fmt: skip
            error = (again[0] - a).abs().mean() + (again[1] - b).abs().mean()
    qualities, squares = [], 0.0
    for role, (real, fake) in seen.items():
        critic = grad(state.critics[role].weights)
        judged = [one.game.critics[role](critic, x)[0] for x in (real, fake)]
        assert judged[0].shape[-1] > 1  # patches
        loss = softplus(-judged[0]).mean() + softplus(judged[1]).mean()
        squares += torch.autograd.grad(loss, critic.params)[0].square().sum().item()
        qualities.append(torch.sigmoid(judged[1]).mean().item())
    expected = (np.mean(qualities), -0.5 * np.log(squares), -error.item())
    assert score == pytest.approx(expected, rel=1e-4)
    assert one.config.fitness.weights == (1.0, 0.01, 2.0)
    rows = {a[n].numpy().tobytes() for n in range(3)}
    trained = {x.numpy().tobytes() for x in one.context(0).draws(0, Purpose.TRAIN_DATA)[0]}
    assert not rows & trained


def test_the_direction_swaps_the_pair():
    there, back = (engine(True, game={"direction": d}) for d in ("AtoB", "BtoA"))
    for one, names in ((there, ("a", "b")), (back, ("b", "a"))):
        reals = one.context(0).reals(Purpose.TRAIN_DATA)
        drawn_a, drawn_b = one.context(0).draws(0, Purpose.TRAIN_DATA)
        assert reals[names[0]].equal(drawn_a) and reals[names[1]].equal(drawn_b)
    assert there.game.generators["generator"].module.downs[0][0].in_channels == 1
    assert back.game.generators["generator"].module.downs[0][0].in_channels == 2


def test_a_pool_is_filled_and_then_swaps_half_of_the_fakes():
    pool, seen = torch.zeros(4, 1), []
    stream = torch.Generator().manual_seed(3)
    for step in range(200):
        fakes = torch.tensor([[2.0 * step], [2.0 * step + 1]])
        mixed, pool = replayed(pool, min(2 * step, 4), fakes, stream)
        seen.append(mixed.flatten().tolist())
    assert seen[:2] == [[0, 1], [2, 3]]
    later = np.array(seen[2:])
    new = later >= 2 * np.arange(2, 200)[:, None]
    assert 0.4 < new.mean() < 0.6  # the rest are earlier ones
    old = later[~new]
    assert len(np.unique(old)) == len(old)  # a stored fake is given away once


@pytest.mark.parametrize(("aligned", "network", "channels", "losses"), CASES)
def test_a_child_descends_all_losses_on_the_images_that_the_critics_saw_last(
    aligned, network, channels, losses
):
    one = engine(aligned, network, channels, population={"batch": 2, "reuse_fakes": True})
    before = one.initial_state()
    a, b, seeds = drawn(one, Purpose.DISCRIMINATOR_DATA, Purpose.DISCRIMINATOR_NOISE, 2)
    first = one.vary(before, JOBS[:1])
    for state, children in ((before, first), (one.advance(before, first)[0], None)):
        (child,) = children or one.vary(state, JOBS[:1])
        genes = {r: grad(network.weights) for r, network in state.parents[0].networks.items()}
        total = sum(losses(one, state, genes, a, b, seeds, MUTATIONS["minimax"]))
        gradient = torch.autograd.grad(total, [own.params for own in genes.values()])
        for role, x in zip(genes, gradient, strict=True):
            moment = state.parents[0].networks[role].moments.first / 2 + x / 2
            torch.testing.assert_close(
                child.networks[role].moments.first, moment, rtol=1e-4, atol=1e-5
            )


def test_a_swapped_fake_is_in_the_pool_and_an_old_one_is_seen():
    pool = torch.tensor([[10.0], [11.0]])
    for seed in range(20):
        mixed, after = replayed(pool, 2, torch.tensor([[5.0]]), torch.Generator().manual_seed(seed))
        if mixed.item() == 5:
            assert after.equal(pool)
        else:
            assert mixed.item() in (10, 11)
            assert {*after.flatten().tolist(), mixed.item()} == {5, 10, 11}
    assert pool.flatten().tolist() == [10, 11]  # nothing in place


@pytest.mark.parametrize(("ratio", "reuse"), [(True, False), (False, False), (False, True)])
def test_the_pool_is_state_replicas_agree_on_it_and_a_restored_one_goes_on(ratio, reuse):
    rules = {"pool": 3, "gradient_ratio": ratio}
    keys = {"game": rules, "population": {"batch": 2, "reuse_fakes": reuse}}
    one, two = (EngineReplica(engine(False, "resnet", (2, 2), **keys)) for _ in range(2))
    survivors, sums = None, []
    for generation in range(4):
        first = one.step(generation, survivors, JOBS)
        second = two.step(generation, survivors, JOBS[generation % 3 :])
        assert first.checksum == second.checksum
        survivors = (JOBS[generation % 3],)
        sums.append(first.checksum)
    state = one.state
    assert {name: tuple(pool.shape) for name, pool in state.pools.items()} == {
        "a": (3, 2, 8, 8), "b": (3, 2, 8, 8),
    }  # fmt: skip
    assert all(pool.flatten(1).any(1).all() for pool in state.pools.values())  # filled
    again = import_state(export_state(state), CPU)
    assert checksum(again) == checksum(state)
    emptied = replace(state, pools={name: pool * 0 for name, pool in state.pools.items()})
    assert checksum(emptied) != checksum(state)
    assert first.training[RATIO] > 0 if ratio else RATIO not in first.training
    three = EngineReplica(engine(False, "resnet", (2, 2), **keys))
    three.restore(export_state(again), [])
    assert three.step(4, survivors, JOBS).checksum == one.step(4, survivors, JOBS).checksum


def test_critics_are_trained_on_what_the_pool_gives(monkeypatch):
    given = []

    def spy(pool, filled, fakes, stream):
        given.append(filled)
        return torch.full_like(fakes, 7.0), pool

    one = engine(False, "resnet", (2, 2), population={"batch": 2}, discriminator={"updates": 2})
    state = one.initial_state()
    child = one.vary(state, JOBS[:1])
    ordinary, _ = one.advance(state, child)
    monkeypatch.setattr("egan.critics.replayed", spy)
    replaced, _ = one.advance(state, child)
    one.advance(replace(state, generation=30), child)
    assert given == [0, 0, 2, 2, 50, 50, 50, 50]  # 2 updates of 2 fakes each, both sets
    for role in ("d_a", "d_b"):
        assert not ordinary.critics[role].weights.params.equal(
            replaced.critics[role].weights.params
        )


def test_a_game_without_a_pool_has_none_in_its_state():
    assert not engine(True).initial_state().pools
    assert not engine(False, game={"pool": 0}).initial_state().pools


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"identity is 0.5, but A has 1 channel\(s\) and B 2"):
        engine(False, game={"identity": 0.5})
    with pytest.raises(ValueError, match=r"mlp makes samples from noise.*backbone.name=unet"):
        engine(True, backbone={"name": "mlp"})
    with pytest.raises(ValueError, match=r"reconstruction is 1, but data.source gaussians says"):
        GameConfig.model_validate(
            {"data": {"source": "gaussians"}, "backbone": {"name": "mlp"},
             "fitness": {"reconstruction": 1}}
        )  # fmt: skip
    one = engine(True)
    assert isinstance(one.game, PairedGame)
    genes = {role: n.weights for role, n in one.initial_state().parents[0].networks.items()}
    with pytest.raises(ValueError, match="a paired run translates one way alone"):
        one.game.translate(genes, torch.zeros(1, 1, 32, 32), torch.zeros(1).long(), True, False)


@pytest.mark.parametrize("aligned", [True, False])
def test_translations_are_those_of_the_game(aligned):
    one = engine(aligned, "resnet", (2, 2))
    genes = {role: n.weights for role, n in one.initial_state().parents[0].networks.items()}
    inputs = one.context(0).inputs(
        2, Purpose.TRAIN_NOISE, (0, 0), one.context(0).reals(Purpose.TRAIN_DATA)
    )
    fakes, _ = one.game.generate(genes, inputs)
    images = inputs["a"] if aligned else inputs["real_a"]
    made = one.game.translate(genes, images, inputs["seeds"], False, True)
    assert made.equal(fakes["b"])
    if isinstance(one.game, UnpairedGame):
        made = one.game.translate(genes, inputs["real_b"], inputs["seeds"], True, True)
        assert made.equal(fakes["a"])
