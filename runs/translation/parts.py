"""The images that translators are scored on: the test part, and what is held out of training."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from egan.data import open_source
from egan.data.pairs import PairSource
from runs.common.errors import ConfigError
from runs.store.data import moved
from runs.translation.opening import Opened

Part = Literal["test", "held-out"]


def open_part(opened: Opened, part: Part, data_at: Path | None, count: int | None) -> PairSource:
    """Open a part of a run's data that no generator and no critic was trained on.

    Args:
        opened: a translator of the run.
        part: which one. Children were judged on what is held out, and by nothing on the test part.
        data_at: where the data are now, if they have moved.
        count: how many images of each set are wanted; None: all.

    Raises:
        ConfigError, DataError: there is no such part, it has fewer images, or others
            than the run's.
    """
    data = opened.config.data
    if data_at is not None:
        data = moved(data, data_at)
    if part == "test":
        data = data.model_copy(update={"split": "test"})
    source = open_source(data)
    assert isinstance(source, PairSource)
    shapes = opened.folder.load_data()
    assert shapes.partner is not None
    if (source.shape, source.target) != (shapes.shape, shapes.partner.shape):
        raise ConfigError(
            f"{source.name} holds images {source.shape} and {source.target}, and the run was "
            f"trained on {shapes.shape} and {shapes.partner.shape}"
        )
    name = f"{source.name}, test part"
    found = held_out_of(source) if part == "held-out" else replace(source, name=name)
    if count is not None and count > found.length:
        raise ConfigError(f"--count {count}: there are {found.length} images in the {part} part")
    return replace(found, a=found.a[:count], b=found.b[:count])


def held_out_of(source: PairSource) -> PairSource:
    """Return the images of a training part that judge children, as they are, none mirrored.

    Raises:
        ConfigError: there are fewer than two.
    """
    if not source.held_out:
        raise ConfigError(f"data.held_out is 0: no images of {source.name} are held out")
    if source.length < 2 * source.held_out:
        raise ConfigError(
            f"data.held_out: every {source.held_out}th of {source.length} images is held out; "
            "scorings need at least 2"
        )
    a, b = source.judging()
    return PairSource(f"{source.name}, held out", a, b, source.aligned, source.size)
