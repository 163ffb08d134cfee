"""A run's folder: what lies where."""

import errno
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, TypeAdapter

from egan.data import DataConfig, Source
from egan.data.condition import ConditionCard, Conditions, card_of
from egan.data.pairs import PairSource, Partner
from egan.data.report import Reading, reading_of, report
from egan.data.source import Origin
from egan.replica import ExportedState
from populations.messages import one_line
from runs.common.errors import ConfigError
from runs.common.files import nearest, read_json, read_text, write_json, write_text
from runs.common.formats import STAMP, format_of, upgraded, without_head
from runs.common.hints import hint
from runs.common.lock import RunLock
from runs.config.loading import present_config, validate
from runs.config.safe_yaml import LARGEST_CONFIG, parse_yaml
from runs.config.schema import RunConfig
from runs.store.identity import Identity, Parent, alarms_behind, digests, identity_in
from runs.store.index import Index, Stage, read_index
from runs.store.journal import Entry, read_head, read_journal
from runs.store.snapshots import snapshots, write_snapshot

# The names that `runs.common.files` gives to what is not whole yet.
HALF_WRITTEN = re.compile(
    r"^\.(config|data|journal|tracking|mirror|replicas|scores|wins|training|generation-\d+)"
    r"-\d+(\.(yaml|json|jsonl|index|png))?$"
)
MADE = re.compile(r"generation-\d+(\.png)?|(scores|wins|training)\.png")
Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=2**16)], ...], Field(max_length=3)]


@dataclass(frozen=True)
class DataCard:
    """A description of a run's data, to sample the run without them and to recognise them."""

    name: str
    shape: Shape
    length: int | None
    classes: tuple[str, ...] | None
    fingerprint: str
    conditions: ConditionCard | None = None
    partner: Partner | None = None
    read: Reading | None = None

    @property
    def condition(self) -> Conditions | None:
        """The meaning of a condition vector; None: the run has none."""
        return self.conditions.conditions if self.conditions else None

    @classmethod
    def of(cls, source: Source, config: DataConfig) -> "DataCard":
        """Return the card of an opened source.

        Raises:
            DataError: it has not the conditions that its config asks for.
        """
        return cls(
            source.name,
            source.shape,
            source.length,
            source.classes,
            source.fingerprint,
            card_of(source, config),
            source.partner if isinstance(source, PairSource) else None,
            reading_of(source),
        )

    def report(self) -> list[str]:
        """Return what was read, in lines."""
        unused = () if self.condition else ("labels", "tags")
        read = self.read or Reading(Origin())
        return report(self.name, self.length, self.shape, read, unused)


CARD: TypeAdapter[DataCard] = TypeAdapter(DataCard)
SHAPE: TypeAdapter[Shape] = TypeAdapter(Shape)


class RunExists(ConfigError):
    """A folder for a new run holds one already."""


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """The whole configuration, as YAML."""
        return self.path / "config.yaml"

    @property
    def data(self) -> Path:
        """The description of the run's data."""
        return self.path / "data.json"

    @property
    def journal(self) -> Path:
        """A first line about the run, then one JSON line per generation, scoring and event."""
        return self.path / "journal.jsonl"

    @property
    def index(self) -> Path:
        """The index of the journal: see `runs.store.index`."""
        return self.path / "journal.index"

    @property
    def snapshots(self) -> Path:
        """A folder per snapshot."""
        return self.path / "snapshots"

    @property
    def best(self) -> Path:
        """The snapshot with the best scoring, in a folder like `snapshots`."""
        return self.path / "best"

    @property
    def origin(self) -> Path:
        """Of a fork: the snapshot that it began with, in a folder like `snapshots`."""
        return self.path / "origin"

    @property
    def samples(self) -> Path:
        """Sample grids, by generation."""
        return self.path / "samples"

    @property
    def plots(self) -> Path:
        """Pictures of the run's course."""
        return self.path / "plots"

    @property
    def tracking(self) -> Path:
        """Which MLflow run this is, and how far it is logged."""
        return self.path / "tracking.json"

    @property
    def replicas(self) -> Path:
        """Where the replicas of a living run are."""
        return self.path / "replicas.json"

    @property
    def lock(self) -> Path:
        """Who writes to the run."""
        return self.path / "journal.lock"

    @property
    def mirror(self) -> Path:
        """The file that tells this run from others in its mirror."""
        return self.path / "mirror.json"

    @classmethod
    def create(
        cls,
        config: RunConfig,
        card: DataCard,
        output: Path | None,
        parent: Parent | None = None,
        state: ExportedState | None = None,
    ) -> "RunFolder":
        """Make the folder of a new run and write its configuration; its identity is made here.

        A fork begins with the `state` of its `parent`. The config comes last, for it makes the
        folder a run's: what a process leaves that is killed before is written anew.

        Raises:
            ConfigError: the folder holds a run already, or cannot be made.
        """
        path = output or cls.default_path(config)
        folder = cls(path)
        folder.refuse_a_second_run()  # before anything is touched
        try:
            path.mkdir(parents=True, exist_ok=True)
            with RunLock(folder.lock):
                folder.refuse_a_second_run()
                for part in (folder.snapshots, folder.samples, folder.plots):
                    part.mkdir(exist_ok=True)
                write_json(folder.data, STAMP | asdict(card))
                identity = Identity(parent=parent, decides=digests(config))
                if parent is not None and state is not None:
                    write_snapshot(folder.origin, state, parent.checksum, 1, identity.run)
                folder.write_config(config, identity)
        except OSError as error:
            raise ConfigError(f"cannot write to {path}: {error.strerror}") from None
        return folder

    @staticmethod
    def default_path(config: RunConfig) -> Path:
        """Return where a run lies that was given no place."""
        return Path("outputs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"

    @classmethod
    def of(cls, uri: str | Path, output: str | Path | None) -> "RunFolder":
        """Return the folder for a run that is fetched from a URI."""
        last = str(uri).partition("?")[0].rstrip("/").rpartition("/")[2]
        return cls(Path(output) if output else Path("outputs") / last)

    def refuse_a_second_run(self) -> None:
        """Check that the folder holds no run, nor what is left of one.

        Raises:
            RunExists: it does.
        """
        if self.config.exists() or self.journal.exists() or snapshots(self.snapshots):
            raise RunExists(
                f"{self.path} holds a run already: continue it with `{hint('resume', self.path)}`, "
                "or choose another --output"
            )

    def check_place(self) -> None:
        """Refuse a folder for a new run that holds one, or can be seen not to be writable.

        Raises:
            RunExists: it holds a run.
            ConfigError: it, or what it would be made in, is no folder, or there is no permission.
        """
        self.refuse_a_second_run()
        there = nearest(self.path)
        if not there.is_dir():
            raise ConfigError(f"cannot write to {self.path}: {there} is not a folder")
        if not os.access(there, os.W_OK):
            reason = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
            raise ConfigError(f"cannot write to {self.path}: {there}: {os.strerror(reason)}")

    @property
    def _parts(self) -> tuple[Path, ...]:
        return self.snapshots, self.best, self.origin, self.samples, self.plots

    def sweep(self) -> None:
        """Remove what killed processes left half-written; whoever calls holds the run's lock."""
        for folder in (self.path, *self._parts):
            for path in folder.glob(".*"):
                if HALF_WRITTEN.match(path.name):
                    shutil.rmtree(path, ignore_errors=True)
                    path.unlink(missing_ok=True)

    @property
    def evolved(self) -> bool:
        """Whether the run has evolved a generation."""
        return any(isinstance(line, Entry) for line in read_journal(self.journal))

    def discard(self) -> None:
        """Remove what a start left if nothing was evolved: the folder may be used again."""
        if self.evolved:
            return
        files = (self.config, self.data, self.journal, self.mirror, self.tracking, self.replicas)
        for file in (*files, self.index, self.lock):
            file.unlink(missing_ok=True)
        for folder in self._parts:
            for path in folder.glob("*"):
                if MADE.fullmatch(path.name):
                    shutil.rmtree(path, ignore_errors=True)
                    path.unlink(missing_ok=True)
        for part in (*self._parts, self.path):
            with suppress(OSError):  # it holds something of the user's
                part.rmdir()

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Return the folder of an existing run.

        Raises:
            ConfigError: it holds none.
        """
        folder = cls(Path(path))
        if not folder.config.is_file():
            raise ConfigError(
                f"{folder.path} is not a run's folder: it has no config.yaml. "
                "Runs lie in outputs/, or where `train --output` put them"
            )
        return folder

    def load_config(self, imported: bool = True) -> RunConfig:
        """Return the run's configuration; see `validate` on `imported`.

        Raises:
            ConfigError: it cannot be read, or a newer version wrote it.
        """
        return self.load(imported)[0]

    def load(self, imported: bool = True) -> tuple[RunConfig, Identity | None]:
        """Return the run's configuration and which run this is, see `load_identity`.

        Raises:
            ConfigError: as `load_config`.
        """
        config, identity = parse_config(self._config_text(), str(self.config), imported)
        return config, identity or identity_in(read_head(self.journal))

    def load_identity(self) -> Identity | None:
        """Return which run this is; None: an old version began it, and nobody resumed it since.

        Raises:
            ConfigError: as `load_config`.
        """
        values = parse_yaml(self._config_text(), str(self.config))
        format_of(values, self.config)
        return identity_in(values) or identity_in(read_head(self.journal))

    @property
    def run(self) -> str | None:
        """The run's id; None: it has none, see `load_identity`, or the folder holds no run."""
        identity = self.load_identity() if self.config.is_file() else None
        return identity.run if identity else None

    def read_index(self, progress: Stage | None = None) -> Index:
        """Return the index of the run's journal; `progress` is told of a long reading.

        Raises:
            ConfigError: as `load_config`, or a newer version wrote the journal.
        """
        selection = self.load(imported=False)[0].policy() if self.config.is_file() else None
        return read_index(self.journal, selection, progress)

    def write_config(self, config: RunConfig, identity: Identity) -> None:
        """Write the run's configuration, with its identity at the head."""
        head = yaml.safe_dump(STAMP | identity.to_json(), sort_keys=False)
        write_text(self.config, head + config.to_yaml())

    def _config_text(self) -> str:
        try:
            return read_text(self.config, LARGEST_CONFIG)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {self.config}: {error}") from None

    def load_data(self) -> DataCard:
        """Return the card of the run's data.

        Raises:
            ConfigError: it cannot be read, or a newer version wrote it.
        """
        try:
            values = read_json(self.data)
            if isinstance(values, dict):
                values = without_head(upgraded("data", values, format_of(values, self.data)))
            return CARD.validate_python(values)
        except ConfigError:
            raise
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {self.data}: {one_line(error)}") from None


@lru_cache(maxsize=64)  # a run's start reads it ten times, at 20 ms each
def parse_config(
    text: str, source: str, imported: bool = True
) -> tuple[RunConfig, Identity | None]:
    """Return the configuration and the identity in the text of a run's `config.yaml`.

    Raises:
        ConfigError: it is not valid, or a newer version wrote it.
    """
    values = parse_yaml(text, source)
    return validate(present_config(values, source), source, imported), identity_in(values)


def sibling_of(folder: RunFolder, identity: Identity | None) -> RunFolder:
    """Return the folder of the fork that a run's alarm makes: `NAME-fork1`, then `NAME-fork2`."""
    behind = alarms_behind(identity)
    name = folder.path.absolute().name
    name = name.removesuffix(f"-fork{behind}") if behind else name
    return RunFolder(folder.path.parent / f"{name}-fork{behind + 1}")
