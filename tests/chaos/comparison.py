"""What came of the kills, read off the journals and MLflow's store."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runs.store.journal import Damage, Entry, Event, read_journal
from tests.chaos.killing import Struck

TIMED = ("seconds", "images_per_second")  # in the names of metrics that are times


def entries(path: Path) -> list[Entry]:
    """Return the journal's generations; a damaged line is an error here."""
    found = []
    for item in read_journal(path):
        if isinstance(item, Damage):
            raise SystemExit(f"{path}, line {item.line}: {item.reason}")
        if isinstance(item, Entry):
            found.append(item)
    return found


def follow_up(struck: list[Struck], journal: list[Entry], happened: list[Event]) -> None:
    """Fill in, from the journal's generations and events, when each blow was recovered from."""
    for blow in struck:
        after = [entry for entry in journal if entry.time > blow.at]
        later = [entry for entry in after if entry.generation >= blow.generation]
        blow.recovered = later[0].time - blow.at if later else None
        if blow.target == "driver":
            resumed = [e for e in happened if e.kind == "resumed" and e.time > blow.at]
            blow.replayed = resumed[0].details["replayed"] if resumed else None
            continue
        drivers = [other.at for other in struck if other.target == "driver" and other.at > blow.at]
        for event in happened:
            if drivers and event.time > drivers[0]:
                break  # all workers are new since
            if event.time > blow.at and event.kind in ("worker-joined", "population-rebuilt"):
                blow.rejoined = event.time - blow.at
                break


def differences(one: list[Entry], other: list[Entry]) -> list[str]:
    """Return how two journals differ in what decides a run; times and events may."""
    found = []
    if [e.generation for e in other] != list(range(len(one))):
        found.append("the disturbed journal has not every generation once")
    for left, right in zip(one, other, strict=False):
        for name in ("checksum", "jobs", "survivors"):
            if getattr(left, name) != getattr(right, name):
                found.append(f"generation {left.generation}: {name}")
        if [s.values for s in left.scores] != [s.values for s in right.scores]:
            found.append(f"generation {left.generation}: scores")
    return found


def store_rows(store: Path, name: str) -> Iterator[tuple[str, int, float]]:
    """Yield a run's metric rows (key, step, value) from MLflow's sqlite store."""
    with sqlite3.connect(store) as connection:
        yield from connection.execute(
            "select m.key, m.step, m.value from metrics m join runs r on r.run_uuid = m.run_uuid "
            "where r.name = ? and m.key not like 'system/%' and m.key not like 'faults/%'",
            (name,),
        )


def compare_stores(store: Path, names: tuple[str, str]) -> dict[str, Any]:
    """Return the numbers of rows and duplicates, and whether both runs have the same rows.

    Values of time are left out of the comparison, their rows are not.
    """
    rows = [list(store_rows(store, name)) for name in names]
    counts = [Counter((key, step) for key, step, _ in part) for part in rows]

    def untimed(part: list[tuple[str, int, float]]) -> set[tuple[str, int, float]]:
        return {row for row in part if not any(word in row[0] for word in TIMED)}

    return {
        "rows": [len(part) for part in rows],
        "duplicates": [sum(n - 1 for n in count.values()) for count in counts],
        "same_keys_and_steps": counts[0].keys() == counts[1].keys(),
        "same_values": untimed(rows[0]) == untimed(rows[1]),
    }
