"""The judge: MMD between an island's averaged generator and held-out reals.

Gretton et al., JMLR 13 (2012), eq. 3, with the kernel `multiscale_kernel`. All islands
are judged with the same noise and the same reals, which are used neither for training nor in the
report. An endless source draws them with another stream; those of a finite source are held
out from training (`data.held_out`). The first draw ranks islands. The second one, of other noise
and other reals, decides between the last state and the kept one, because the best of many
judgements looks better than it is.
"""

import math
from typing import Any

import torch
from torch import Tensor

from egan.data import ImageSource, open_held_out, open_source
from egan.data.gaussians import GaussianMixture
from egan.data.pairs import PairSource
from egan.determinism import prepare_device
from fitness.features import FeatureSpace
from fitness.metrics.mmd import multiscale_kernel, similarity, unbiased_mmd
from populations.seeding import numpy_stream, torch_seed
from runs.common.errors import ConfigError
from runs.config.schema import RunConfig
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.spaces import open_space
from runs.sampling.device import chosen_device
from runs.sampling.opening import Choice, open_run
from runs.store.folder import RunFolder
from runs.tournament.config import Tournament
from runs.tournament.decisions import Stream

RANKING, VERDICT = 0, 1  # the two draws
REALS = 2048  # of an endless source
SHARE = 7  # of a finite one, a seventh at most
BATCH = 256  # images whose features are computed at a time
SECOND = 3  # the second draw has a third as many reals of a finite source


def reals_for_ranking(tournament: Tournament) -> int:
    """Return how many reals the first draw has.

    Raises:
        ConfigError: the data are pairs.
    """
    source = open_source(tournament.base.data)
    if isinstance(source, PairSource):
        raise ConfigError(
            f"data: {source.name} are pairs, which a tournament cannot judge: it compares samples "
            "made from noise with reals"
        )
    wanted = tournament.config.judge.reals
    if source.length is None:
        return wanted or REALS
    return wanted or min(REALS, source.length // SHARE)


def kept_from_training(tournament: Tournament) -> dict[str, Any]:
    """Return the keys of `data` that hold the judge's reals out; none if that is not needed."""
    if open_source(tournament.base.data).length is None:
        return {}
    count = reals_for_ranking(tournament)
    return {"held_out": count + count // SECOND}


class Judge:
    """Judges states of a tournament's islands on one of the draws."""

    def __init__(self, tournament: Tournament, config: RunConfig, draw: int) -> None:
        """Prepare the reals, and the feature space of images.

        Args:
            tournament: whose seed decides the noise and the reals.
            config: of any island; its data say what is held out.
            draw: `RANKING` or `VERDICT`.

        Raises:
            ConfigError: the feature space does not fit the data.
        """
        seed, judge = tournament.base.seed, tournament.config.judge
        self.device = chosen_device("auto", config.execution)
        prepare_device(self.device, config.execution.threads, config.execution.precision)
        self._count = judge.samples
        self._noise = torch_seed(seed, draw, Stream.NOISE)
        self._space: FeatureSpace | None = None
        source, count = open_source(config.data), reals_for_ranking(tournament)
        assert not isinstance(source, PairSource)
        if isinstance(source, GaussianMixture):
            points, _ = source.sample(count, numpy_stream(seed, draw, Stream.REALS))
            self._reals = torch.from_numpy(points)
        else:
            name = judge.space or config.evaluation.space
            with user_mistakes():
                self._space = open_space(name, source, source.shape, device=self.device)
            self._reals = self._features(_images(open_held_out(config.data), draw, count))
        with user_mistakes():
            self._kernel = multiscale_kernel(self._reals)
        self._within = similarity(self._reals, self._kernel)

    def fitness(self, folder: RunFolder, generation: int) -> float:
        """Return the fitness of a run's snapshot, the lower the better.

        It is infinite where the samples, or what is computed of them, are not finite.
        """
        sampler = open_run(folder, Choice(generation)).sampler
        samples = torch.cat(list(sampler.batches(self._count, self._noise))).cpu()
        if not samples.isfinite().all():
            return math.inf
        found = self._features(samples)
        if not found.isfinite().all():
            return math.inf
        value = unbiased_mmd(self._reals, found, self._kernel, within_x=self._within)
        return value if math.isfinite(value) else math.inf

    def _features(self, samples: Tensor) -> Tensor:
        if self._space is None:
            return samples
        return torch.cat([self._space(part).cpu() for part in torch.split(samples, BATCH)])


def _images(held_out: ImageSource, draw: int, count: int) -> Tensor:
    """Return the held-out images of a draw; the draws have no images in common."""
    images = torch.from_numpy(held_out.images)
    return images[:count] if draw == RANKING else images[count:]
