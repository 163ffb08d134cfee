"""Metrics of a generator's latent space: perceptual path length, and linear separability.

Karras et al., arXiv 1812.04948, sections 4.1 and 4.2; the arithmetic is in `fitness/metrics/`. Both
are of any generator of images in z, and in w of one with styles.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from egan.backbones import Rows
from egan.backbones.stylegan.latents import Latents
from egan.streams import Purpose
from fitness.features import FeatureSpace, Progress
from fitness.metrics.lpips import PerceptualDistance
from fitness.metrics.names import METRICS, MetricName
from fitness.metrics.ppl import Route, path_lengths, perceptual_path_length
from fitness.metrics.separability import log_odds, separability
from populations.seeding import numpy_stream
from runs.common.errors import ConfigError
from runs.sampling.latent import Space
from runs.sampling.sampler import BATCH, Sampler
from runs.sampling.styled import StyledGenerator

PAIRS = BATCH // 2
SPACES: tuple[Space, ...] = ("z", "w")


@dataclass(frozen=True)
class Attributes:
    """Attributes of images: classifiers of labels, and their name in a metric's name."""

    name: str
    spaces: Sequence[FeatureSpace]

    def odds(self, images: Tensor) -> Tensor:
        """Return the log-odds (N, A) of all attributes of uint8 images (N, C, H, W)."""
        logits = [space.features_and_logits(images)[1] for space in self.spaces]
        return torch.cat([log_odds(part) for part in logits if part is not None], dim=1).cpu()


def is_of_latents(metric: str) -> bool:
    """Tell whether a metric, by its short name, is of a generator and not of its images."""
    return METRICS[metric].need == "latents"


def check_latent_metrics(sampler: Sampler, metrics: Iterable[str], count: int) -> None:
    """Refuse, before any work, what a generator does not have.

    Raises:
        ConfigError: its samples are points, it has no w, or too few latents are asked for.
    """
    for metric in metrics:
        kind, space = metric.split("-")[:2]
        if not sampler.images:
            raise ConfigError(f"{metric} is of generators of images, and this run's samples are "
                              "points")  # fmt: skip
        if space == "w":
            hint = f"; {kind}-z is for every generator of images"
            StyledGenerator.of(sampler, metric, hint)
        if count < METRICS[metric].minimum:
            raise ConfigError(f"{metric} needs at least {METRICS[metric].minimum} latents; count "
                              f"is {count}")  # fmt: skip


def score_latents(
    sampler: Sampler,
    metrics: Sequence[str],
    count: int,
    seed: int,
    *,
    distance: PerceptualDistance | None = None,
    attributes: Attributes | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Return the values of a generator's latent metrics by full name, in the order asked for.

    Args:
        sampler: the generator, on the device that makes its images; those of an early stage are
            brought to the reals' size.
        metrics: short names.
        count: pairs of latents of a path length; images of a separability.
        seed: of the latents, and of the places on the paths.
        distance: what path lengths are measured by, if one is asked for.
        attributes: what images are classified by, if separability is asked for.
        progress: called as `progress(stage, done, total)`.

    Raises:
        ConfigError: as for `check_latent_metrics`.
        ValueError: values that are not finite.
    """
    check_latent_metrics(sampler, metrics, count)
    generator = _Latent(sampler)
    values: dict[str, float] = {}
    classified = None
    for metric in metrics:
        kind, *rest = metric.split("-")
        space: Space = "z" if rest[0] == "z" else "w"
        if kind == "ppl":
            assert distance is not None
            full = rest[1] == "full"
            lengths = generator.path_lengths(space, full, distance, count, seed, metric, progress)
            values[str(MetricName(metric, distance.space, count))] = perceptual_path_length(lengths)
        else:
            assert attributes is not None
            if classified is None:
                spaces = [s for s in SPACES if f"separability-{s}" in metrics]
                classified = generator.classified(spaces, attributes, count, seed, progress)
            points, odds = classified
            score = separability(points[space], odds)
            values[str(MetricName(metric, attributes.name, count))] = score
    return values


class _Latent:
    """A generator, entered at z or at w, without truncation."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = replace(sampler, psi=None, cutoff=None)

    def path_lengths(
        self,
        space: Space,
        full: bool,
        distance: PerceptualDistance,
        count: int,
        seed: int,
        stage: str,
        progress: Progress | None,
    ) -> Tensor:
        """Return the lengths (count,) of a path each, from an even row of z to the odd one next."""
        lengths: list[Tensor] = []
        for start in range(0, count, PAIRS):
            pairs = min(PAIRS, count - start)
            inputs = self._sampler.rows(2 * start, seed)[: 2 * pairs]
            z, seeds = _parts(inputs)
            asked = self._sampler.asked(None, 2 * start, 2 * pairs, seed)
            told = None if asked is None else asked[::2].repeat_interleave(2, 0)  # one of a path
            ends = z if space == "z" else self._styled.map(z, told)
            t = torch.zeros(pairs, dtype=torch.float64, device=z.device)
            if full:
                drawn = numpy_stream(seed, 0, Purpose.PATH, start).uniform(size=pairs)
                t = torch.from_numpy(drawn).to(z.device)
            make = partial(self._images, space, _evens(seeds), _evens(told))
            route: Route = "arc" if space == "z" else "line"
            lengths.append(path_lengths(ends[::2], ends[1::2], t, route, make, distance))
            if progress is not None:
                progress(stage, start + pairs, count)
        return torch.cat(lengths)

    def classified(
        self,
        spaces: Sequence[Space],
        told: Attributes,
        count: int,
        seed: int,
        progress: Progress | None,
    ) -> tuple[dict[Space, Tensor], Tensor]:
        """Return the latents (count, D) by space, and the log-odds (count, A) of their images."""
        points: dict[Space, list[Tensor]] = {space: [] for space in spaces}
        odds = []
        for start in range(0, count, BATCH):
            inputs = self._sampler.rows(start, seed)[: count - start]
            z, _ = _parts(inputs)
            asked = self._sampler.asked(None, start, len(z), seed)
            for space in spaces:
                points[space].append((z if space == "z" else self._styled.map(z, asked)).cpu())
            odds.append(told.odds(self._sampler.enlarged(self._sampler.make(inputs, asked))))
            if progress is not None:
                progress("separability", start + len(z), count)
        return {space: torch.cat(parts) for space, parts in points.items()}, torch.cat(odds)

    @property
    def _styled(self) -> StyledGenerator:
        return StyledGenerator.of(self._sampler, "w")

    def _images(
        self, space: Space, seeds: Tensor | None, told: Tensor | None, points: Tensor
    ) -> Tensor:
        """Return images (N, C, H, W) in 0..255, neither rounded nor cut off, of points (N, D)."""
        points = points.float()
        if space == "w":
            assert seeds is not None
            parts: Iterator[Tensor] = self._styled.parts(self._styled.styles(points), seeds)
        else:
            inputs: Rows = points if seeds is None else Latents(points, seeds)
            parts = self._sampler.floats(inputs, told)
        return self._sampler.enlarged((torch.cat(list(parts)) + 1) * 127.5)


def _evens(rows: Tensor | None) -> Tensor | None:
    return None if rows is None else rows[::2]


def _parts(inputs: Rows) -> tuple[Tensor, Tensor | None]:
    """Return the rows of z (N, latent), and the noise's seeds (N,) if there are any."""
    if isinstance(inputs, Latents):
        return inputs.z, inputs.seeds
    assert isinstance(inputs, Tensor)
    return inputs, None
