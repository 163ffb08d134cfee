import math
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from populations.individual import Job, Score
from runs.common.formats import FORMAT, VERSION
from runs.common.lock import RunBusy
from runs.store.identity import Identity
from runs.store.journal import (
    Damage,
    Entry,
    Event,
    Journal,
    read_head,
    read_journal,
    read_journal_from,
    seal,
)

BORN = Identity(run="a" * 32)
TEXT = st.text(max_size=20)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.dictionaries(TEXT, FINITE, max_size=3)


@st.composite
def entries(draw, generation: int = 0) -> Entry:
    jobs = draw(
        st.lists(
            st.builds(
                Job, st.integers(0, 99), st.lists(st.integers(0, 9), min_size=1).map(tuple), TEXT
            ),
            min_size=1,
            max_size=4,
        )
    )
    values = st.floats()
    scores = draw(
        st.lists(
            st.builds(Score, st.tuples(values, values), st.none() | TEXT.filter(bool)),
            min_size=len(jobs),
            max_size=len(jobs),
        )
    )
    survivors = draw(st.lists(st.sampled_from(jobs), min_size=1, max_size=3))
    return Entry(
        generation=generation,
        time=draw(st.floats(0, 4e9)),
        checksum=draw(TEXT),
        jobs=tuple(jobs),
        scores=tuple(scores),
        survivors=tuple(survivors),
        training=draw(NAMES),
        seconds=draw(st.dictionaries(TEXT, st.floats(0, 1e6), max_size=3)),
    )


def written(path, *entries: Entry) -> None:
    path.write_bytes("".join(seal(entry.to_json()) for entry in entries).encode())


def simple(generation: int) -> Entry:
    jobs = (Job(0, (0,), "minimax"), Job(1, (0,), "heuristic"))
    scores = (Score((math.nan,) * 2, "loss is nan at step 0, señor"), Score((0.5, -1.25)))
    return Entry(
        generation,
        1.5,
        "ab" * 8,
        jobs,
        scores,
        (jobs[1],),
        {"discriminator_loss": 0.75},
        {"t": 0.5},
    )


def same_values(one: float, other: float) -> bool:
    return one == other or (not math.isfinite(one) and math.isnan(other))


@given(entries())
def test_an_entry_comes_back_as_it_was_written(tmp_path_factory, entry):
    path = tmp_path_factory.getbasetemp() / "round-trip.jsonl"
    written(path, entry)
    (read,) = read_journal(path)
    assert isinstance(read, Entry)
    assert (read.generation, read.checksum) == (entry.generation, entry.checksum)
    assert read.time == pytest.approx(entry.time, abs=1e-3)
    assert (read.jobs, read.survivors) == (entry.jobs, entry.survivors)
    assert read.training == entry.training
    assert read.seconds == pytest.approx(entry.seconds, abs=1e-6)
    for back, score in zip(read.scores, entry.scores, strict=True):
        assert back.failure == score.failure
        assert back.finite == score.finite
        assert all(map(same_values, score.values, back.values))


def test_a_failed_child_is_written_with_its_reason_and_read_with_it(tmp_path):
    written(tmp_path / "j", simple(0))
    (read,) = read_journal(tmp_path / "j")
    assert read.scores[0].failure == "loss is nan at step 0, señor"
    assert math.isnan(read.scores[0].values[0])
    assert "NaN" not in (tmp_path / "j").read_text()


def test_no_journal_is_an_empty_one(tmp_path):
    assert list(read_journal(tmp_path / "none")) == []


def test_a_last_line_torn_at_any_byte_is_damage_and_costs_nothing_else(tmp_path):
    path = tmp_path / "journal.jsonl"
    written(path, simple(0), simple(1))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first + 1, len(whole)):
        path.write_bytes(whole[:end])
        sound, torn = read_journal(path)
        assert sound == next(read_journal(path)) and sound.generation == 0
        assert isinstance(torn, Damage) and torn.line == 2 and torn.reason
        assert [entry.generation for entry, _ in read_journal_from(path, 0)] == [0]


@given(st.data())
def test_a_changed_byte_anywhere_is_recognised(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "flipped.jsonl"
    written(path, simple(0), simple(1), simple(2))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    path.write_bytes(content)
    hit = bytes(content[:place]).count(b"\n")
    items = list(read_journal(path))
    damaged = [item for item in items if isinstance(item, Damage)]
    assert 1 <= len(damaged) <= 2
    assert min(item.line for item in damaged) == hit + 1
    sound = [item.generation for item in items if isinstance(item, Entry)]
    assert set(sound) <= {0, 1, 2} - {hit} and len(sound) >= 1


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_damage(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.jsonl"
    path.write_bytes(content)
    assert all(isinstance(item, Damage) for item in read_journal(path))
    assert list(read_journal_from(path, 0)) == []


@pytest.mark.parametrize(
    "value",
    [
        *({}, {"scoring": None}, {"generation": 0}, simple(0).to_json() | {"scores": []}),
        simple(0).to_json() | {"scores": [[], [0.5, 1.0]], "failures": {}},
        simple(0).to_json() | {"scores": [[0.5, 1.0, 0.0], [0.5, 1.0]]},
        *({"event": "x", "time": 0.0}, {"event": "x", "generation": "3", "time": 0.0}),
        {"after": 3, "time": 0.0, "events": [1]},
    ],
)
def test_a_sealed_line_that_is_no_entry_is_damage(tmp_path, value):
    (tmp_path / "j").write_text(seal(value))
    (item,) = read_journal(tmp_path / "j")
    assert isinstance(item, Damage)


@pytest.mark.parametrize("scores", [[[], []], [[], [0.5, 1.0]], [[None, None], [0.5, 1.0, 2.0]]])
def test_a_failed_child_may_have_fewer_values_than_the_others(tmp_path, scores):
    line = simple(0).to_json() | {"scores": scores}  # the first child failed
    (tmp_path / "j").write_text(seal(line))
    (item,) = read_journal(tmp_path / "j")
    assert isinstance(item, Entry) == (scores[0] != [None, None])


def test_a_reader_follows_a_growing_journal_without_reading_a_line_twice(tmp_path):
    path = tmp_path / "journal.jsonl"
    lines = [seal(simple(n).to_json()).encode() for n in range(4)]
    path.write_bytes(lines[0] + lines[1] + lines[2][:-5])
    first = list(read_journal_from(path, 0))
    assert [entry.generation for entry, _ in first] == [0, 1]
    offset = first[-1][1]
    assert offset == len(lines[0] + lines[1])
    assert list(read_journal_from(path, offset)) == []
    path.write_bytes(b"".join(lines))
    assert [entry.generation for entry, _ in read_journal_from(path, offset)] == [2, 3]


def test_a_journal_is_appended_to_and_each_line_is_there_at_once(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, BORN)
    for generation in range(3):
        journal.append(simple(generation))
        assert len(list(read_journal(path))) == generation + 1
    journal.sync()
    journal.close()
    journal = Journal(path, BORN)
    journal.append(simple(3))
    journal.close()
    assert [entry.generation for entry in read_journal(path)] == [0, 1, 2, 3]


def test_an_event_comes_back_as_it_was_written(tmp_path):
    event = Event(7, 1.5, "worker-lost", {"worker": 1, "reason": "señor"})
    (tmp_path / "j").write_bytes(seal(event.to_json()).encode())
    assert list(read_journal(tmp_path / "j")) == [event]


def test_the_first_line_names_format_version_and_run_and_is_written_once(tmp_path):
    path = tmp_path / "journal.jsonl"
    for _ in range(2):
        Journal(path, BORN).close()
    assert read_head(path) == {"format": FORMAT, "version": VERSION, "run": "a" * 32}
    assert path.read_text().count("\n") == 1
    assert list(read_journal(path)) == [] == list(read_journal_from(path, 0))


def test_rewriting_a_journal_from_itself_keeps_it_and_goes_on(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, BORN)
    for generation in range(3):
        journal.append(simple(generation))
    with path.open("ab") as file:
        file.write(b'{"torn":')
    sound = (item for item in read_journal(path) if isinstance(item, Entry))
    journal.rewrite(sound)
    journal.append(simple(3))
    journal.close()
    assert [entry.generation for entry in read_journal(path)] == [0, 1, 2, 3]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["journal.jsonl", "journal.lock"]


HOLD = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from runs.store.identity import Identity
    from runs.store.journal import Journal
    journal = Journal(Path(sys.argv[1]), Identity())
    print("held", flush=True)
    time.sleep(120)
""")


@pytest.mark.process
def test_a_second_writer_is_refused_until_the_first_is_dead(tmp_path):
    path = tmp_path / "journal.jsonl"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunBusy, match="another process"):
            Journal(path, BORN)
        assert list(read_journal(path)) == []  # readers are welcome
    finally:
        holder.kill()
        holder.communicate()
    Journal(path, BORN).close()


def test_two_writers_in_one_process_are_refused_too(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl", BORN)
    with pytest.raises(RunBusy):
        Journal(tmp_path / "journal.jsonl", BORN)
    journal.close()
    Journal(tmp_path / "journal.jsonl", BORN).close()
