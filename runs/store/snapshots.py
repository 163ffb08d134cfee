"""Snapshots of the whole state: safetensors and a JSON manifest, whole or not there at all.

A snapshot is a folder `snapshots/generation-00000100` with `state.safetensors`, which any
safetensors reader opens, and `manifest.json` with its SHA-256 and the state's checksum. Nothing is
pickled.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from egan.files import saving_tensors, sha256
from egan.replica import ExportedState
from runs.common.errors import ConfigError
from runs.common.files import atomic_folder, read_json, write_json
from runs.common.formats import STAMP, format_of, upgraded

NAME = re.compile(r"^generation-(\d{8,})$")
STATE = "state.safetensors"
MANIFEST = "manifest.json"


class SnapshotError(ValueError):
    """A snapshot does not verify; the message says what is wrong with it."""


class NewerSnapshot(SnapshotError):
    """A newer version wrote a snapshot: it is whole, and not to be replaced."""


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


def write_snapshot(
    folder: Path, state: ExportedState, checksum: str, keep: int, run: str | None = None
) -> Path:
    """Write a snapshot of a run and remove all but the newest `keep`; return its folder.

    Raises:
        OSError: it could not be written; no older snapshot was touched.
    """
    path = folder / f"generation-{state.generation:08d}"
    with atomic_folder(path) as temporary:
        arrays = {name: np.asarray(array, order="C") for name, array in state.arrays.items()}
        with saving_tensors(temporary / STATE):
            save_file(arrays, temporary / STATE)
        manifest = {
            **STAMP,
            "run": run,
            "generation": state.generation,
            "checksum": checksum,
            "steps": dict(state.steps),
            "training": dict(state.training),
            "settings": dict(state.settings),
            "files": {STATE: sha256(temporary / STATE)},
        }
        write_json(temporary / MANIFEST, manifest | {"seal": _seal(manifest)})
    for old in snapshots(folder)[keep:]:
        shutil.rmtree(old.path, ignore_errors=True)
    for unfinished in folder.glob(".generation-*"):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)
    return path


def verify(snapshot: Snapshot, run: str | None = None) -> dict[str, Any]:
    """Return a snapshot's manifest in the present format, after checking its files' hashes.

    Its `format` stays the one that the arrays are of.

    Raises:
        SnapshotError: something is missing or damaged, a newer version wrote it, or it is of
            another run than `run`.
    """
    try:
        written = read_json(snapshot.path / MANIFEST)
        found = format_of(written, MANIFEST)
        if written["seal"] != _seal(written):
            raise SnapshotError(f"{MANIFEST} is damaged: its SHA-256 is not the one it names")
        manifest = upgraded("manifest", written, found)
        generation, expected = manifest["generation"], manifest["files"][STATE]
        manifest["checksum"]
        if generation != snapshot.generation:
            raise SnapshotError("its manifest is of another snapshot")
        for key, kind in (("steps", int), ("training", (int, float)), ("settings", (int, float))):
            if not _numbers(manifest[key], kind):
                raise SnapshotError(
                    f"{MANIFEST} is damaged: its {key} are not a mapping of names to numbers"
                )
        actual = sha256(snapshot.path / STATE)
    except OSError as error:
        raise SnapshotError(f"{Path(error.filename or '').name}: {error.strerror}") from None
    except SnapshotError:
        raise
    except ConfigError as error:
        raise NewerSnapshot(str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotError(f"{MANIFEST} is damaged: {error}") from None
    if actual != expected:
        raise SnapshotError(f"{STATE} is damaged: its SHA-256 is not the manifest's")
    if run is not None and manifest.get("run", run) != run:
        raise SnapshotError("it is of another run")
    return manifest


def _numbers(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether a value of a manifest is a mapping of names to numbers."""
    return isinstance(value, dict) and all(isinstance(number, kind) for number in value.values())


def _seal(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of a manifest's values but the seal itself."""
    values = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def read_snapshot(snapshot: Snapshot, run: str | None = None) -> tuple[ExportedState, str]:
    """Return a verified snapshot's state and its checksum.

    Raises:
        SnapshotError: it does not verify, or is of another run than `run`.
    """
    manifest = verify(snapshot, run)
    try:
        arrays = upgraded("arrays", load_file(snapshot.path / STATE), manifest["format"])
    except Exception as error:  # of a type that numpy lacks, it raises more than its own error
        raise SnapshotError(f"{STATE} cannot be read: {error}") from None
    numbers = (manifest[key] for key in ("steps", "training", "settings"))
    return ExportedState(arrays, snapshot.generation, *numbers), str(manifest["checksum"])


def newest(
    folder: Path, run: str | None = None, checksums: Mapping[int, str] | None = None
) -> tuple[ExportedState | None, str, list[tuple[Snapshot, str]]]:
    """Return the newest state that verifies, its checksum, and what was passed over, and why.

    Args:
        folder: of snapshots.
        run: the id of the run that they must be of; None: of any.
        checksums: those that the run's journal has, by generation: a state must have its own.

    Raises:
        ConfigError: a newer version wrote one.
    """
    passed_over = []
    for snapshot in snapshots(folder):
        try:
            state, checksum = read_snapshot(snapshot, run)
            if (checksums or {}).get(snapshot.generation, checksum) != checksum:
                raise SnapshotError("its checksum is not the journal's of that generation")
        except NewerSnapshot as error:
            raise ConfigError(f"{snapshot.path}: {error}") from None
        except SnapshotError as error:
            passed_over.append((snapshot, str(error)))
            continue
        return state, checksum, passed_over
    return None, "", passed_over
