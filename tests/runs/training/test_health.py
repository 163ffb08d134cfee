"""What the generations say of a run's health is told once."""

import math

import pytest

from populations.individual import Job, Score
from runs.config.loading import load_config
from runs.store.journal import Entry, Event
from runs.training.health import FAILING, FAILS, WINS, WON, Health, remedies
from tests.runs.copies import events

CONFIG = load_config("gaussians8", ["fitness.gamma=0.01"])
ALIVE, DEAD = Score((0.4, 1.0)), Score((math.nan, math.nan), "RuntimeError: no scalar")
HOPELESS = Score((1e-4, 3.0))


def entry(generation: int, *scores: Score, loss: float = 0.01) -> Entry:
    """Return a generation: a child of mutation `a`, then children of `b`."""
    jobs = tuple(Job(i, (0,), "b" if i else "a") for i in range(len(scores)))
    return Entry(generation, 0.0, "c", jobs, scores, jobs[:1], {"loss": loss})


def told(health: Health, *generations: Entry) -> list[tuple[int, str]]:
    return [
        (each.generation, notice.event) for each in generations for notice in health.judge(each)
    ]


def test_a_mutation_that_always_fails_is_told_once():
    lines = [entry(g, ALIVE, DEAD, DEAD) for g in range(20)]
    health = Health(CONFIG)
    assert told(health, *lines) == [(FAILING - 1, FAILS)]
    assert told(health, entry(20, ALIVE, ALIVE, DEAD)) == []
    assert told(health, *lines) == [(FAILING - 1, FAILS)]  # it worked, and fails again


def test_a_mutation_that_fails_now_and_then_is_no_news():
    lines = [entry(g, ALIVE, *([DEAD] if g % FAILING else [ALIVE])) for g in range(20)]
    assert told(Health(CONFIG), *lines) == []


def test_the_notice_names_the_mutation_and_the_reason():
    health = Health(CONFIG)
    *_, last = [health.judge(entry(g, ALIVE, DEAD)) for g in range(FAILING)]
    assert last[0].details == {"operator": "b", "why": "RuntimeError: no scalar"}
    assert "mutation b " in last[0].text and "no scalar" in last[0].text


def test_a_discriminator_that_has_won_is_told_once():
    health = Health(CONFIG)
    assert told(health, *(entry(g, HOPELESS, HOPELESS) for g in range(3 * WON))) == [(WON, WINS)]
    assert told(health, entry(3 * WON, HOPELESS, ALIVE)) == []
    more = range(3 * WON + 1, 6 * WON)
    assert told(health, *(entry(g, HOPELESS, HOPELESS) for g in more)) == [(4 * WON + 1, WINS)]


@pytest.mark.parametrize(
    "line",
    [
        lambda g: entry(g, HOPELESS, ALIVE if g % WON == 5 else HOPELESS),  # one has a chance
        lambda g: entry(g, HOPELESS, HOPELESS, loss=2.0),  # D calls everything a fake
        lambda g: entry(g, DEAD, DEAD) if g < 2 else entry(g, ALIVE),
        lambda g: entry(g, Score(())),  # nothing to choose, nothing scored
    ],
)
def test_what_is_no_victory_is_not_told(line):
    assert told(Health(CONFIG), *(line(g) for g in range(3 * WON))) == []


def test_the_notice_has_the_figures_and_what_to_try():
    health = Health(CONFIG)
    notices = [n for g in range(WON + 1) for n in health.judge(entry(g, HOPELESS, loss=0.1))]
    (notice,) = notices
    right = 1 - 0.1 / (2 * math.log(2))  # each mistake costs log 2 of the loss
    assert notice.details == {"quality": 1e-4, "right": right, "gamma_fd_to_fq": 300.0}
    assert "(now 1.0e-04)" in notice.text and f"{right:.1%} of samples" in notice.text
    assert "gamma Fd is 300 times Fq" in notice.text
    assert all(remedy in notice.text for remedy in remedies(CONFIG))


def test_every_remedy_is_an_override_that_changes_the_config():
    config = load_config("paper-cifar10", ["data.path=x", "population.mutations=[minimax]"])
    found = remedies(config)
    assert len(found) == 4
    for remedy in found:
        assert load_config("paper-cifar10", ["data.path=x", remedy]) != config


def test_no_remedy_is_refused_where_d_compares_reals_with_fakes():
    game = ["discriminator.loss=relativistic", "population.mutations=[relativistic]"]
    for remedy in remedies(load_config("digits", game)):
        load_config("digits", [*game, remedy])


def test_what_was_told_before_a_stop_is_not_repeated():
    health = Health(CONFIG)
    health.recall(Event(3, 0.0, FAILS, {"operator": "b", "why": "x"}))
    health.recall(Event(300, 0.0, WINS, {}))
    lines = [entry(g, HOPELESS, DEAD) for g in range(2 * WON)]
    assert told(health, *lines) == []


@pytest.mark.usefixtures("without_pictures")
def test_it_is_shown_and_journalled_once(own_modules, invoke, tmp_path):
    (own_modules / "vectors.py").write_text("def vector(logits):\n    return logits.flatten()\n")
    mutations = "population.mutations=[heuristic, 'vectors:vector']"
    command = ("train", "gaussians8", "--executor", "local", "--set", "tracking.enabled=false",
               "--set", "evaluation.every=null", "--set", mutations, "--output", tmp_path / "run",
               "--set", "backbone.width=8", "--set", "generations=6")  # fmt: skip
    done = invoke(*command)
    assert done.exit_code == 0, done.output
    assert done.output.count("all children of mutation vectors:vector have failed") == 1
    again = invoke("resume", tmp_path / "run", "--generations", "12")
    assert again.exit_code == 0 and "have failed" not in again.output
    assert [e.generation for e in events(tmp_path / "run") if e.kind == FAILS] == [FAILING]
