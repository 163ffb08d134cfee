"""Samples of a run, from one of its snapshots, or of a generator's folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from egan.data.config import DataConfig, GaussiansConfig
from egan.data.gaussians import open_gaussians
from egan.replica import ExportedState
from runs.common.errors import ConfigError
from runs.sampling.conditions import asked_for
from runs.sampling.device import Asked, opened_device
from runs.sampling.generators import is_generator, load_sampler
from runs.sampling.sampler import Sampler
from runs.sampling.states import sampler_of
from runs.store.folder import RunFolder
from runs.store.snapshots import SnapshotError, newest, read_snapshot, snapshots

BEST, NEWEST = "best", "newest"


@dataclass(frozen=True)
class Choice:
    """Which generator of a run is meant.

    Attributes:
        snapshot: "best", by the scorings where the run keeps any, else the newest; "newest"; or a
            generation.
        survivor: which of the survivors; 0 is the best.
        raw: whether its own weights are taken, in place of their running average.
    """

    snapshot: str | int = BEST
    survivor: int = 0
    raw: bool = False

    @property
    def own(self) -> str:
        """What a record's keys begin with for a generator that is not the usual one; "" if it is.

        Raw survivors are named as in the scorings of a run (`evaluation.survivors`).
        """
        if not (self.raw or self.survivor):
            return ""
        return f"parent{self.survivor}{'' if self.raw else '-average'}/"

    def refuse_alone(self, what: str) -> None:
        """Refuse a choice among what is no run.

        Raises:
            ConfigError: one was made; `what` says what is there.
        """
        if self.raw or self.survivor or self.snapshot not in (BEST, NEWEST):
            raise ConfigError(f"{what}: it has no snapshots to choose from")


@dataclass(frozen=True)
class Opened:
    """A generator of a run: its sampler, what it is called, and its snapshot's generation."""

    sampler: Sampler
    name: str
    generation: int


def sample(
    run_dir: str | Path,
    count: int = 64,
    seed: int = 0,
    which: str | int = BEST,
    truncation: float | None = None,
    device: Asked = "auto",
    classes: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> np.ndarray:
    """Return samples of a run: uint8 images (N, H, W, C), or points float32 (N, D).

    Args:
        run_dir: the folder of a run, or of a generator.
        count: how many.
        seed: of the noise that they are made from.
        which: the snapshot, see `Choice`.
        truncation: psi, for generators with styles; None: none.
        device: where they are made, see `runs.sampling.device`.
        classes: names or numbers of the classes that samples are asked for, in turn.
        tags: the same of tags, each "A,B"; neither: like the data's rows.

    Raises:
        ConfigError: there is no such run, no such snapshot of it verifies, there is nothing to
            truncate, or it cannot be asked for such conditions.
    """
    if count < 1:
        raise ConfigError(f"count must be at least 1, not {count}")
    sampler, _ = open_sampler(run_dir, Choice(which), device)
    asked = asked_for(sampler.conditions, classes, tags)
    conditions = None if asked is None else asked.cycled(count)
    return sampler.truncated(truncation)(count, seed, conditions)


def open_sampler(
    run_dir: str | Path, choice: Choice | None = None, device: Asked = "auto"
) -> tuple[Sampler, str]:
    """Return the sampler of a run or of a generator's folder, and the name of what it comes from.

    Raises:
        ConfigError: there is no such run, no such snapshot of it verifies, or no such device.
    """
    choice = choice or Choice()
    if is_generator(Path(run_dir)):
        choice.refuse_alone(f"{run_dir} holds a generator alone")
        return load_sampler(Path(run_dir)).to(opened_device(device)), "generator"
    opened = open_run(RunFolder.open(run_dir), choice, device)
    return opened.sampler, opened.name


def open_run(folder: RunFolder, choice: Choice, device: Asked = "auto") -> Opened:
    """Return a generator of a run, on a device.

    Raises:
        ConfigError: as `open_sampler`.
    """
    config = folder.load_config()
    exported, name = chosen_snapshot(folder, choice.snapshot)
    sampler = sampler_of(config, folder.load_data(), exported, choice.survivor, choice.raw)
    own = f"survivor {choice.survivor}{', not averaged' if choice.raw else ''}, of the "
    name = f"{own if choice.own else ''}{name}"
    return Opened(sampler.to(opened_device(device, config.execution)), name, exported.generation)


def chosen_snapshot(folder: RunFolder, which: str | int = BEST) -> tuple[ExportedState, str]:
    """Return the state of a snapshot, see `Choice`, and the snapshot's name.

    Raises:
        ConfigError: it is not there, or does not verify.
    """
    if isinstance(which, int):
        return _of_generation(folder, which)
    passed_over: list[str] = []
    for place, name in ((folder.best, BEST), (folder.snapshots, NEWEST)):
        if name == BEST and which == NEWEST:
            continue
        exported, _, damaged = newest(place, folder.run)
        if exported is not None:
            why = f" (the best one is damaged: {passed_over[0]})" if passed_over else ""
            return exported, f"{name} snapshot, generation {exported.generation}{why}"
        passed_over += [f"{snapshot.path.name}: {reason}" for snapshot, reason in damaged]
    reasons = "".join(f"\n  {reason}" for reason in passed_over)
    raise ConfigError(f"{folder.path} has no snapshot to sample from yet{reasons}")


def _of_generation(folder: RunFolder, generation: int) -> tuple[ExportedState, str]:
    """Return the state of a generation's snapshot, be it one of the newest or the best."""
    there = [*snapshots(folder.snapshots), *snapshots(folder.best)]
    reasons = []
    for snapshot in there:
        if snapshot.generation == generation:
            try:
                return read_snapshot(snapshot, folder.run)[
                    0
                ], f"snapshot of generation {generation}"
            except SnapshotError as error:
                reasons.append(str(error))
    if reasons:
        raise ConfigError(f"{folder.path}: the snapshot of generation {generation}: {reasons[0]}")
    kept = ", ".join(map(str, sorted({snapshot.generation for snapshot in there}))) or "none"
    raise ConfigError(
        f"{folder.path} has no snapshot of generation {generation}. There are: {kept} "
        "(checkpoint.keep says how many of the newest stay)"
    )


def mixture_centres(data: DataConfig) -> np.ndarray | None:
    """Return the true modes (K, 2) of a mixture, to be drawn beside samples; None for images."""
    if not isinstance(data, GaussiansConfig):
        return None
    return open_gaussians(data).centres
