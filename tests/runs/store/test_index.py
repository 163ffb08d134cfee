"""The index of a journal says what reading the whole journal says."""

import json
import math

import pytest

from populations.individual import Job, Score
from populations.selection import SelectionConfig, build_selection
from runs.store import index as indexing
from runs.store.identity import Identity
from runs.store.index import read_index
from runs.store.journal import Entry, Event, Journal, Scoring, read_journal
from runs.store.lines import seal, unseal

POLICY = build_selection(SelectionConfig(), 1, (1.0, 0.0))
JOBS = (Job(0, (0,), "minimax"), Job(1, (0,), "heuristic"))


def entry(generation: int) -> Entry:
    scores = (Score((math.sin(generation), 1.0)), Score((math.nan,) * 2, "loss is nan"))
    seconds = {"advance": 0.5, "total": 0.75}
    return Entry(generation, 1.5, f"c{generation}", JOBS, scores, JOBS[:1], {}, seconds)


def lines_of(count: int) -> list[Entry | Event | Scoring]:
    lines: list[Entry | Event | Scoring] = []
    for generation in range(count):
        lines.append(entry(generation))
        if generation % 7 == 3:
            lines.append(Event(generation + 1, 1.5, "worker-lost", {"worker": 1}))
        if generation % 10 == 9:
            lines.append(Scoring(generation + 1, 1.5, {"fid-classifier-1k": 3.0}))
    return lines


@pytest.fixture
def small(monkeypatch) -> None:
    """Indexes are written and places kept after a few lines."""
    monkeypatch.setattr(indexing, "LONG", 5)
    monkeypatch.setattr(indexing, "STRIDE", 4)


@pytest.fixture
def journal(tmp_path, small):
    """An open journal of 50 generations, whose index was saved on the way, not at its end."""
    journal = Journal(tmp_path / "journal.jsonl", Identity(run="a" * 32))
    journal.index = read_index(tmp_path / "journal.jsonl", POLICY)
    for line in lines_of(50):
        journal.append(line)
        if line == entry(40):
            journal.sync()
    yield journal
    journal.close()


def said(index) -> dict:
    best = [(each.generation, each.job, each.fitness.values) for each in index.lineage.hall_of_fame]
    return {
        "best": best,
        "wins": index.lineage.wins,
        "sums": index.sums,
        "ends": (index.first, index.end, index.lines, index.size),
        "others": list(index.others()),
        "entries": [index.entry(generation) for generation in (0, 3, 17, 49)],
    }


def test_it_says_what_the_whole_journal_says(journal, tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    kept = said(read_index(path, POLICY))
    assert kept == said(journal.index)
    (tmp_path / "journal.index").unlink()
    assert kept == said(read_index(path, POLICY))
    whole = list(read_journal(path))
    assert kept["others"] == [line for line in whole if not isinstance(line, Entry)]
    assert kept["entries"] == [entry(generation) for generation in (0, 3, 17, 49)]
    assert kept["wins"] == {"minimax": 50} and kept["sums"].total == 50 * 0.75
    best = sorted((math.sin(generation) for generation in range(50)), reverse=True)[:10]
    assert [values for _, _, values in kept["best"]] == [(value,) for value in best]


def test_only_what_follows_it_is_read(journal, tmp_path, monkeypatch):
    read: list[int] = []
    real = indexing.read_line
    monkeypatch.setattr(indexing, "read_line", lambda *a: read.append(1) or real(*a))
    read_index(tmp_path / "journal.jsonl", POLICY)
    assert 0 < len(read) < 15
    read.clear()
    index = read_index(tmp_path / "journal.jsonl", POLICY)
    found = [line.generation for line in index.lines_from(30) if isinstance(line, Entry)]
    assert found[-20:] == list(range(30, 50)) and 26 < found[0] <= 30


@pytest.mark.parametrize("damage", ["journal", "index", "torn", "missing", "forged"])
def test_one_that_does_not_fit_is_not_believed(damage, journal, tmp_path):
    path, file = tmp_path / "journal.jsonl", tmp_path / "journal.index"
    if damage == "journal":  # a changed byte before the place that the index stands for
        content = path.read_bytes()
        path.write_bytes(content.replace(b'"c7"', b'"c8"'))
    elif damage == "index":
        file.write_text(file.read_text().replace("minimax", "minimix"))
    elif damage == "torn":
        file.write_text(file.read_text()[:40])
    elif damage == "missing":
        file.unlink()
    else:
        values = unseal(file.read_bytes())
        del values["crc32"]
        file.write_text(seal({**values, "marks": "many"}))
    index = read_index(path, POLICY)
    assert index.end == 50 and index.lineage.wins["minimax"] == (49 if damage == "journal" else 50)
    assert index.damaged == (damage == "journal")


def test_a_journal_that_is_rewritten_has_its_own(journal, tmp_path):
    journal.rewrite(line for line in lines_of(30))
    assert said(journal.index)["ends"][1] == 30
    for line in lines_of(60)[30:]:
        journal.append(line)
    journal.sync()
    path = tmp_path / "journal.jsonl"
    kept = said(read_index(path, POLICY))
    (tmp_path / "journal.index").unlink()
    assert kept == said(read_index(path, POLICY)) == said(journal.index)


def test_lines_of_another_process_are_taken_in(journal, tmp_path):
    with (tmp_path / "journal.jsonl").open("a") as other:
        other.write(seal(entry(50).to_json()))
    journal.append(entry(51))
    assert journal.index.end == 52 and journal.index.sums.total == 52 * 0.75


def test_memory_does_not_grow_with_the_generations(journal, tmp_path):
    values = json.loads(json.dumps(unseal((tmp_path / "journal.index").read_bytes())))
    assert len(values["marks"]) <= 41 / 4 + 1 and len(values["best"]) == 10
