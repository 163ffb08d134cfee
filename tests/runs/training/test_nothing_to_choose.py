"""Where a generation has one child per survivor, children are scored for the record only."""

from collections import Counter

import pytest

from populations.individual import Score
from populations.lineage import Lineage
from runs import evolve, load_config, resume
from runs.display.inspection import inspect_run
from runs.store.journal import Entry, read_journal
from runs.tracking.metrics import MetricsReader
from tests.runs.copies import interrupted

ONE = ["population.mutations=[heuristic]"]
BLIND = ["selection.name=random", "population.survivors=2"]


def entries(folder) -> list[Entry]:
    return [line for line in read_journal(folder / "journal.jsonl") if isinstance(line, Entry)]


@pytest.mark.parametrize("settings", [ONE, BLIND], ids=["one mutation", "random"])
def test_scoring_for_the_record_decides_nothing(settings, points_yaml, without_pictures, tmp_path):
    ends = {}
    for every in (3, 100):
        config = load_config(points_yaml, [*settings, f"fitness.every={every}"])
        assert not config.choosing
        ends[every] = evolve(config, tmp_path / str(every)).checksum
        scored = {e.generation for e in entries(tmp_path / str(every)) if e.scores[0].values}
        assert scored == set(range(0, 30, every))
        for entry in entries(tmp_path / str(every)):
            assert entry.survivors == entry.jobs
    assert ends[3] == ends[100]
    copy = interrupted(tmp_path / "3", tmp_path / "copy", 17)
    assert resume(copy).checksum == ends[3]


def test_a_choice_is_always_scored(points_yaml, without_pictures, tmp_path):
    config = load_config(points_yaml, generations=4)
    assert config.choosing and config.policy().ranked
    evolve(config, tmp_path / "run")
    scores = [score for entry in entries(tmp_path / "run") for score in entry.scores]
    assert len(scores) >= 4 and all(score.values for score in scores)


def test_the_record_holds_what_was_scored(points_yaml, without_pictures, tmp_path):
    config = load_config(points_yaml, [*ONE, "fitness.every=10"])
    evolve(config, tmp_path / "run")
    seldom = load_config(points_yaml, [*ONE, "fitness.every=10", "tracking.every=7"])
    rows = [MetricsReader(seldom).row(entry) for entry in entries(tmp_path / "run")]
    assert [row.generation for row in rows if row.metrics] == [0, 7, 10, 14, 20, 21, 28]
    reader, scored = MetricsReader(config), Counter()
    for entry in entries(tmp_path / "run"):
        metrics = reader.row(entry).metrics
        scored["quality/heuristic" in metrics, "survivor/quality" in metrics] += 1
        assert metrics["share_of_wins/heuristic"] == 1 and metrics["failed_children"] == 0
    assert scored == {(True, True): 3, (False, False): 27}
    found = inspect_run(tmp_path / "run")
    assert [best["generation"] % 10 for best in found["best"]] == [0, 0, 0]
    assert found["last"]["scores"]["0"] == {"mutation": "heuristic", "parent": 0}


def test_a_child_that_fails_unscored_does_not_survive(points_yaml):
    config = load_config(points_yaml, ["selection.name=random", "population.survivors=2"])
    policy = config.policy()
    jobs = policy.propose(config.population.operators, 0, 0)
    children = policy.individuals(0, jobs, [Score((), "loss is nan"), Score(())])
    survivors = policy.select(children)
    assert [child.job for child in survivors] == [jobs[1]] * 2
    lineage = Lineage()
    lineage.update(children, survivors)
    assert lineage.shares() == {jobs[1].operator: 1.0} and not lineage.hall_of_fame


def test_no_place_among_random_survivors_prefers_a_mutation_or_a_parent(points_yaml):
    config = load_config(points_yaml, BLIND)
    policy, first = config.policy(), Counter()
    for generation in range(3000):
        jobs = policy.propose(config.population.operators, 1, generation)
        first[jobs[0].operator] += 1
        first[jobs[0].parents] += 1
    assert all(abs(first[name] - 1000) < 100 for name in config.population.mutations)
    assert abs(first[(0,)] - 1500) < 110
