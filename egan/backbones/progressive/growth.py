"""Progressive growing (Karras et al., arXiv 1710.10196) as a function of the images shown.

A network has the parameters of all its resolutions from the beginning; a `Stage` says which of them
compute. The others receive gradients of exactly zero, so that neither they nor their moments
change. Nothing here has state: a resumed run, or a replica, can ask for any generation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Annotated

from pydantic import BaseModel, Field, field_validator, model_validator
from torch import Tensor

from egan.backbones.progressive.layers import downsample, upsample

LOWEST = 4  # the resolution of the first layer
Kimg = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]  # images stay an integer


@dataclass(frozen=True)
class Stage:
    """The side of the images that a network makes or judges, and how far its layers are faded in.

    `alpha` in [0, 1] weighs the newest resolution against the one before, upsampled.
    """

    resolution: int
    alpha: float = 1.0


class GrowthConfig(BaseModel, extra="forbid", frozen=True):
    """Each resolution trains, then the next one is faded in, and so on up to the data's."""

    start: int = Field(8, description="the first resolution in pixels: a power of two, 4 or more")
    training_kimg: Kimg = Field(
        600, description="thousands of images shown to D at each resolution, once it is faded in"
    )
    transition_kimg: Kimg = Field(
        600, description="thousands of images shown to D while a new resolution fades in"
    )
    batch: dict[int, int] = Field(
        default_factory=dict,
        description="batch size by resolution, for each one from `start` on; {}: population.batch"
        " for all",
    )

    @field_validator("start")
    @classmethod
    def _start_is_a_power_of_two(cls, start: int) -> int:
        check_resolution(start, "growth.start")
        return start

    @model_validator(mode="after")
    def _no_stage_is_skipped(self) -> "GrowthConfig":
        if self._images(self.training_kimg) + self._images(self.transition_kimg) == 0:
            raise ValueError("growth: training_kimg and transition_kimg must not both be 0")
        for resolution, batch in self.batch.items():
            check_resolution(resolution, "growth.batch")
            if batch < 2:
                raise ValueError(f"growth.batch: {resolution}: a batch is at least 2, not {batch}")
        named = sorted(self.batch)
        wanted = [self.start << step for step in range(len(named))]
        if named != wanted:
            raise ValueError(
                f"growth.batch names the resolutions {_listed(named)}, but growth starts at "
                f"{self.start} and doubles at every stage: name {_listed(wanted)}, without a gap"
            )
        return self

    @staticmethod
    def _images(kimg: float) -> int:
        return round(kimg * 1000)

    def schedule(self, resolution: int, batch: int) -> "GrowthSchedule":
        """Return the growth up to the data's `resolution`; `batch` serves where none is named.

        Raises:
            ValueError: growth starts above the resolution, or names batches for other stages.
        """
        check_resolution(resolution, "data.resolution")
        if self.start > resolution:
            raise ValueError(
                f"growth.start is {self.start}, above the data's resolution of {resolution}: take "
                f"at most {resolution}"
            )
        if self.batch and max(self.batch) != resolution:
            raise ValueError(
                f"growth.batch ends at {max(self.batch)}, but the data's resolution is "
                f"{resolution}: name every stage from {self.start} to {resolution}"
            )
        batches = self.batch or dict.fromkeys(doublings(self.start, resolution), batch)
        training, transition = self._images(self.training_kimg), self._images(self.transition_kimg)
        return GrowthSchedule(batches, training, transition)


@dataclass(frozen=True)
class GrowthSchedule:
    """A growth in images: the batch of every resolution, and the length of both halves of a phase.

    One resolution alone is no growth: `GrowthSchedule({32: 16})` stays at 32 pixels.
    """

    batches: Mapping[int, int]
    training: int = 0
    transition: int = 0

    @property
    def resolutions(self) -> list[int]:
        """Return the resolutions, lowest first."""
        return sorted(self.batches)


def _listed(resolutions: list[int]) -> str:
    return ", ".join(map(str, resolutions))


def check_resolution(resolution: int, name: str) -> None:
    """Refuse what is not a power of two from 4 to 1024.

    Raises:
        ValueError: names `name`, what arrived and what is allowed.
    """
    if not LOWEST <= resolution <= 1024 or resolution & (resolution - 1):
        raise ValueError(f"{name}: {resolution} is not a power of two from {LOWEST} to 1024")


def doublings(first: int, last: int) -> list[int]:
    """Return first, 2 first, 4 first, ..., last."""
    return [first << step for step in range((last // first).bit_length())]


def stage(images_shown: int, schedule: GrowthSchedule) -> Stage:
    """Return the stage after `images_shown` reals, as the published schedule has it.

    log2(resolution) - 1 + alpha, the level of detail, is continuous and never falls.

    Raises:
        ValueError: a negative number of images.
    """
    if images_shown < 0:
        raise ValueError(f"images_shown must not be negative, not {images_shown}")
    resolutions = schedule.resolutions
    if len(resolutions) == 1:
        return Stage(resolutions[0])
    phase, within = divmod(images_shown, schedule.training + schedule.transition)
    if phase >= len(resolutions) - 1:
        return Stage(resolutions[-1])
    if within <= schedule.training:
        return Stage(resolutions[phase])
    return Stage(resolutions[phase + 1], (within - schedule.training) / schedule.transition)


@dataclass(frozen=True)
class _Span:
    """The generations at one resolution: the first, the images shown before it, and per each."""

    resolution: int
    generation: int
    images: int
    per_generation: int


def _spans(schedule: GrowthSchedule, updates: int) -> Iterator[_Span]:
    """Yield the span of every resolution, lowest first; a span may be empty."""
    phase = schedule.training + schedule.transition
    span = _Span(schedule.resolutions[0], 0, 0, updates * schedule.batches[schedule.resolutions[0]])
    yield span
    for index, resolution in enumerate(schedule.resolutions[1:]):
        # A resolution begins with its fade-in, at the first alpha above 0.
        fade = index * phase + schedule.training + 1
        needed = fade if schedule.transition else (index + 1) * phase
        waiting = max(0, ceil((needed - span.images) / span.per_generation))
        span = _Span(
            resolution,
            span.generation + waiting,
            span.images + waiting * span.per_generation,
            updates * schedule.batches[resolution],
        )
        yield span


def images_shown(generation: int, schedule: GrowthSchedule, updates: int) -> int:
    """Return the reals that the discriminator has seen before `generation`.

    It takes `updates` batches per generation, each as large as the stage's resolution has it.

    Raises:
        ValueError: a negative generation, or no updates.
    """
    if generation < 0 or updates < 1:
        raise ValueError(
            f"generation must be at least 0 and updates at least 1, not {generation} and {updates}"
        )
    span = [span for span in _spans(schedule, updates) if span.generation <= generation][-1]
    return span.images + (generation - span.generation) * span.per_generation


def first_generation(resolution: int, schedule: GrowthSchedule, updates: int) -> int:
    """Return the first generation that computes at `resolution`; 0 for what is below the start.

    The age of a layer, which Adam's bias correction counts from, is the number of generations
    since.

    Raises:
        ValueError: the schedule does not reach the resolution.
    """
    if resolution > schedule.resolutions[-1]:
        raise ValueError(
            f"the schedule ends at {schedule.resolutions[-1]} pixels, below {resolution}"
        )
    spans = _spans(schedule, updates)
    return next(span.generation for span in spans if span.resolution >= resolution)


def introduced(name: str) -> int:
    """Return the resolution from which on the parameter `name` may receive a gradient.

    Layers are named by their resolution: `synthesis.blocks.16.layers.0.bias`, `to_rgb.8.weight`.
    """
    parts = name.split(".")
    for group in ("blocks", "to_rgb", "from_rgb"):
        if group in parts:
            return int(parts[parts.index(group) + 1])
    return LOWEST


def at_stage(images: Tensor, stage: Stage) -> Tensor:
    """Return full-size images (N, C, R, R) as reals of a stage, (N, C, r, r).

    They are averaged down to r and, while r is faded in, blended with their next lower resolution,
    as the fakes are: 1710.10196, section 2 and the published code.

    Raises:
        ValueError: the images are smaller than the stage, or not a multiple of it.
    """
    factor, remainder = divmod(images.shape[-1], stage.resolution)
    if factor < 1 or remainder:
        raise ValueError(
            f"images of {images.shape[-1]} pixels cannot be averaged down to the stage's "
            f"{stage.resolution}"
        )
    images = downsample(images, factor)
    if stage.alpha == 1:
        return images
    return upsample(downsample(images)).lerp(images, stage.alpha)
