"""The judge: MMD between a generator's samples and held-out reals.

Gretton et al., JMLR 13 (2012), eq. 3, with the kernel `multiscale_kernel`, or that of KID. There
are two draws, of other noise and other reals. The first one ranks generators. The second one
decides at the end, because the best of many judgements looks better than it is. An endless source
draws reals with streams of their own, so that neither training nor a report sees them; of a finite
one they are those that `data.held_out` keeps from training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from egan.data import ImageSource, open_held_out, open_source
from egan.data.gaussians import GaussianMixture
from egan.data.pairs import PairSource
from egan.determinism import prepare_device
from fitness.features import FeatureSpace
from fitness.metrics.mmd import (
    Kernel,
    between,
    multiscale_kernel,
    polynomial_kernel,
    similarity,
    unbiased_mmd,
)
from populations.seeding import numpy_stream, torch_seed
from runs.common.errors import ConfigError
from runs.config.schema import RunConfig
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.spaces import open_space
from runs.sampling.device import chosen_device
from runs.sampling.sampler import Sampler

RANKING, VERDICT = 0, 1  # the two draws
REALS, NOISE = 1003, 1004  # purposes of streams; those of a game are smaller
BATCH = 256  # images whose features are computed at a time
ENDLESS = 2048  # reals of an endless source
SAMPLES = 1024
SECOND = 3  # the second draw has a third as many reals of a finite source


@dataclass(frozen=True)
class Protocol:
    """What fixes a judgement besides the generator.

    Attributes:
        seed: decides the noise, and the reals of an endless source.
        samples: how many are generated.
        reals: how many held-out reals the first draw has.
        space: feature space of images; None: that of the run's evaluation.
        metric: `mmd` with the multiscale kernel, or `kid` with the polynomial one.
    """

    seed: int
    samples: int
    reals: int
    space: str | None = None
    metric: Literal["mmd", "kid"] = "mmd"


def protocol_of(config: RunConfig) -> tuple[Protocol, str]:
    """Return how generators of a run are judged, and what they are compared with, to read.

    Raises:
        ConfigError: the data are pairs.
    """
    length = source_of(config).length
    if length is None:
        return Protocol(config.seed, SAMPLES, ENDLESS), f"{ENDLESS:,} new points"
    held_out = getattr(config.data, "held_out", 0)
    count = (held_out or length) * SECOND // (SECOND + 1)
    what = "held-out reals" if held_out else "reals that it was trained on, as none are held out"
    return Protocol(config.seed, SAMPLES, min(ENDLESS, count)), f"{min(ENDLESS, count):,} {what}"


def source_of(config: RunConfig) -> ImageSource | GaussianMixture:
    """Open the data of a run whose samples can be judged.

    Raises:
        ConfigError: the data are pairs.
    """
    source = open_source(config.data)
    if isinstance(source, PairSource):
        raise ConfigError(
            f"data: {source.name} are pairs, and samples made from noise are compared with reals"
        )
    assert isinstance(source, ImageSource | GaussianMixture)
    return source


class HeldOutJudge:
    """Judges generators on one of the draws."""

    def __init__(self, protocol: Protocol, config: RunConfig, draw: int) -> None:
        """Prepare the reals, and the feature space of images.

        Args:
            protocol: see there.
            config: of a run; its data say what is held out.
            draw: `RANKING` or `VERDICT`.

        Raises:
            ConfigError: the feature space does not fit the data, or points have none for KID.
        """
        execution = config.execution
        self.device = chosen_device("auto", execution)
        prepare_device(self.device, execution.threads, execution.precision)
        self._count = protocol.samples
        self._noise = torch_seed(protocol.seed, draw, NOISE)
        self._space: FeatureSpace | None = None
        source = source_of(config)
        if isinstance(source, GaussianMixture):
            if protocol.metric == "kid":
                raise ConfigError("kid compares features of images, and the data are points")
            stream = numpy_stream(protocol.seed, draw, REALS)
            self._reals = torch.from_numpy(source.sample(protocol.reals, stream)[0])
        else:
            name = protocol.space or config.evaluation.space
            with user_mistakes():
                self._space = open_space(name, source, source.shape, device=self.device)
            held_out = open_held_out(config.data) if _holds_out(config) else source
            self._reals = self._features(_images(held_out, draw, protocol.reals))
        with user_mistakes():
            self._kernel: Kernel = (
                polynomial_kernel(self._reals.shape[1])
                if protocol.metric == "kid"
                else multiscale_kernel(self._reals)
            )
        self._within = similarity(self._reals, self._kernel)

    def fitness(self, sampler: Sampler) -> float:
        """Return the fitness of a generator, the lower the better.

        It is infinite where the samples, or what is computed of them, are not finite.
        """
        found = self._drawn(sampler)
        if found is None:
            return math.inf
        value = unbiased_mmd(self._reals, found, self._kernel, within_x=self._within)
        return value if math.isfinite(value) else math.inf

    def similarities(self, samplers: Sequence[Sampler]) -> tuple[Tensor, Tensor]:
        """Return the mean kernel between generators (M, M), and of each with the reals (M,).

        The squared MMD of a mixture with weights w is w' K w - 2 w' b, and a constant.

        Raises:
            ConfigError: a generator makes what is no number.
        """
        drawn = [self._drawn(sampler) for sampler in samplers]
        features = [each for each in drawn if each is not None]
        if len(features) < len(samplers):
            raise ConfigError("a survivor makes samples that are no numbers; choose a snapshot")
        within = torch.tensor(
            [
                [similarity(x, self._kernel) if x is y else between(x, y, self._kernel)
                 for y in features]
                for x in features
            ], dtype=torch.float64,
        )  # fmt: skip
        with_reals = [between(x, self._reals, self._kernel) for x in features]
        return (within + within.T) / 2, torch.tensor(with_reals, dtype=torch.float64)

    def _drawn(self, sampler: Sampler) -> Tensor | None:
        """Return a generator's features, or None where they are not finite."""
        samples = torch.cat(list(sampler.batches(self._count, self._noise))).cpu()
        if not samples.isfinite().all():
            return None
        found = self._features(samples)
        return found if found.isfinite().all() else None

    def _features(self, samples: Tensor) -> Tensor:
        if self._space is None:
            return samples
        return torch.cat([self._space(part).cpu() for part in torch.split(samples, BATCH)])


def _holds_out(config: RunConfig) -> bool:
    return getattr(config.data, "held_out", 0) > 0


def _images(held_out: ImageSource, draw: int, count: int) -> Tensor:
    """Return the images of a draw; the draws have no images in common."""
    images = torch.from_numpy(held_out.images)
    return images[:count] if draw == RANKING else images[count : count + count // SECOND]
