"""Observations of real images, which the cache keeps for later scorings."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from egan.cache import keep, recall
from egan.data.npz import read_arrays
from fitness.digest import digest
from fitness.features import FeatureSpace, Progress
from fitness.metrics.names import expand_metrics
from fitness.observation import Observation, check_metrics, needs_of, observe
from fitness.statistics import Statistics


def observe_cached(
    batches: Iterable[Tensor],
    space: FeatureSpace,
    metrics: Iterable[str],
    count: int,
    *,
    data: str,
    shape: tuple[int, ...] | None = None,
    progress: Progress | None = None,
) -> Observation:
    """Return what `fitness.observation.observe_real` gives, from the cache where it is there.

    The cache has a file of its own per data, image shape, count, space and weights. A file that
    lacks what the metrics need is replaced by one with more.

    Args:
        batches: uint8 (N, C, H, W); not read where the cache has the answer.
        space: what embeds them.
        metrics: short names of the metrics to come.
        count: how many images.
        data: hash of the real images in their order. It must cover the images' size, too, where
            `shape` is not given.
        shape: (C, H, W) that the images must have.
        progress: called as `progress("real images", done, count)`.

    Raises:
        ValueError: too few images, or what the space or a metric refuses.
    """
    metrics = expand_metrics(metrics)
    check_metrics(metrics, space, (count,))
    needs = needs_of(metrics, real=True)
    name = _name(space, count, digest(data, str(shape), count, space.name, space.identity))
    found = recall(name, lambda path: _load(path, space))
    if found is not None:
        if needs <= found.has:
            return found
        needs |= found.has
    seen = observe(
        batches, space, count, needs, shape=shape, stage="real images", progress=progress
    )
    keep(name, lambda path: _save(seen, path))
    return seen


def _name(space: FeatureSpace, count: int, key: str) -> str:
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in space.name)
    return f"real-{plain}-{count}-{key[:16]}.npz"


def _save(seen: Observation, path: Path) -> None:
    """Write statistics under pytorch-fid's keys, and features beside them where they were kept."""
    arrays = seen.statistics.arrays() if seen.statistics else {}
    arrays |= {
        "space": np.asarray(seen.space),
        "identity": np.asarray(seen.identity),
        "shape": np.asarray(seen.shape),
        "count": np.asarray(seen.count),
    }
    if seen.features is not None:
        arrays["features"] = seen.features.cpu().numpy()
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _load(path: Path, space: FeatureSpace) -> Observation:
    """Return what `_save` wrote, on the space's device.

    Raises:
        ValueError: the file is damaged, or another one.
    """
    arrays = read_arrays(path)
    try:
        return _observation(path, arrays, space)
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"it is damaged: {error}") from error


def _observation(path: Path, arrays: dict[str, np.ndarray], space: FeatureSpace) -> Observation:
    statistics = features = None
    if "mu" in arrays:
        statistics = Statistics.from_arrays(arrays, str(path), space=space.name)
    if "features" in arrays:
        features = torch.tensor(arrays["features"], device=space.device)
        if features.dtype != torch.float32 or features.shape != (
            int(arrays["count"]),
            space.dimension,
        ):
            raise ValueError(f"its features are {features.dtype} {tuple(features.shape)}")
    return Observation(
        str(arrays["space"]),
        str(arrays["identity"]),
        tuple(map(int, arrays["shape"])),
        int(arrays["count"]),
        statistics,
        features,
    )
