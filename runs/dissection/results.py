"""The files of a dissection: dissection.json, dissection.npz; and their reading."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from egan.data.npz import ArrayError, read_arrays
from egan.files import atomic_file
from runs.common.errors import ConfigError
from runs.common.files import read_json, write_json
from runs.common.hints import hint
from runs.dissection.dissecting import Layer

FOLDER = "dissection"  # in a run's folder
JSON, ARRAYS, PAGE = "dissection.json", "dissection.npz", "dissection.html"


class UnitFound(BaseModel, frozen=True):
    """What is found of a unit: see `fitness.dissection.agreement`."""

    unit: int
    label: str
    iou: float
    ratio: float
    threshold: float
    detector: bool
    top: list[int]


class LayerFound(BaseModel, frozen=True):
    """What is found of a layer; `detectors` are counted by class."""

    shape: tuple[int, int, int]
    detectors: dict[str, int]
    units: list[UnitFound]


class Found(BaseModel, frozen=True):
    """The content of dissection.json.

    Attributes:
        subject: the folder of the run or the generator.
        generator: which of its generators.
        weights: a hash of its weights.
        segmenter: its name.
        identity: a hash of the segmenter.
        classes: their names.
        shares: of the pixels, by class.
        count: images of each of the two sets.
        seed: of the images.
        rule: how thresholds were chosen.
        held_out_iou: of the segmenter of parts, by class; null where none was held out.
        layers: by name.
    """

    subject: str
    generator: str
    weights: str
    segmenter: str
    identity: str
    classes: list[str]
    shares: dict[str, float]
    count: int
    seed: int
    rule: str
    held_out_iou: dict[str, float | None] | None
    layers: dict[str, LayerFound]


@dataclass(frozen=True)
class Statistics:
    """Arrays of a layer; U units, K classes.

    Attributes:
        iou: intersection over union, (U, K).
        ratio: information quality ratio, (U, K).
        thresholds: by which both were measured, (U, K).
        means: over the pixels of each class, (U, K).
        high: the level that 1 % of the pixels exceed, (U,).
    """

    iou: np.ndarray
    ratio: np.ndarray
    thresholds: np.ndarray
    means: np.ndarray
    high: np.ndarray


def layer_found(
    layer: Layer, shape: tuple[int, ...], classes: tuple[str, ...]
) -> tuple[LayerFound, Statistics]:
    """Return what is found of a layer, and its arrays."""
    agreed = layer.agreement
    labels, detectors = agreed.labels.tolist(), agreed.detectors.tolist()
    units = [
        UnitFound(
            unit=unit,
            label=classes[label],
            iou=float(agreed.iou[unit, label]),
            ratio=float(agreed.ratio[unit, label]),
            threshold=float(agreed.thresholds[unit, label]),
            detector=detector,
            top=[number for number in layer.tops[unit].tolist() if number >= 0],
        )
        for unit, (label, detector) in enumerate(zip(labels, detectors, strict=True))
    ]
    counts = {name: sum(unit.detector and unit.label == name for unit in units) for name in classes}
    arrays = (agreed.iou, agreed.ratio, agreed.thresholds, layer.scoring.means, layer.high)
    found = LayerFound.model_validate({"shape": shape, "detectors": counts, "units": units})
    return found, Statistics(*(array.numpy() for array in arrays))


def write_results(folder: Path, found: Found, statistics: dict[str, Statistics]) -> None:
    """Write dissection.json and dissection.npz."""
    write_json(folder / JSON, found.model_dump(mode="json"))
    arrays = {
        f"{layer}/{name}": array
        for layer, own in statistics.items()
        for name, array in vars(own).items()
    }
    with atomic_file(folder / ARRAYS) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_results(folder: Path, run: Path) -> tuple[Found, dict[str, Statistics]]:
    """Return what `write_results` wrote for a run's or generator's folder.

    Raises:
        ConfigError: it is not there, or damaged.
    """
    again = hint("dissect", run, layer="all")
    try:
        found = Found.model_validate(read_json(folder / JSON))
        arrays = read_arrays(folder / ARRAYS)
        names = list(Statistics.__dataclass_fields__)
        statistics = {
            layer: Statistics(*(arrays[f"{layer}/{name}"] for name in names))
            for layer in found.layers
        }
    except FileNotFoundError:
        raise ConfigError(f"{folder} holds no dissection; make one first: {again}") from None
    except (OSError, ValueError, ArrayError, KeyError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{folder} holds no whole dissection ({reason}); make it again: {again}"
        ) from None
    return found, statistics


def table(found: Found) -> list[tuple[str, str, Any]]:
    """Return (layer, class, detectors) of all that detect anything."""
    return [
        (name, label, count)
        for name, layer in found.layers.items()
        for label, count in layer.detectors.items()
        if count
    ]
