"""A tournament's folder, and the run of each life of an island in it.

tournament.yaml             the tournament, its base config spelled out
decisions.jsonl             what followed from each round
islands/03.2/               an ordinary run folder: the third life of island 3
kept/007/                   the best state so far, kept after round 7: a run folder, too
result.json, winner.yaml    the result, and its settings as a config that `train` takes
report.html, plots/         to read
"""

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egan.schedule import Schedule
from runs.common.errors import ConfigError
from runs.common.files import read_text, write_text
from runs.common.lock import folder_lock
from runs.config.loading import validate
from runs.config.safe_yaml import LARGEST_CONFIG
from runs.config.schema import RunConfig
from runs.store.folder import RunFolder
from runs.store.snapshots import snapshots, write_snapshot
from runs.tournament.config import Tournament, parse_tournament
from runs.tournament.decisions import Kept, Life, Standing, name_of, seed_of
from runs.tournament.genes import with_genes
from runs.tournament.held_out import kept_from_training
from runs.tournament.schedule import Plan, steps_of_generation
from runs.training.forking import plan_fork
from runs.training.reading import read_data

LOCK = "tournament.lock"
BESIDE = (LOCK, "log.txt", "outcome.json")  # what a study may have written before


@dataclass(frozen=True)
class TournamentFolder:
    """The paths of one tournament."""

    path: Path

    @property
    def config(self) -> Path:
        """The tournament, as YAML."""
        return self.path / "tournament.yaml"

    @property
    def decisions(self) -> Path:
        """The judgements and the decision of each round, a line each."""
        return self.path / "decisions.jsonl"

    @property
    def result(self) -> Path:
        """The result, as JSON."""
        return self.path / "result.json"

    @property
    def winner(self) -> Path:
        """The winner's settings as a run's config."""
        return self.path / "winner.yaml"

    @property
    def kept(self) -> Path:
        """The best states, by the number of their round."""
        return self.path / "kept"

    @property
    def samples(self) -> Path:
        """A picture of the winner's samples."""
        return self.path / "samples.png"

    @property
    def report(self) -> Path:
        """The page to read."""
        return self.path / "report.html"

    @property
    def plots(self) -> Path:
        """The pictures of the report."""
        return self.path / "plots"

    @property
    def log(self) -> Path:
        """The messages of the islands' processes."""
        return self.path / "log.txt"

    def life(self, name: str) -> RunFolder:
        """Return the run folder of a life."""
        return RunFolder(self.path / "islands" / name)

    def kept_after(self, number: int) -> RunFolder:
        """Return the run folder of the state that was kept after a round."""
        return RunFolder(self.kept / f"{number:03d}")

    def load(self) -> Tournament:
        """Return the tournament.

        Raises:
            ConfigError: there is none, or it cannot be read.
        """
        if not self.config.is_file():
            raise ConfigError(
                f"{self.path} is not a tournament's folder: it has no {self.config.name}"
            )
        try:
            text = read_text(self.config, LARGEST_CONFIG)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the tournament {self.config}: {error}") from None
        return parse_tournament(text, str(self.config), self.path)

    def keep(self, tournament: Tournament) -> None:
        """Write the tournament to the folder, or check that the folder holds the same one.

        Raises:
            ConfigError: another tournament lies here, or something else.
        """
        if self.config.is_file():
            if _deciding(self.load()) != _deciding(tournament):
                raise ConfigError(
                    f"{self.path} holds a tournament of another config: choose another --output, "
                    "or go on with that one by its folder alone"
                )
            return
        if any(entry.name not in BESIDE for entry in self.path.iterdir()):
            raise ConfigError(
                f"{self.path} is not empty and holds no tournament: choose another --output"
            )
        write_text(self.config, tournament.to_yaml())

    def lock(self) -> AbstractContextManager[None]:
        """Lock the tournament, so that no second process runs it.

        Raises:
            ConfigError: the folder cannot be written to.
            RunBusy: another process holds it.
        """
        return folder_lock(self.path, LOCK, "tournament")


def _deciding(tournament: Tournament) -> dict[str, Any]:
    """Return the values that decide a tournament's result."""
    base = tournament.base.model_dump(mode="json", exclude={"execution", "tracking"})
    return tournament.config.model_dump(mode="json", exclude={"base"}) | {"base": base}


# ------------------------------------------------------------------------------------------ configs


def config_of(tournament: Tournament, plan: Plan, life: Life) -> RunConfig:
    """Return the config of a life's run.

    It is not logged, scored or mirrored by itself: the tournament does that.
    """
    base = tournament.base
    values = with_genes(base.model_dump(mode="json"), life.genes)
    values |= {"seed": seed_of(tournament, life), "name": f"{base.name}-{life.name}"}
    values["tracking"]["enabled"] = False
    values["evaluation"]["every"] = None
    values["checkpoint"]["mirror"] = None
    values["data"] |= kept_from_training(tournament)
    if tournament.config.schedule.final_rate is not None:
        values["optimizer"]["decay"] = None
    config = validate(values, f"of island {life.name}")
    if life.decays:
        values["optimizer"]["decay"] = _decay(tournament, plan, life, config)
    end = life.generation + sum(generations(plan, config, life.round))
    return validate(values | {"generations": max(1, end)}, f"of island {life.name}")


def generations(plan: Plan, config: RunConfig, first: int = 0) -> list[int]:
    """Return the generations of a config in each round, from round `first` of its stage on."""
    stage = plan.rounds[min(first, len(plan.rounds) - 1)].stage
    each = steps_of_generation(config)
    return [this.steps // each for this in plan.rounds[first:] if this.stage == stage]


def _decay(tournament: Tournament, plan: Plan, life: Life, config: RunConfig) -> dict[str, Any]:
    """Return the fall of the rates from where the last stage is to its end, by images shown.

    A life that begins later in that stage, after an alarm, has the rates that its time has.
    """
    begin = next(n for n, this in enumerate(plan.rounds) if this.stage == plan.last_stage)
    whole, rest = sum(generations(plan, config, begin)), sum(generations(plan, config, life.round))
    final = tournament.config.schedule.final_rate
    assert final is not None
    images = Schedule.counting(config)
    start, end = (images.shown(life.generation + more) / 1000 for more in (0, rest))
    return {
        "from": 1 - (1 - final) * (whole - rest) / whole,
        "to": final,
        "after": start,
        "over": end - start,
    }


def winner_config(tournament: Tournament, life: Life) -> RunConfig:
    """Return the base with the genes of a life: a config for `train`."""
    values = with_genes(tournament.base.model_dump(mode="json"), life.genes)
    return validate(values, "of the winner")


# ------------------------------------------------------------------------------------------ folders


def keep_best(folder: TournamentFolder, tournament: Tournament, plan: Plan, kept: Kept) -> None:
    """Copy the best state so far, unless it is there; earlier copies are removed."""
    place = folder.kept_after(kept.round)
    if not snapshots(place.snapshots):
        origin = folder.life(kept.life.name)
        planned = plan_fork(f"{origin.path}@{kept.generation}")
        if not place.config.is_file():
            config = config_of(tournament, plan, kept.life)
            RunFolder.create(config, origin.load_data(), place.path, planned.parent, planned.state)
        checksum = planned.parent.checksum
        write_snapshot(place.snapshots, planned.state, checksum, 1, place.run)
    for other in folder.kept.iterdir():
        if other.name != place.path.name and not other.name.startswith("."):
            shutil.rmtree(other, ignore_errors=True)


def begin(folder: TournamentFolder, tournament: Tournament, plan: Plan, standing: Standing) -> None:
    """Make the run folders of all that live, before anything trains on.

    A fork begins with the snapshot that its parent ended its round with, which is the parent's
    newest one until it trains on. So a process that is killed in between harms nothing.
    """
    card = None
    for life in standing.living:
        run = folder.life(life.name)
        if run.config.is_file():
            continue
        config = config_of(tournament, plan, life)
        if life.parent is None:
            card = card or read_data(config)
            RunFolder.create(config, card, run.path)
            continue
        parent = folder.life(name_of(life.parent))
        if life.kept:
            assert standing.kept is not None
            parent = folder.kept_after(standing.kept.round)
        planned = plan_fork(f"{parent.path}@{life.generation}")
        RunFolder.create(config, parent.load_data(), run.path, planned.parent, planned.state)
