"""The report on a run of a translator, also while it trains: how far it is, scores, images."""

from dataclasses import dataclass
from pathlib import Path

from fitness.features import Progress
from runs.common.lock import is_held
from runs.sampling.device import Asked
from runs.sampling.opening import Choice
from runs.store.folder import RunFolder
from runs.store.index import read_index
from runs.store.journal import Scoring
from runs.translation.comparing import METRICS, SPACE, Compared, compared, space_opener, values_of
from runs.translation.opening import open_translator
from runs.translation.parts import Part, open_part


@dataclass(frozen=True)
class Report:
    """The report on a run.

    Attributes:
        title: the run's name and folder.
        state: how far it is.
        subject: what was scored, and on what.
        values: its metrics, by full name.
        scorings: those of the run so far.
        ways: the translations.
    """

    title: str
    state: str
    subject: str
    values: dict[str, float]
    scorings: tuple[Scoring, ...]
    ways: tuple[Compared, ...]


def report_on(
    run_dir: Path,
    part: Part = "test",
    choice: Choice | None = None,
    count: int | None = None,
    seed: int = 0,
    data_at: Path | None = None,
    device: Asked = "auto",
    progress: Progress | None = None,
) -> Report:
    """Return the report on a run; it writes nothing, so that the run may go on meanwhile.

    Raises:
        ConfigError, DataError: there is no such run, snapshot or part, or it translates no images.
    """
    opened = open_translator(run_dir, choice, device)
    images = open_part(opened, part, data_at, count)
    ways = tuple(compared(opened.translator, images, seed, progress))
    values = values_of(ways, METRICS, space_opener(SPACE, None, opened.translator.device))
    folder = opened.folder
    index = read_index(folder.journal, opened.config.policy())
    scorings = tuple(line for line in index.others() if isinstance(line, Scoring))
    total = opened.config.generations
    done = max(index.end, opened.generation)
    return Report(
        f"{opened.config.name}: {folder.path}",
        f"generation {done} of {total}{going_on(folder, done, total)}",
        f"{opened.name}, on {len(images.a)} images of {images.name}",
        values,
        scorings,
        ways,
    )


def going_on(folder: RunFolder, done: int, total: int) -> str:
    """Return the end of a sentence on a run that has done `done` of `total` generations."""
    if is_held(folder.lock):
        return ", in training"
    return "" if done >= total else ", not in training now"
