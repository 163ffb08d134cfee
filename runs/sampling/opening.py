"""Samples of a run, from one of its snapshots, or of a generator's folder."""

from pathlib import Path
from typing import Literal

import numpy as np

from egan.data.config import DataConfig, GaussiansConfig
from egan.data.gaussians import open_gaussians
from egan.replica import ExportedState
from runs.common.errors import ConfigError
from runs.sampling.generators import is_generator, load_sampler
from runs.sampling.sampler import Sampler
from runs.sampling.states import sampler_of
from runs.store.folder import RunFolder
from runs.store.snapshots import newest

Snapshot = Literal["best", "newest"]


def sample(
    run_dir: str | Path,
    count: int = 64,
    seed: int = 0,
    which: Snapshot = "best",
    truncation: float | None = None,
) -> np.ndarray:
    """Return samples of a run: uint8 images (N, H, W, C), or points float32 (N, D).

    They come from the snapshot with the best scoring, if the run keeps one, or the newest; the
    `truncation` psi is for generators with styles.

    Raises:
        ConfigError: there is no such run, no snapshot of it verifies, or nothing to truncate.
    """
    if count < 1:
        raise ConfigError(f"count must be at least 1, not {count}")
    return open_sampler(run_dir, which)[0].truncated(truncation)(count, seed)


def open_sampler(run_dir: str | Path, which: Snapshot = "best") -> tuple[Sampler, str]:
    """Return the sampler of a run or of a generator's folder, and the name of what it comes from.

    Raises:
        ConfigError: there is no such run, or no snapshot of it verifies.
    """
    if is_generator(Path(run_dir)):
        return load_sampler(Path(run_dir)), "generator"
    folder = RunFolder.open(run_dir)
    exported, name = chosen_snapshot(folder, which)
    return sampler_of(folder.load_config(), folder.load_data().shape, exported), name


def chosen_snapshot(folder: RunFolder, which: Snapshot = "best") -> tuple[ExportedState, str]:
    """Return the best snapshot, if scorings kept one and it is wanted, or the newest; and its name.

    Raises:
        ConfigError: none verifies.
    """
    passed_over: list[str] = []
    for place, name in ((folder.best, "best"), (folder.snapshots, "newest")):
        if name == "best" and which == "newest":
            continue
        exported, _, damaged = newest(place)
        if exported is not None:
            why = f" (the best one is damaged: {passed_over[0]})" if passed_over else ""
            return exported, f"{name} snapshot, generation {exported.generation}{why}"
        passed_over += [f"{snapshot.path.name}: {reason}" for snapshot, reason in damaged]
    reasons = "".join(f"\n  {reason}" for reason in passed_over)
    raise ConfigError(f"{folder.path} has no snapshot to sample from yet{reasons}")


def mixture_centres(data: DataConfig) -> np.ndarray | None:
    """Return the true modes (K, 2) of a mixture, to be drawn beside samples; None for images."""
    if not isinstance(data, GaussiansConfig):
        return None
    return open_gaussians(data).centres
