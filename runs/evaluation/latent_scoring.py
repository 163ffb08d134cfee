"""Metrics of a generator's latent space, with the spaces that they are measured in."""

from pathlib import Path
from typing import Any

from egan.data import ImageSource, Source
from egan.data.avatars import labelled, recalled
from egan.data.config import AvatarsConfig
from fitness.features import FeatureSpace, Progress
from fitness.metrics.lpips import LPIPS, PerceptualDistance, check_space, distance_in
from fitness.statistics import Statistics
from runs.evaluation.latent_metrics import Attributes, score_latents
from runs.evaluation.mistakes import user_mistakes
from runs.evaluation.spaces import open_space
from runs.evaluation.subjects import SPACE, Subject
from runs.evaluation.weights import lpips_distance


class LatentScoring:
    """The parts that latent metrics need, prepared before any long computation."""

    def __init__(
        self,
        subject: Subject,
        real: Source | Statistics | None,
        space: str,
        asked_space: str | None = None,
        weights: Path | None = None,
        labels: tuple[str, ...] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Keep what the metrics may need.

        Args:
            subject: a generator.
            real: the real side, from which a classifier learns.
            space: the feature space of path lengths.
            asked_space: the space that was asked for, if any was.
            weights: a file of the space's weights.
            labels: what separability's attributes are; None: the data's own labels.
            progress: called as `progress(stage, done, total)`.
        """
        assert subject.sampler is not None
        assert real is None or isinstance(real, ImageSource | Statistics), "points have no images"
        self._sampler, self._shape, self._config = subject.sampler, subject.shape, subject.data
        self._real, self._space, self._asked_space = real, space, asked_space
        self._weights, self._labels, self._progress = weights, labels, progress
        self._device = subject.sampler.device
        self._distance: PerceptualDistance | None = None
        self._attributes: Attributes | None = None

    def open(self, metrics: list[str]) -> dict[str, Any]:
        """Open the spaces that metrics need; return what a record says of them.

        Raises:
            ConfigError: a space cannot serve them, or cannot be opened.
        """
        said: dict[str, Any] = {}
        with user_mistakes():
            if any(metric.startswith("ppl") for metric in metrics):
                self._distance = self._open_distance()
                said["space_identity"] = self._distance.identity
            if any(metric.startswith("separability") for metric in metrics):
                self._attributes = self._open_attributes()
                identities = [space.identity for space in self._attributes.spaces]
                said["attributes_identity"] = identities
        return said

    def score(self, metrics: list[str], count: int, seed: int) -> dict[str, float]:
        """Return the values by full name."""
        with user_mistakes():
            return score_latents(
                self._sampler,
                metrics,
                count,
                seed,
                distance=self._distance,
                attributes=self._attributes,
                progress=self._progress,
            )

    def _open_distance(self) -> PerceptualDistance:
        check_space(self._space)
        if self._space == LPIPS:
            return lpips_distance(self._weights, device=self._device)
        return distance_in(self._open(self._space, self._real, self._weights))

    def _open_attributes(self) -> Attributes:
        if self._asked_space not in (None, SPACE, LPIPS):
            raise ValueError(
                f"separability's attributes are told apart by space {SPACE!r}, which learns them "
                f"from labels; {self._asked_space!r} was asked for"
            )
        if self._labels is None:
            weights = self._weights if self._space == SPACE else None  # another space's
            space = self._open(SPACE, self._real, weights)
            return Attributes(space.name, [space])
        if not isinstance(self._config, AvatarsConfig):
            raise ValueError("--labels: only data.source=avatars has labels to choose from")
        drawn = recalled(self._config)  # once for all labels
        spaces = [
            self._open(
                SPACE, labelled(drawn, self._config.model_copy(update={"label": label})), None
            )
            for label in self._labels
        ]
        return Attributes(".".join((spaces[0].name, *self._labels)), spaces)

    def _open(
        self, space: str, real: ImageSource | Statistics | None, weights: Path | None
    ) -> FeatureSpace:
        return open_space(space, real, self._shape, weights, self._device, self._progress)
