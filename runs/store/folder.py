"""A run's folder: what lies where."""

import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from egan.data import Source
from populations.messages import one_line
from runs.common.errors import ConfigError
from runs.common.files import read_json, read_text, write_json, write_text
from runs.common.hints import hint
from runs.common.lock import RunLock
from runs.config.loading import validate
from runs.config.safe_yaml import LARGEST_CONFIG, parse_yaml
from runs.config.schema import RunConfig
from runs.store.journal import Entry, read_journal
from runs.store.snapshots import snapshots

# The names that `runs.common.files` gives to what is not whole yet.
HALF_WRITTEN = re.compile(
    r"^\.(config|data|journal|tracking|mirror|replicas|scores|wins|training|generation-\d+)"
    r"-\d+(\.(yaml|json|jsonl|png))?$"
)
MADE = re.compile(r"generation-\d+(\.png)?|(scores|wins|training)\.png")
Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=2**16)], ...], Field(max_length=3)]


@dataclass(frozen=True)
class DataCard:
    """What a run was trained on, so that it can be sampled without the data, and recognised."""

    name: str
    shape: Shape
    length: int | None
    classes: tuple[str, ...] | None
    fingerprint: str

    @classmethod
    def of(cls, source: Source) -> "DataCard":
        """Return the card of an opened source."""
        classes = getattr(source, "classes", None)
        return cls(source.name, source.shape, source.length, classes, source.fingerprint)


CARD = TypeAdapter(DataCard)
SHAPE: TypeAdapter[Shape] = TypeAdapter(Shape)


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
        """What the run was trained on."""
        return self.path / "data.json"

    @property
    def journal(self) -> Path:
        """One JSON line per generation."""
        return self.path / "journal.jsonl"

    @property
    def snapshots(self) -> Path:
        """A folder per snapshot."""
        return self.path / "snapshots"

    @property
    def best(self) -> Path:
        """The snapshot with the best scoring, in a folder like `snapshots`."""
        return self.path / "best"

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
        """What tells this run from others in its mirror."""
        return self.path / "mirror.json"

    @classmethod
    def create(cls, config: RunConfig, card: DataCard, output: Path | None) -> "RunFolder":
        """Make the folder of a new run and write its configuration.

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
                write_json(folder.data, asdict(card))
                write_text(folder.config, config.to_yaml())
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
            ConfigError: it does.
        """
        if self.config.exists() or self.journal.exists() or snapshots(self.snapshots):
            raise ConfigError(
                f"{self.path} holds a run already: continue it with `{hint('resume', self.path)}`, "
                "or choose another --output"
            )

    def sweep(self) -> None:
        """Remove what killed processes left half-written; whoever calls holds the run's lock."""
        for folder in (self.path, self.snapshots, self.best, self.samples, self.plots):
            for path in folder.glob(".*"):
                if HALF_WRITTEN.match(path.name):
                    shutil.rmtree(path, ignore_errors=True)
                    path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what a start left if nothing was evolved: the folder may be used again."""
        if any(isinstance(line, Entry) for line in read_journal(self.journal)):
            return
        files = (self.config, self.data, self.journal, self.mirror, self.tracking, self.replicas)
        for file in (*files, self.lock):
            file.unlink(missing_ok=True)
        for folder in (self.snapshots, self.samples, self.plots):
            for path in folder.glob("*"):
                if MADE.fullmatch(path.name):
                    shutil.rmtree(path, ignore_errors=True)
                    path.unlink(missing_ok=True)
        for part in (self.snapshots, self.samples, self.plots, self.path):
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
                f"{path} is not a run's folder: it has no config.yaml. "
                "Runs lie in outputs/ unless --output said otherwise"
            )
        return folder

    def load_config(self) -> RunConfig:
        """Return the run's configuration.

        Raises:
            ConfigError: it cannot be read.
        """
        try:
            text = read_text(self.config, LARGEST_CONFIG)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {self.config}: {error}") from None
        return validate(parse_yaml(text, str(self.config)), str(self.config))

    def load_data(self) -> DataCard:
        """Return the card of the run's data.

        Raises:
            ConfigError: it cannot be read.
        """
        try:
            card: DataCard = CARD.validate_python(read_json(self.data))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {self.data}: {one_line(error)}") from None
        return card
