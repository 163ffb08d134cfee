"""Which units make artefacts, and whether images are better without them.

1. Units of each layer are ordered by how far the images that they are most active in are from the
   reals: `fitness/dissection/artefacts.py`.
2. The first 1, 2, 4, ... of them are switched off; the layer and the number with the best score on
   the same latents are chosen. The best of many looks better than it is, so that
3. on other latents the score with these units off is compared with that before, and with those of
   as many random units of the layer.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from egan.data.npz import ArrayError, read_arrays
from egan.data.pixels import to_uint8
from egan.files import atomic_file
from fitness.digest import digest
from fitness.dissection.artefacts import distances
from fitness.features import Progress
from runs.common.errors import ConfigError
from runs.dissection.dissecting import TOP
from runs.dissection.subject import Subject, second_half
from runs.evaluation.evaluator import Evaluator
from runs.sampling.repair import repaired
from runs.sampling.units import UnitsFile

SHARE = 4  # a quarter of a layer's units are switched off at the most, unless a number is given
UNFINISHED = "unfinished.npz"

Values = dict[str, float]  # by metric


@dataclass(frozen=True)
class Tried:
    """The first units of a layer's order, and the score without them on the choosing images."""

    layer: str
    units: tuple[int, ...]
    values: Values


@dataclass(frozen=True)
class Repair:
    """What was found.

    Attributes:
        chosen: the units.
        tried: all that were, the chosen ones among them.
        choosing: the score of all units on the images that they were tried on.
        orders: units by layer, those with the farthest images first, with the distances.
        tops: the numbers of the most active images of the chosen units, and each unit's peak.
        before: the score of all units, on other images.
        after: that without the chosen ones.
        randoms: those without as many random ones.
    """

    chosen: Tried
    tried: tuple[Tried, ...]
    choosing: Values
    orders: dict[str, tuple[tuple[int, float], ...]]
    tops: dict[int, tuple[float, list[int]]]
    before: Values
    after: Values
    randoms: tuple[Values, ...]


@dataclass
class Search:
    """A search for units that make artefacts; what it has done is kept after each pass.

    Attributes:
        subject: the generator.
        shapes: of the layers' maps, (U, h, w), by name.
        evaluator: gives the scores.
        data: a hash of the reals.
        metric: the one that units are chosen by; the lower the better.
        count: images of each of the two sets.
        number: of units; None: the best of 1, 2, 4, ...
        draws: of random units.
        folder: where what is not finished is kept.
        arrays: what the first pass has seen: `features` (N, D), and `peaks/LAYER` (N, U).
        values: the scores so far, by pass.
        resumed: passes that an earlier, interrupted call has done.
    """

    subject: Subject
    shapes: dict[str, tuple[int, ...]]
    evaluator: Evaluator
    data: str
    metric: str
    count: int
    number: int | None
    draws: int
    folder: Path
    progress: Progress | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, Values] = field(default_factory=dict)
    resumed: int = 0

    def __post_init__(self) -> None:
        self._restore()

    @property
    def key(self) -> str:
        """A hash of all that decides the scores; neither `number` nor `draws` change one."""
        return digest(
            self.subject.identity,
            str(self.evaluator.identity),
            self.metric,
            self.count,
            str(self.shapes),
            self.data,
        )

    def run(self) -> Repair:
        """Do what is not done yet, and return what is found.

        Raises:
            ConfigError: there are no such units.
        """
        if not self.arrays:
            self._look()
        orders = {layer: self._order(layer) for layer in self.shapes}
        tried = tuple(
            Tried(layer, units, self._score(f"choosing/{layer}/{len(units)}", layer, units, 0))
            for layer, order in orders.items()
            for units in self._candidates(order)
        )
        if not tried:
            asked = f"{self.number} units" if self.number else "units"
            raise ConfigError(
                f"no {asked} that are more active in some images than in others in "
                f"{', '.join(self.shapes)}"
            )
        chosen = min(tried, key=lambda one: one.values[self.metric])
        first, layer = second_half(self.count), chosen.layer
        before = self._score("judging/none", layer, (), first)
        after = self._score(f"judging/{layer}/{len(chosen.units)}", layer, chosen.units, first)
        randoms = tuple(
            self._score(f"judging/{layer}/{len(own)}/{n}", layer, own, first)
            for n, own in enumerate(self._random(layer, len(chosen.units)))
        )
        seen = self.evaluator.score_features(self._features())
        return Repair(chosen, tried, seen, orders, self._tops(chosen), before, after, randoms)

    def finished(self) -> None:
        """Remove what was kept in case of an interruption."""
        (self.folder / UNFINISHED).unlink(missing_ok=True)

    def _look(self) -> None:
        """Take the features of the choosing images, and each unit's peaks in them."""
        peaks: dict[str, list[Tensor]] = {layer: [] for layer in self.shapes}

        def images() -> Iterator[Tensor]:  # a part at a time
            for part, maps in self.subject.seen(0, self.count, [*self.shapes]):
                for layer, own in maps.items():
                    peaks[layer].append(own.amax((2, 3)).float().cpu())
                yield to_uint8(part)

        features = self.evaluator.features(images(), self.count, "repair, looking at units")
        self.arrays = {"features": features.cpu().numpy()}
        self.arrays |= {f"peaks/{layer}": torch.cat(own).numpy() for layer, own in peaks.items()}
        self._save()

    def _order(self, layer: str) -> tuple[tuple[int, float], ...]:
        """Return the units of a layer with their distances, the farthest first."""
        own = torch.tensor(self.arrays[f"peaks/{layer}"])
        found = distances(
            own,
            self._features(),
            lambda some: self.evaluator.score_features(some)[self.metric],
            self._report(f"repair, ordering {layer}"),
        )
        order = found.argsort(descending=True, stable=True)
        return tuple(
            (unit, float(found[unit])) for unit in order.tolist() if found[unit].isfinite()
        )

    def _features(self) -> Tensor:
        return torch.tensor(self.arrays["features"]).to(self.evaluator.device)

    def _candidates(self, order: tuple[tuple[int, float], ...]) -> list[tuple[int, ...]]:
        units = tuple(unit for unit, _ in order)
        most = max(1, len(units) // SHARE)
        numbers = [self.number] if self.number else [2**n for n in range(most.bit_length())]
        return [units[:number] for number in numbers if number <= len(units)]

    def _random(self, layer: str, number: int) -> list[tuple[int, ...]]:
        stream = np.random.default_rng((self.subject.seed, number))
        units = self.shapes[layer][0]
        return [tuple(stream.permutation(units)[:number].tolist()) for _ in range(self.draws)]

    def _tops(self, chosen: Tried) -> dict[int, tuple[float, list[int]]]:
        peaks = self.arrays[f"peaks/{chosen.layer}"]
        order = np.argsort(-peaks, axis=0, kind="stable")
        return {
            unit: (float(peaks[:, unit].max()), order[:TOP, unit].tolist()) for unit in chosen.units
        }

    def _score(self, name: str, layer: str, units: tuple[int, ...], first: int) -> Values:
        """Return the score with units off of the images from number `first` on."""
        if name not in self.values:
            sampler = self.subject.sampler
            if units:
                shares = [1.0] * len(units)
                sampler = repaired(
                    sampler, UnitsFile(layer=layer, units=list(units), shares=shares)
                )
            images = replace(self.subject, sampler=sampler).images(first, self.count)
            stage = f"repair, without {len(units)} of {layer}" if units else "repair, before"
            features = self.evaluator.features(map(to_uint8, images), self.count, stage)
            self.values[name] = self.evaluator.score_features(features)
            self._save()
        return self.values[name]

    def _report(self, stage: str) -> Callable[[int, int], None] | None:
        progress = self.progress
        return None if progress is None else lambda done, total: progress(stage, done, total)

    # ------------------------------------------------------------------------------- interruption

    def _save(self) -> None:
        told = {"key": self.key, "values": json.dumps(self.values)}
        with atomic_file(self.folder / UNFINISHED) as temporary:
            np.savez(temporary, **self.arrays, **told)  # type: ignore[arg-type]

    def _restore(self) -> None:
        """Go on from what an interrupted call kept, if it was of the same request."""
        path = self.folder / UNFINISHED
        try:
            arrays = read_arrays(path) if path.is_file() else {}
            if str(arrays.pop("key", "")) != self.key:
                return
            self.values = json.loads(str(arrays.pop("values")))
            self.arrays = arrays
        except (ArrayError, KeyError, ValueError):  # damaged: it begins again
            self.values, self.arrays = {}, {}
        self.resumed = bool(self.arrays) + len(self.values)
