"""Dissection of a generator's layers in three passes over its images, which can be interrupted.

1. `values`: the values of all units at random pixels, for the thresholds.
2. `choosing`: counts at these thresholds, on the same images, by which thresholds are chosen.
3. `scoring`: the same counts on other images, by which units are judged; and each unit's most
   active images.

Memory does not grow with the number of images. 512 units, 256 px and 10,000 images need under
4 GB: `KEPT` numbers of the first pass (1 GB), one part of images with its maps, and counts.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from egan.data.npz import ArrayError, read_arrays
from egan.files import atomic_file
from fitness.digest import digest
from fitness.dissection.agreement import Agreement, agreement
from fitness.dissection.tally import FRACTIONS, TOP_FRACTION, Tally, Values
from fitness.features import Progress
from fitness.segmenters import Segmenter
from runs.dissection.subject import Maps, Subject, second_half

RULES = {"ratio": FRACTIONS, "quantile": np.array([TOP_FRACTION])}
KEPT = 2**28  # values of all layers' units together, in the first pass
MOST_VALUES = 100_000  # of a unit: a hundred of them are above the highest threshold
TOP = 6  # most active images of a unit that are kept
HIGH = 0.01  # share of the pixels above a unit's high level, which insertion uses
PAUSE = 30.0  # seconds between two savings of what is not finished
PASSES = ("values", "choosing", "scoring")
UNFINISHED = "unfinished.npz"


@dataclass
class Layer:
    """What is known of a layer so far; U units.

    Attributes:
        values: of the first pass.
        thresholds: rising, (U, L), after the first pass.
        high: the level that `HIGH` of the pixels exceed, (U,), after the first pass.
        choosing: the tally of the second pass.
        scoring: the tally of the third pass.
        peaks: the largest values of each unit's most active images, (U, `TOP`), falling.
        tops: the numbers of these images, (U, `TOP`); -1: none.
    """

    values: Values
    thresholds: Tensor
    high: Tensor
    choosing: Tally
    scoring: Tally
    peaks: Tensor
    tops: Tensor

    @classmethod
    def empty(cls, units: int, classes: int, most: int, levels: int) -> "Layer":
        """Return a layer of which nothing is known."""
        return cls(
            Values(units, most),
            torch.zeros(units, levels),
            torch.zeros(units),
            Tally.empty(units, levels, classes),
            Tally.empty(units, levels, classes),
            torch.full((units, TOP), -torch.inf),
            torch.full((units, TOP), -1),
        )

    def fix_thresholds(self, fractions: np.ndarray) -> None:
        """End the first pass."""
        self.thresholds = self.values.thresholds(fractions)
        self.high = self.values.thresholds(np.array([HIGH]))[:, 0]
        self.values = Values(len(self.high), 0)

    def add_tops(self, maps: Tensor, first: int) -> None:
        """Take note of the images of maps (N, U, h, w), of which `first` is the first's number."""
        peaks = torch.cat([self.peaks, maps.amax((2, 3)).T.float().cpu()], 1)
        numbers = torch.arange(first, first + len(maps)).expand(len(peaks), -1)
        order = peaks.argsort(dim=1, descending=True, stable=True)[:, :TOP]
        self.peaks = peaks.gather(1, order)
        self.tops = torch.cat([self.tops, numbers], 1).gather(1, order)

    @property
    def agreement(self) -> Agreement:
        """How well units agree with classes."""
        return agreement(self.thresholds, self.choosing, self.scoring)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what is known, by name, for `restored`."""
        own = {
            name: getattr(self, name).numpy() for name in ("thresholds", "high", "peaks", "tops")
        }
        if self.values.count:
            own["values"] = self.values.kept.numpy()
            own["filled"] = np.array(self.values.count)
        for name in ("choosing", "scoring"):
            tally: Tally = getattr(self, name)
            own |= {f"{name} {key}": array for key, array in tally.arrays().items()}
        return own

    @classmethod
    def restored(cls, arrays: dict[str, np.ndarray]) -> "Layer":
        """Return a layer from what `arrays` gave."""
        values = Values(len(arrays["high"]), 0)
        if "values" in arrays:
            values.kept, values.count = torch.tensor(arrays["values"]), int(arrays["filled"])

        def tally(name: str) -> Tally:
            start = f"{name} "
            return Tally.restored(
                {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
            )

        return cls(
            values,
            torch.tensor(arrays["thresholds"]),
            torch.tensor(arrays["high"]),
            tally("choosing"),
            tally("scoring"),
            torch.tensor(arrays["peaks"]),
            torch.tensor(arrays["tops"]),
        )


@dataclass
class Dissection:
    """A dissection that goes on; `layers` are its result in the end.

    Attributes:
        subject: the generator.
        shapes: of the layers' maps, (U, h, w), by name.
        segmenter: says what images show.
        count: images of each of the two sets.
        rule: how thresholds are chosen, of `RULES`.
        folder: where what is not finished is kept.
        layers: what is known, by name.
        stage: the number of the pass.
        done: images of this pass.
        resumed: images of all passes that an earlier, interrupted call has seen.
    """

    subject: Subject
    shapes: dict[str, tuple[int, ...]]
    segmenter: Segmenter
    count: int
    rule: str
    folder: Path
    layers: dict[str, Layer] = field(default_factory=dict)
    stage: int = 0
    done: int = 0
    resumed: int = 0

    def __post_init__(self) -> None:
        if self._restore():
            return
        units = sum(shape[0] for shape in self.shapes.values())
        height, width = self.subject.sampler.shape[1:]
        wanted = min(MOST_VALUES, KEPT // units, self.count * height * width)
        self.layers = {
            layer: Layer.empty(
                shape[0],
                len(self.segmenter.classes),
                self._each(wanted) * self.count,
                len(RULES[self.rule]),
            )
            for layer, shape in self.shapes.items()
        }

    def _each(self, wanted: int) -> int:
        """Return how many pixels of an image give values, of which `wanted` are to be kept."""
        return max(1, -(-wanted // self.count))

    @property
    def key(self) -> str:
        """A hash of all that decides the result."""
        return digest(
            self.subject.identity, self.segmenter.identity, self.count, self.rule, str(self.shapes)
        )

    def run(self, progress: Progress | None = None) -> dict[str, Layer]:
        """Do what is not done yet, and return what is found of each layer."""
        while self.stage < len(PASSES):
            self._pass(progress)
            if self.stage == 0:
                for layer in self.layers.values():
                    layer.fix_thresholds(RULES[self.rule])
            self.stage, self.done = self.stage + 1, 0
            self._save()
        return self.layers

    def finished(self) -> None:
        """Remove what was kept in case of an interruption."""
        (self.folder / UNFINISHED).unlink(missing_ok=True)

    def _pass(self, progress: Progress | None) -> None:
        saved = time.monotonic()
        first = self.first if PASSES[self.stage] == "scoring" else 0
        for images, maps in self.subject.seen(first, self.count, [*self.layers], self.done):
            self._take(images, maps, first + self.done)
            self.done += len(images)
            if progress is not None:
                progress(f"dissection, {PASSES[self.stage]}", self.done, self.count)
            if time.monotonic() - saved > PAUSE:
                self._save()
                saved = time.monotonic()

    @property
    def first(self) -> int:
        """The number of the first image of the scoring set."""
        return second_half(self.count)

    def _take(self, images: Tensor, maps: Maps, number: int) -> None:
        """Take images in, of which the first has a number."""
        height, width = images.shape[2:]
        masks = None if self.stage == 0 else self.segmenter.masks(images)
        for name, layer in self.layers.items():
            if masks is None:
                each = layer.values.kept.shape[1] // self.count
                stream = np.random.default_rng((self.subject.seed, number))
                places = stream.choice(len(images) * height * width, each * len(images), False)
                layer.values.add(maps[name], torch.from_numpy(places), height, width)
                continue
            tally = layer.choosing if PASSES[self.stage] == "choosing" else layer.scoring
            tally.add(maps[name], masks, layer.thresholds)
            if tally is layer.scoring:
                layer.add_tops(maps[name], number)

    # ------------------------------------------------------------------------------- interruption

    def _save(self) -> None:
        arrays = {
            f"{place}/{name}": array
            for place, layer in enumerate(self.layers.values())
            for name, array in layer.arrays().items()
        }
        arrays |= {"key": np.array(self.key), "at": np.array([self.stage, self.done])}
        with atomic_file(self.folder / UNFINISHED) as temporary:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]

    def _restore(self) -> bool:
        """Go on from what an interrupted call kept, if it was of the same request."""
        path = self.folder / UNFINISHED
        try:
            arrays = read_arrays(path) if path.is_file() else {}
            if str(arrays.get("key")) != self.key:
                return False
            self.stage, self.done = map(int, arrays["at"])
            for place, name in enumerate(self.shapes):
                start = f"{place}/"
                own = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
                self.layers[name] = Layer.restored(own)
        except (ArrayError, KeyError, TypeError):  # damaged: it begins again
            return False
        self.resumed = self.stage * self.count + self.done
        return True
