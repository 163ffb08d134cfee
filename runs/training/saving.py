"""Snapshots of a run's state and their sample grids, written while the next generations run."""

from functools import partial

from egan.replica import ExportedState, exported_checksum
from populations.executors.base import Executor
from populations.population import Population
from runs.common.background import Background
from runs.mirror.copying import Mirror
from runs.sampling.opening import mixture_centres
from runs.sampling.pictures import save_images
from runs.sampling.states import sampler_of
from runs.sampling.translation_grid import COLUMNS, Examples, examples_of, grid_of
from runs.sampling.translator import translator_of
from runs.sampling.writing import grid_count, write_picture
from runs.store.snapshots import write_snapshot
from runs.training.info import RunInfo
from runs.training.record import Record, advance

GRID_SEED = 0


class SnapshotWriter:
    """Writes snapshots in a thread of its own, one after the other.

    Attributes:
        saved: the generation of the newest snapshot; -1: there is none.
    """

    def __init__(self, info: RunInfo, record: Record, mirror: Mirror, saved: int) -> None:
        self.saved = saved
        self._info = info
        self._record = record
        self._mirror = mirror
        self._background = Background()
        self._centres = mixture_centres(info.config.data)
        self._examples: Examples | None = None  # of translators; opened with the first picture

    def save(self, population: Population) -> str:
        """Begin to write a snapshot and a sample grid; return the state's checksum."""
        checksum = advance(population, self._record)
        if population.generation != self.saved:
            self._record.sync()
            self._begin(population.export(), checksum)
            self.saved = population.generation
        return checksum

    def save_last(self, population: Population) -> str:
        """Save where the run ends, as `save` does, and say what is waited for."""
        self._say_what_follows()
        return self.save(population)

    def save_held(self, executor: Executor) -> tuple[int, str]:
        """Save what a replica holds of a generation that was given up, where the run ends.

        It may be one generation behind the journal, which `resume` replays.

        Returns:
            The generation and checksum of what the run goes on from.
        """
        held = executor.held()
        if held is None:
            self._record.say("no worker answers: `resume` continues from the snapshot before")
            return max(self.saved, 0), ""
        self._say_what_follows()
        checksum = exported_checksum(held)
        if held.generation > self.saved:
            self._begin(held, checksum)
        return held.generation, checksum

    def wait(self) -> bool:
        """Wait until the last snapshot is written; return whether it is."""
        error = self._background.wait()
        self._record.snapshot_failed(error)
        return error is None

    def close(self) -> None:
        """End the thread, after the snapshot that it writes."""
        self._background.close()

    def _say_what_follows(self) -> None:
        """Say what takes seconds at the end, of large networks many, with nothing on the screen."""
        if self._info.pictures:
            self._record.say("drawing the last picture of samples, and the plots ...")

    def _begin(self, exported: ExportedState, checksum: str) -> None:
        write = partial(self._write, exported, checksum)
        self._record.snapshot_failed(self._background.submit(write))

    def _write(self, exported: ExportedState, checksum: str) -> None:
        info = self._info
        folder, keep = info.folder, info.config.checkpoint.keep
        write_snapshot(folder.snapshots, exported, checksum, keep, info.identity.run)
        self._mirror.update()
        if info.pictures:
            try:
                self._draw(exported)
            except OSError as error:
                self._record.picture_failed(error)

    def _draw(self, exported: ExportedState) -> None:
        info = self._info
        path = info.folder.samples / f"generation-{exported.generation:08d}.png"
        if info.card.partner is not None:
            self._examples = self._examples or examples_of(info.config.data)
            translator = translator_of(info.config, info.card, exported)
            save_images(grid_of(translator, self._examples, GRID_SEED), path, COLUMNS)
            return
        sampler = sampler_of(info.config, info.card, exported)
        write_picture(sampler, grid_count(sampler), GRID_SEED, path, self._centres)
