"""Copies of finished runs, for tests to stop, damage and resume; and runs without pictures."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runs.store.journal import Event, read_journal
from runs.store.snapshots import MANIFEST, _seal, snapshots


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def interrupted(folder: Path, tmp_path: Path, keep: int) -> Path:
    """Return a copy of a finished run as if it had been killed after `keep` generations."""
    copy = copy_of(folder, tmp_path)
    lines = (copy / "journal.jsonl").read_text().splitlines(keepends=True)
    (copy / "journal.jsonl").write_text("".join(lines[: keep + 1]))
    for snapshot in snapshots(copy / "snapshots"):
        if snapshot.generation > keep:
            shutil.rmtree(snapshot.path)
    return copy


def record(folder: Path) -> list[dict]:
    """Return a journal's generations and scorings without what differs between equal runs."""
    lines = map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
    lines = [line for line in lines if not {"format", "event"} & line.keys()]
    return [
        {k: v for k, v in line.items() if k not in ("time", "seconds", "crc")} for line in lines
    ]


def events(folder: Path) -> list[Event]:
    return [x for x in read_journal(folder / "journal.jsonl") if isinstance(x, Event)]


def kinds(folder: Path) -> list[str]:
    return [event.kind for event in events(folder)]


def checksum(output: str) -> str:
    """Return the checksum that the command printed."""
    return output.rsplit("checksum ", 1)[1].split()[0]


def without_id(snapshot: Path) -> None:
    """Make a snapshot one as a version before 0.2 wrote it: it does not say of which run it is."""
    manifest = json.loads((snapshot / MANIFEST).read_text())
    del manifest["run"], manifest["seal"]
    (snapshot / MANIFEST).write_text(json.dumps(manifest | {"seal": _seal(manifest)}))


@contextmanager
def no_plots() -> Iterator[None]:
    """Leave out what takes most of a small run's time, and is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runs.display.plots.draw_plots", lambda folder: None)
        yield


@contextmanager
def no_pictures() -> Iterator[None]:
    """Leave out the grids of samples, too."""
    with no_plots(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("runs.training.saving.write_picture", lambda *_: None)
        yield
