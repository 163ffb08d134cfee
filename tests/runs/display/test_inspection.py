from runs.display.inspection import LONG, counted, inspect_run
from runs.store.journal import Entry


def test_the_reading_of_a_long_journal_shows_how_far_it_is(points_run, tmp_path):
    _head, *lines = (points_run[0] / "journal.jsonl").read_text().splitlines(keepends=True)
    times = LONG // len(lines) + 1
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(lines) * times)
    told: list[tuple[int, int]] = []
    found = list(counted(path, lambda _, done, total: told.append((done, total))))
    assert len(found) == len(lines) * times
    assert told[0] == (0, len(found)) and told == sorted(told) and len(told) >= 10
    assert sum(isinstance(line, Entry) for line in found) == 30 * times


def test_a_short_journal_is_read_without_a_word(points_run):
    told: list[str] = []
    assert inspect_run(points_run[0], lambda name, *_: told.append(name))["generation"] == 30
    assert told == []
