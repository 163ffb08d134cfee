"""Snapshots of the whole state: safetensors and a JSON manifest, whole or not there at all.

A snapshot is a folder `snapshots/generation-00000100` with `state.safetensors`, which any
safetensors reader opens, and `manifest.json` with its SHA-256 and the state's checksum. Nothing is
pickled.
"""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from egan.files import default_mode, sha256
from egan.replica import ExportedState
from runs.common.files import atomic_folder, read_json, write_json

FORMAT = 1
NAME = re.compile(r"^generation-(\d{8,})$")
STATE = "state.safetensors"
MANIFEST = "manifest.json"


class SnapshotError(ValueError):
    """A snapshot does not verify; the message says what is wrong with it."""


@dataclass(frozen=True)
class Snapshot:
    """A snapshot's folder and the generation in its name; nothing is verified yet."""

    path: Path
    generation: int


def snapshots(folder: Path) -> list[Snapshot]:
    """Return the snapshots in a folder, newest first."""
    found = [
        Snapshot(path, int(match[1]))
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := NAME.match(path.name))
    ]
    return sorted(found, key=lambda snapshot: -snapshot.generation)


def write_snapshot(folder: Path, state: ExportedState, checksum: str, keep: int) -> Path:
    """Write a snapshot and remove all but the newest `keep`; return its folder.

    Raises:
        OSError: it could not be written; no older snapshot was touched.
    """
    path = folder / f"generation-{state.generation:08d}"
    with atomic_folder(path) as temporary:
        arrays = {name: np.asarray(array, order="C") for name, array in state.arrays.items()}
        try:
            with default_mode(temporary / STATE):
                save_file(arrays, temporary / STATE)
        except SafetensorError as error:  # so it calls a full disk, too
            raise OSError(f"{STATE}: {error}") from None
        manifest = {
            "format": FORMAT,
            "generation": state.generation,
            "checksum": checksum,
            "steps": dict(state.steps),
            "training": dict(state.training),
            "files": {STATE: sha256(temporary / STATE)},
        }
        write_json(temporary / MANIFEST, manifest | {"seal": _seal(manifest)})
    for old in snapshots(folder)[keep:]:
        shutil.rmtree(old.path, ignore_errors=True)
    for unfinished in folder.glob(".generation-*"):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)
    return path


def verify(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot's manifest after checking its files' hashes.

    Raises:
        SnapshotError: something is missing, damaged or of an unknown format.
    """
    try:
        manifest = read_json(snapshot.path / MANIFEST)
        found, generation = manifest["format"], manifest["generation"]
        expected, steps = manifest["files"][STATE], manifest["steps"]
        manifest["checksum"]
        if found != FORMAT:
            raise SnapshotError(f"its format is {found}; this version reads {FORMAT}")
        if manifest["seal"] != _seal(manifest):
            raise SnapshotError(f"{MANIFEST} is damaged: its SHA-256 is not the one it names")
        if generation != snapshot.generation:
            raise SnapshotError("its manifest is of another snapshot")
        if not (_numbers(steps, int) and _numbers(manifest["training"], (int, float))):
            raise SnapshotError(f"{MANIFEST} is damaged: steps or training are no numbers by name")
        actual = sha256(snapshot.path / STATE)
    except OSError as error:
        raise SnapshotError(f"{Path(error.filename or '').name}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, SnapshotError):
            raise
        raise SnapshotError(f"{MANIFEST} is damaged: {error}") from None
    if actual != expected:
        raise SnapshotError(f"{STATE} is damaged: its SHA-256 is not the manifest's")
    return manifest  # type: ignore[no-any-return]


def _numbers(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether a value of a manifest is a mapping of names to numbers."""
    return isinstance(value, dict) and all(isinstance(number, kind) for number in value.values())


def _seal(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of a manifest's values but the seal itself."""
    values = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def read_snapshot(snapshot: Snapshot) -> tuple[ExportedState, str]:
    """Return a verified snapshot's state and its checksum.

    Raises:
        SnapshotError: it does not verify.
    """
    manifest = verify(snapshot)
    try:
        arrays = load_file(snapshot.path / STATE)
    except Exception as error:  # of a type that numpy lacks, it raises more than its own error
        raise SnapshotError(f"{STATE} cannot be read: {error}") from None
    state = ExportedState(arrays, snapshot.generation, manifest["steps"], manifest["training"])
    return state, str(manifest["checksum"])


def newest(
    folder: Path, at_most: int | None = None
) -> tuple[ExportedState | None, str, list[tuple[Snapshot, str]]]:
    """Return the newest state that verifies, its checksum, and what was passed over, and why."""
    passed_over = []
    for snapshot in snapshots(folder):
        if at_most is not None and snapshot.generation > at_most:
            continue
        try:
            state, checksum = read_snapshot(snapshot)
        except SnapshotError as error:
            passed_over.append((snapshot, str(error)))
            continue
        return state, checksum, passed_over
    return None, "", passed_over


def discard_after(folder: Path, generation: int) -> None:
    """Remove the snapshots after a generation, newest first."""
    for snapshot in snapshots(folder):
        if snapshot.generation > generation:
            shutil.rmtree(snapshot.path, ignore_errors=True)
