"""Forks: runs that begin with the whole state of another run's snapshot, moments and critics too.

A person forks a run with `train --from`; the alarm (`evaluation.collapse.action: fork`) forks one
that has collapsed from its best snapshot, into a sibling folder and with other streams. A fork
keeps the generation's number, so schedules and networks that grow go on where they were.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from egan.replica import ExportedState
from egan.weights_file import MULTIPLIER, check_multiplier
from runs.common.errors import ConfigError
from runs.common.hints import hint
from runs.config.differences import told
from runs.config.loading import load_config, validate
from runs.config.schema import RunConfig
from runs.sampling.states import check_whole
from runs.store.folder import DataCard, RunFolder
from runs.store.identity import Parent
from runs.store.snapshots import SnapshotError, newest, read_snapshot, snapshots, verify

MOST_DIGITS = 18  # of a generation


@dataclass(frozen=True)
class Fork:
    """A run to begin: its config, its parent's, where its state comes from, and the state."""

    config: RunConfig
    former: RunConfig
    parent: Parent
    state: ExportedState

    def check(self, card: DataCard) -> None:
        """Refuse a state that the config and the data have other networks than, or scale otherwise.

        Raises:
            ConfigError: they do not fit, or nothing is left to evolve.
        """
        where = f"{self.parent.folder}, generation {self.parent.generation}"
        if self.config.generations <= self.parent.generation:
            raise ConfigError(
                f"generations: {self.config.generations} leaves nothing to evolve after {where}; "
                "give more, such as --set "
                f"generations={self.parent.generation + self.config.generations}"
            )
        try:
            check_whole(self.config, card, self.state)
        except ConfigError as error:
            message = f"the state of {where} does not fit this config and data"
            differing = told(_of_networks(self.former), _of_networks(self.config))
            if not differing:
                raise ConfigError(f"{message}: {error}") from None
            message += ". A fork keeps its parent's networks; they differ in:"
            raise ConfigError("\n".join([message, *differing])) from None
        multipliers = (
            getattr(config.backbone, MULTIPLIER, None) for config in (self.former, self.config)
        )
        try:
            check_multiplier(where, *multipliers)
        except ValueError as error:
            raise ConfigError(str(error)) from None


def _of_networks(config: RunConfig) -> dict[str, Any]:
    """Return the part of a config that says which networks a state holds."""
    values = config.model_dump(mode="json", include={"backbone", "data"})
    return {"population": {"survivors": config.population.survivors}, **values}


# ------------------------------------------------------------------------------- by a person


def plan_fork(place: str, overrides: Iterable[str] = (), **settings: Any) -> Fork:
    """Return the fork of `RUN[@GENERATION|@best]`; overrides and settings as `load_config`'s.

    By default it is the newest snapshot. A mirror is not inherited: one place holds one run.

    Raises:
        ConfigError: no such run or snapshot, or a bad value.
    """
    path, which = split_place(place)
    folder = RunFolder.open(path)
    former = load_config(folder.config)
    config = load_config(folder.config, ("checkpoint.mirror=null", *overrides), **settings)
    folder.load_data()  # a newer version's is refused here, in one line
    state, checksum = _chosen(folder, which)
    return Fork(config, former, _parent(folder, state, checksum), state)


def split_place(place: str) -> tuple[str, str]:
    """Return the parts of `RUN[@GENERATION|@best]`: the folder, and a generation, best or nothing.

    Raises:
        ConfigError: it has another form.
    """
    path, at, which = place.rpartition("@")
    if not at or RunFolder(Path(place)).config.is_file():
        path, which = place, ""
    elif which != "best" and not (which.isdecimal() and len(which) <= MOST_DIGITS):
        if RunFolder(Path(path)).config.is_file():
            raise ConfigError(
                f"--from {place}: {which!r} is no snapshot's name; give a generation, {path}@500, "
                f"or {path}@best, or {path} for the newest"
            )
        path, which = place, ""
    if not path:
        raise ConfigError(f"--from {place!r} names no run; give RUN, RUN@GENERATION or RUN@best")
    return path, which


def check_fork_of(folder: RunFolder, place: str) -> None:
    """Refuse a folder whose run is no fork of `RUN[@GENERATION|@best]`.

    What is left of the parent is compared: it may have gone on, been moved, or lost its snapshots.

    Raises:
        ConfigError: it is none.
    """
    path, which = split_place(place)
    identity, there = folder.load_identity(), RunFolder(Path(path))
    parent = identity.parent if identity else None
    known = None
    with suppress(ConfigError):  # one that a newer version goes on with is known by its place
        known = there.run
    if parent is None or (
        known != parent.run
        if known and parent.run
        else there.path.absolute() != Path(parent.folder).absolute()
    ):
        of = f"a fork of {parent.folder}" if parent else "no fork"
        raise ConfigError(
            f"{folder.path} holds a run that is {of}, not a fork of {path}; choose another --output"
        )
    if which.isdecimal() and int(which) != parent.generation:
        raise ConfigError(
            f"{folder.path} holds a fork of generation {parent.generation} of {path}, not of "
            f"{which}; choose another --output"
        )
    for snapshot in (*snapshots(there.snapshots), *snapshots(there.best)):
        if snapshot.generation == parent.generation:
            with suppress(SnapshotError):
                if (checksum := verify(snapshot, known)["checksum"]) != parent.checksum:
                    raise ConfigError(
                        f"{folder.path} holds a fork of generation {parent.generation} of {path} "
                        f"with checksum {parent.checksum}; it has {checksum} now. Choose another "
                        "--output"
                    )


def _chosen(folder: RunFolder, which: str) -> tuple[ExportedState, str]:
    if which.isdecimal():
        for snapshot in (*snapshots(folder.snapshots), *snapshots(folder.best)):
            if snapshot.generation == int(which):
                try:
                    return read_snapshot(snapshot, folder.run)
                except SnapshotError as error:
                    raise ConfigError(f"{snapshot.path}: {error}") from None
    else:
        state, checksum, passed_over = newest(
            folder.best if which else folder.snapshots, folder.run
        )
        if state is not None:
            return state, checksum
        if passed_over:
            raise ConfigError("; ".join(f"{s.path}: {reason}" for s, reason in passed_over))
    kept = [str(snapshot.generation) for snapshot in snapshots(folder.snapshots)]
    kept += [f"best ({snapshot.generation})" for snapshot in snapshots(folder.best)]
    wanted = f"of generation {which}" if which.isdecimal() else which
    raise ConfigError(
        f"{folder.path} has no snapshot {wanted}".rstrip()
        + f"; it has: {', '.join(kept) or 'none'}"
    )


def _parent(folder: RunFolder, state: ExportedState, checksum: str, alarms: int = 0) -> Parent:
    return Parent(
        run=folder.run,
        folder=str(folder.path.absolute()),
        generation=state.generation,
        checksum=checksum,
        alarms=alarms,
    )


# ------------------------------------------------------------------------------ by the alarm


def config_after(config: RunConfig, alarms: int) -> RunConfig:
    """Return the config of the fork by an alarm, the `alarms`-th: other streams, another mirror."""
    values = config.model_dump(mode="json")
    seed = np.random.SeedSequence((config.seed, alarms)).generate_state(1, np.uint64)[0]
    values["seed"] = int(seed >> np.uint64(1))
    if mirror := values["checkpoint"]["mirror"]:  # one place holds one run
        place, mark, query = mirror.partition("?")
        former = f"-fork{alarms - 1}"
        place = place.rstrip("/").removesuffix(former)
        values["checkpoint"]["mirror"] = f"{place}-fork{alarms}{mark}{query}"
    return validate(values, "of the fork")


def plan_alarm_fork(folder: RunFolder, config: RunConfig, alarms: int, best: int) -> Fork:
    """Return the fork of a run from its best snapshot, of generation `best`.

    Raises:
        OSError: the snapshot cannot be read.
    """
    state, checksum, _ = newest(folder.best, folder.run)
    if state is None or state.generation != best:
        raise OSError(
            f"the best snapshot, of generation {best}, cannot be read from {folder.best}, so the "
            "run is not forked; put it back from the mirror, or fork another one: "
            + hint("train", **{"from": f"{folder.path}@GENERATION"})
        )
    return Fork(config, config, _parent(folder, state, checksum, alarms), state)
