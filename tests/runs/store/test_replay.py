import numpy as np
import pytest

from egan.replica import ExportedState
from populations.individual import Job, Score
from runs.store.folder import RunFolder
from runs.store.journal import Entry, Event, seal
from runs.store.replay import past_lines, read_origin, read_past
from runs.store.snapshots import STATE, write_snapshot


def entry(generation: int, checksum: str = "") -> Entry:
    job = Job(generation % 3, (0,), "minimax")
    return Entry(
        generation, 0.0, checksum or f"c{generation}", (job,), (Score((0.5, 1.0)),), (job,)
    )


def line(generation: int) -> str:
    return seal(entry(generation).to_json())


def test_what_happened_after_a_generation_is_kept_up_to_where_the_run_goes_on(folder):
    after = {n: Event(n, 0.0, "snapshot-failed") for n in (2, 3)}
    journal(folder, line(0), line(1), seal(after[2].to_json()), line(2), seal(after[3].to_json()))
    assert replayed(folder) == [0, 3]
    assert list(past_lines(folder, 2)) == [entry(0), entry(1), after[2]]
    assert list(past_lines(folder, 3)) == [entry(0), entry(1), after[2], entry(2), after[3]]


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path)


def snapshot(folder: RunFolder, generation: int) -> None:
    arrays = {"x": np.full(3, generation, np.float32)}
    write_snapshot(
        folder.snapshots, ExportedState(arrays, generation, {"x": 1}), f"c{generation}", 9
    )


def journal(folder: RunFolder, *lines: str) -> None:
    folder.journal.write_text("".join(lines))


def replayed(folder: RunFolder) -> list[int]:
    """Return the first and last generation that are replayed, from which state, to which end."""
    past = read_past(folder)
    start = past.origin.exported.generation if past.origin.exported else 0
    assert len(past.origin.history) == past.end - start
    expected = tuple((Job(g % 3, (0,), "minimax"),) for g in range(start, past.end))
    assert past.origin.history == expected
    return [start, past.end]


def test_a_run_that_never_began_starts_at_generation_0(folder):
    past = read_past(folder)
    assert (past.end, past.origin.exported, past.origin.history, past.notes) == (0, None, (), ())


def test_without_a_snapshot_everything_is_replayed(folder):
    journal(folder, *map(line, range(5)))
    assert replayed(folder) == [0, 5]
    assert read_past(folder).checksum == "c4" and not read_past(folder).notes


def test_from_the_newest_snapshot_on_the_journal_is_replayed(folder):
    snapshot(folder, 2)
    snapshot(folder, 4)
    journal(folder, *map(line, range(7)))
    assert replayed(folder) == [4, 7]
    assert read_origin(folder).history == read_past(folder).origin.history


def test_a_snapshot_at_the_end_of_the_journal_needs_no_replay(folder):
    snapshot(folder, 4)
    journal(folder, *map(line, range(4)))
    assert replayed(folder) == [4, 4]
    assert read_past(folder).checksum == "c4"


def test_a_snapshot_that_is_ahead_of_the_journal_is_taken(folder):
    snapshot(folder, 4)
    journal(folder, line(0), line(1))
    assert replayed(folder) == [4, 4]


def test_a_damaged_snapshot_is_passed_over_with_a_note(folder):
    snapshot(folder, 2)
    snapshot(folder, 4)
    journal(folder, *map(line, range(6)))
    (folder.snapshots / "generation-00000004" / STATE).write_bytes(b"x")
    assert replayed(folder) == [2, 6]
    (note,) = read_past(folder).notes
    assert "generation-00000004" in note and STATE in note


def test_a_torn_last_line_costs_its_generation(folder):
    journal(folder, line(0), line(1), line(2)[:-9])
    assert replayed(folder) == [0, 2]
    (note,) = read_past(folder).notes
    assert "line 3" in note


def test_what_comes_after_a_gap_is_made_again(folder):
    journal(folder, line(0), line(1), "damage\n", line(3), line(4))
    assert replayed(folder) == [0, 2]
    damage, gap = read_past(folder).notes
    assert "line 3" in damage and gap.startswith("2 generations after 2")


def test_a_gap_before_the_snapshot_costs_nothing(folder):
    snapshot(folder, 3)
    journal(folder, line(0), "damage\n", line(2), line(3), line(4))
    assert replayed(folder) == [3, 5]


def test_a_gap_just_after_the_snapshot_leaves_the_snapshot(folder):
    snapshot(folder, 3)
    journal(folder, line(0), line(1), line(2), line(4))
    assert replayed(folder) == [3, 3]


def test_a_generation_that_was_made_twice_counts_once(folder):
    journal(folder, line(0), line(1), line(1), line(2), line(0))
    assert replayed(folder) == [0, 3]
    assert [entry.generation for entry in past_lines(folder, 3)] == [0, 1, 2]


def test_the_lines_before_the_end_are_kept_and_no_others(folder):
    journal(folder, line(0), "damage\n", line(2), line(3), line(4))
    assert [entry.generation for entry in past_lines(folder, 4)] == [0, 2, 3]
