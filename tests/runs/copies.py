"""Copies of finished runs, for tests to stop, damage and resume."""

import shutil
from pathlib import Path

from runs.store.snapshots import snapshots


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def interrupted(folder: Path, tmp_path: Path, keep: int) -> Path:
    """Return a copy of a finished run as if it had been killed after `keep` generations."""
    copy = copy_of(folder, tmp_path)
    lines = (copy / "journal.jsonl").read_text().splitlines(keepends=True)
    (copy / "journal.jsonl").write_text("".join(lines[:keep]))
    for snapshot in snapshots(copy / "snapshots"):
        if snapshot.generation > keep:
            shutil.rmtree(snapshot.path)
    return copy


def checksum(output: str) -> str:
    """Return the checksum that the command printed."""
    return output.rsplit("checksum ", 1)[1].split()[0]
