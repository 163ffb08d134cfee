"""Conditions: labels or tags of the real samples, as vectors that fakes are generated for.

A label becomes a one-hot vector; tags are a vector already, such as a multi-hot one (Mirza and
Osindero, arXiv 1411.1784). The fakes' conditions are drawn from the data's marginal: they are
those of rows of the data at random.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from egan.data.config import DataConfig
from egan.data.gaussians import GaussianMixture
from egan.data.opening import Source
from egan.data.source import DataError

KEPT_ROWS = 256  # of tags, in the record of a run
_SEED = 0  # of the choice of these: the same in every run


@dataclass(frozen=True)
class Conditions:
    """The meaning of a condition vector.

    Attributes:
        kind: "labels": one-hot of the class; "tags": a number for each tag.
        size: the vector's width.
        names: of the classes or tags, one for each place.
        mean: of the condition vectors of the data: each class's share, each tag's mean.
    """

    kind: Literal["labels", "tags"]
    size: int
    names: tuple[str, ...]
    mean: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.mean) == self.size:
            raise ValueError(
                f"{self.size} conditions, but {len(self.names)} names and {len(self.mean)} means"
            )

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes' names; None: conditions are tags."""
        return self.names if self.kind == "labels" else None


@dataclass(frozen=True, eq=False)
class Marginal:
    """The conditions of all rows of the data; of an endless mixture, one row for each mode.

    A uniform index below `len` draws a condition from the data's marginal distribution.
    """

    conditions: Conditions
    rows: np.ndarray  # (N,) int64 labels, or (N, size) float32 tags

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: np.ndarray) -> np.ndarray:
        """Return the conditions of the chosen rows, float32 (n, size)."""
        rows = self.rows[chosen]
        if self.conditions.kind == "tags":
            return np.asarray(rows, np.float32)
        vectors: np.ndarray = np.eye(self.conditions.size, dtype=np.float32)[rows]
        return vectors


@dataclass(frozen=True)
class ConditionCard:
    """The part of the data's conditions that a run keeps, to be sampled without the data.

    Attributes:
        conditions: what a condition vector means.
        counts: of labels: how many samples of each class there are; equal for a mixture.
        rows: of tags: some rows of the data, at most `KEPT_ROWS`.
        digest: of tags: a hash of all rows.
    """

    conditions: Conditions
    counts: tuple[int, ...] | None = None
    rows: tuple[tuple[float, ...], ...] | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        size = self.conditions.size
        if self.conditions.kind == "labels":
            counts = self.counts or ()
            sound = len(counts) == size and min(counts) >= 0 and sum(counts) > 0
        else:
            rows = self.rows or ()
            sound = bool(rows) and all(len(row) == size and np.isfinite(row).all() for row in rows)
        if not sound:
            what = "counts" if self.conditions.kind == "labels" else "rows"
            raise ValueError(f"the {what} of these {size} {self.conditions.kind} are not theirs")


def conditions_of(source: Source, config: DataConfig) -> Conditions | None:
    """Return the conditions that `data.condition` takes from an opened source; None: it is null.

    Raises:
        DataError: the data have no labels or tags, or none that tell samples apart.
    """
    if config.condition is None:
        return None
    where = str(getattr(config, "path", config.source))
    if config.condition == "tags":
        return _tags(source, where)
    return _labels(source, where)


def check_classifiable(source: Source, config: DataConfig) -> None:
    """Refuse tags that an auxiliary classifier cannot take as probabilities.

    Raises:
        DataError: the condition is tags, and one lies outside 0 to 1.
    """
    if config.condition != "tags" or source.tags is None or source.tag_names is None:
        return
    wrong = np.argwhere((source.tags < 0) | (source.tags > 1))
    if len(wrong):
        row, place = wrong[0]
        raise DataError(
            f"{getattr(config, 'path', config.source)}: game.ac_weight takes each tag as a "
            f"probability, from 0 to 1, and image {row} has {source.tag_names[place]}="
            f"{source.tags[row, place]:g}; scale the tags, or leave game.ac_weight out"
        )


def marginal_of(source: Source, conditions: Conditions) -> Marginal:
    """Return the conditions of a source's rows."""
    if isinstance(source, GaussianMixture):
        return Marginal(conditions, np.arange(conditions.size))
    rows = source.labels if conditions.kind == "labels" else source.tags
    assert rows is not None
    return Marginal(conditions, rows)


def card_of(source: Source, config: DataConfig) -> ConditionCard | None:
    """Return what a run keeps of its conditions; None: it has none.

    Raises:
        DataError: as `conditions_of`.
    """
    conditions = conditions_of(source, config)
    if conditions is None:
        return None
    rows = marginal_of(source, conditions).rows
    if conditions.kind == "labels":
        counts = np.bincount(rows, minlength=conditions.size)
        return ConditionCard(conditions, counts=tuple(counts.tolist()))
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:KEPT_ROWS]
    kept = tuple(map(tuple, rows[np.sort(chosen)].tolist()))
    return ConditionCard(conditions, rows=kept, digest=hashlib.sha256(rows.tobytes()).hexdigest())


def _labels(source: Source, where: str) -> Conditions:
    if isinstance(source, GaussianMixture):
        modes = len(source.centres)
        return Conditions("labels", modes, tuple(map(str, range(modes))), (1 / modes,) * modes)
    labels, classes = source.labels, source.classes
    if labels is None:
        why = f" ({source.origin.labels})" if source.origin.labels else ""
        instead = "null" if source.tags is None else "tags"
        raise DataError(
            f"{where}: data.condition is labels, and these data have none{why}; label them, or set "
            f"data.condition={instead}"
        )
    present = np.unique(labels)
    if len(present) < 2:
        only = str(present[0]) if classes is None else classes[present[0]]
        raise DataError(
            f"{where}: data.condition is labels, and all {len(labels)} images are of one class, "
            f"{only}; at least two are needed, or set data.condition=null"
        )
    size = int(present[-1]) + 1 if classes is None else len(classes)
    if size > max(len(labels), 2):
        raise DataError(
            f"{where}: labels go up to {present[-1]}, more than there are images ({len(labels)}); "
            "number the classes from 0"
        )
    shares = np.bincount(labels, minlength=size) / len(labels)
    return Conditions(
        "labels", size, classes or tuple(map(str, range(size))), tuple(shares.tolist())
    )


def _tags(source: Source, where: str) -> Conditions:
    if source.tags is None or source.tag_names is None:
        labelled = isinstance(source, GaussianMixture) or source.labels is not None
        instead = "data.condition=labels" if labelled else "data.condition=null"
        raise DataError(
            f"{where}: data.condition is tags, and these data have none; add them, or set {instead}"
        )
    if (source.tags == source.tags[0]).all():
        raise DataError(
            f"{where}: data.condition is tags, and all {len(source.tags)} images have the same "
            "ones; set data.condition=null"
        )
    mean = source.tags.mean(0, dtype=np.float64)
    return Conditions("tags", len(source.tag_names), source.tag_names, tuple(mean.tolist()))
