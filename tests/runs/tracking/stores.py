"""What the tests of the record look for in a store and in a run's folder."""

import json
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from populations.lineage import Lineage
from populations.selection import build_selection
from runs import load_config
from runs.store.journal import Entry, read_journal
from runs.tracking.metrics import fault_metrics, metrics_of
from tests.runs.copies import events

TRACKED = ("--set", "tracking.enabled=true", "--set", "tracking.system_metrics=false")


def store_at(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def rows(store: Path, query: str) -> list[tuple]:
    with sqlite3.connect(store) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def journal(folder: Path) -> list[Entry]:
    return [item for item in read_journal(folder / "journal.jsonl") if isinstance(item, Entry)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(condition, process: subprocess.Popen, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def logged(folder: Path) -> int:
    try:
        return json.loads((folder / "tracking.json").read_text())["logged"]
    except FileNotFoundError:
        return -1


def expected_metrics(folder: Path) -> dict[tuple[str, int], float]:
    """Return each metric that the journal holds, by name and generation."""
    config = load_config(folder / "config.yaml")
    selection = build_selection(
        config.selection, config.population.survivors, config.fitness.weights
    )
    lineage, faults = Lineage(), Counter()
    return {
        (name, entry.generation): value
        for entry in journal(folder)
        for name, value in metrics_of(entry, lineage, selection, config).items()
    } | {
        (name, event.generation): value
        for event in events(folder)
        for name, value in fault_metrics(event, faults).items()
    }


def check_every_row_is_there_once(store: Path, folder: Path) -> None:
    found = rows(store, "select key, step, value, timestamp, is_nan from metrics")
    assert not any(is_nan for *_, is_nan in found)
    keys = [(key, step) for key, step, *_ in found]
    assert len(keys) == len(set(keys)), "a row is there twice"
    expected = expected_metrics(folder)
    assert set(keys) == set(expected)
    times = {(e.generation, False): round(e.time * 1000) for e in journal(folder)}
    times |= {(e.generation, True): round(e.time * 1000) for e in events(folder)}
    for key, step, value, timestamp, _ in found:
        assert value == pytest.approx(expected[key, step])
        assert timestamp == times[step, key.startswith("faults/")]
