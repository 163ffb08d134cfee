"""A generator that gives samples for a count and a seed, in inference mode."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil, isfinite

import numpy as np
import torch
from torch import Tensor

from egan.backbones import Rows
from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import Stage
from egan.backbones.stylegan.latents import Latents, layers
from egan.backbones.stylegan.styles import make_truncated, tracked_mean
from egan.data.condition import ConditionCard
from egan.data.pixels import to_uint8
from egan.determinism import send
from egan.games import ConditionalGame, NoiseGame
from egan.state import Weights
from egan.streams import Purpose, torch_stream
from egan.tensor_tree import mapped
from runs.common.errors import ConfigError
from runs.sampling.conditions import drawn
from runs.sampling.units import UnitsFile

BATCH = 256  # rows of noise drawn at a time
PIXELS = BATCH * 64**2  # of the images made at a time


@dataclass(frozen=True)
class Sampler:
    """A generator that gives samples for (count, seed).

    Attributes:
        game: what is generated from what.
        weights: of its networks, by role.
        shape: of one real sample, (C, H, W) or (D,).
        stage: how far a network that grows is grown; None: to the end, or it does not grow.
        psi: truncation in W, for a generator with styles; None: none.
        cutoff: how many layers the truncation acts on; None: all.
        conditions: what samples can be asked for; None: nothing.
        shown: how many reals the critics had seen, for conditions that fade in; None: all.
        repair: the units that the game's generator has switched off; None: none.
    """

    game: NoiseGame
    weights: Mapping[str, Weights]
    shape: tuple[int, ...]
    stage: Stage | None = None
    psi: float | None = None
    cutoff: int | None = None
    conditions: ConditionCard | None = None
    shown: int | None = None
    repair: UnitsFile | None = None

    @property
    def device(self) -> torch.device:
        """The device of the weights, on which samples are made."""
        return next(iter(self.weights.values())).params.device

    def to(self, device: str | torch.device) -> "Sampler":
        """Return the same sampler on a device."""
        device = torch.device(device)
        weights = {role: own.to(device) for role, own in self.weights.items()}
        return replace(self, weights=weights)

    @property
    def role(self) -> str:
        """The role of the network that makes the samples."""
        return "generator"

    @property
    def function(self) -> NetworkFunction:
        """The network that makes the samples."""
        return self.game.generators[self.role]

    @property
    def given(self) -> tuple[np.ndarray, ...]:
        """What samples are made of besides the seed and their number."""
        return ()

    @property
    def most(self) -> int | None:
        """How many samples each of two sets can have, if these are to differ; None: any number."""
        return None

    @property
    def images(self) -> bool:
        """Whether samples are images, or points."""
        return len(self.shape) == 3

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample: at an early stage, smaller than a real one."""
        if self.stage is None:
            return self.shape
        return (self.shape[0], self.stage.resolution, self.stage.resolution)

    def __call__(self, count: int, seed: int, conditions: Tensor | None = None) -> np.ndarray:
        """Return `count` samples: uint8 images (N, H, W, C), or float32 points (N, D).

        The n-th sample depends on the seed, n and its own condition alone: neither on `count` nor
        on what the others are asked for.

        Args:
            count: how many.
            seed: of the noise, and of conditions that are not given.
            conditions: what each is asked for, (count, size); None: drawn like the data's rows.
        """
        return np.concatenate(list(self.arrays(count, seed, conditions)))

    def arrays(
        self, count: int, seed: int, conditions: Tensor | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the same samples a few at a time."""
        for samples in self._samples(count, seed, conditions):
            samples = samples.permute(0, 2, 3, 1).contiguous() if self.images else samples
            yield samples.cpu().numpy()

    def batches(self, count: int, seed: int, conditions: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the same samples a few at a time, on the sampler's device, in the reals' size.

        They are uint8 (N, C, H, W), pixels of an early stage repeated, or float32 (N, D).
        """
        yield from map(self.enlarged, self._samples(count, seed, conditions))

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes that samples can be asked for; None: they cannot."""
        return None if self.conditions is None else self.conditions.conditions.classes

    def of_classes(self, labels: Tensor, seed: int) -> Iterator[Tensor]:
        """Yield samples of the classes (N,), one each, as `batches` does."""
        assert self.classes is not None
        yield from self.batches(len(labels), seed, torch.eye(len(self.classes))[labels])

    def table(self, conditions: Tensor, columns: int, seed: int) -> np.ndarray:
        """Return images (K columns, H, W, C), a row for each of the conditions (K, size).

        All rows are made from the noise of the first samples, `columns` of them, at most `BATCH`:
        a row is what a call gives for its condition.
        """
        noise = self.inputs(columns, seed)
        count = columns * len(conditions)
        images = []
        for start in range(0, count, BATCH):
            places = torch.arange(start, start + self.whole(min(BATCH, count - start)))
            asked = conditions[(places // columns).clamp(max=len(conditions) - 1)].to(self.device)
            made = self.make(_chosen(noise, places % columns), asked)
            images.append(made[: count - start].permute(0, 2, 3, 1).contiguous().cpu().numpy())
        return np.concatenate(images)

    def enlarged(self, samples: Tensor) -> Tensor:
        """Return samples (N, ...) in the reals' size: an early stage's pixels are repeated."""
        factor = self.shape[-1] // self.sample_shape[-1]
        if factor == 1:
            return samples
        return samples.repeat_interleave(factor, 2).repeat_interleave(factor, 3)

    def inputs(self, count: int, seed: int) -> Rows:
        """Return the noise of the first `count` samples, of `BATCH` at the most."""
        return self.rows(0, seed)[:count]

    def rows(self, start: int, seed: int) -> Rows:
        """Return the noise of `BATCH` samples, of which `start`, a multiple, is the first."""
        stream = torch_stream(seed, 0, Purpose.SAMPLE, start)
        return send(self.game.inputs(BATCH, stream)["noise"], self.device)

    def asked(self, conditions: Tensor | None, start: int, count: int, seed: int) -> Tensor | None:
        """Return what `count` samples, at most `BATCH`, are asked for, the first being `start`.

        None: the generator takes no conditions. See `__call__` for `conditions`.

        Raises:
            ValueError: it takes none, and some are given; or they have another width.
        """
        if self.conditions is None:
            if conditions is not None:
                raise ValueError("this generator takes no conditions, and some were given")
            return None
        if conditions is None:
            rows = drawn(self.conditions, BATCH, seed, start)[:count]
        else:
            size = self.conditions.conditions.size
            if conditions.dim() != 2 or conditions.shape[1] != size:
                raise ValueError(
                    f"conditions are (N, {size}), one for each sample; "
                    f"{tuple(conditions.shape)} arrived"
                )
            rows = conditions[start : start + count]
            rows = torch.cat([rows, rows[-1:].expand(count - len(rows), -1)])  # to whole parts
        return rows.to(self.device)

    def truncated(self, truncation: float | None, cutoff: int | None = None) -> "Sampler":
        """Return a sampler with styles truncated in W by psi = `truncation` (None: as it is).

        1812.04948, appendix B; on the first `cutoff` layers alone, if given.

        Raises:
            ConfigError: the generator has no styles, or not so many layers; or psi is no number.
        """
        if truncation is None and cutoff is None:
            return self
        try:
            tracked_mean(self.weights["generator"])
        except ValueError as error:
            raise ConfigError(f"truncation: {error}") from None
        if truncation is None:
            raise ConfigError("a cutoff needs a truncation: give --truncation PSI, too")
        if not isfinite(truncation):
            raise ConfigError(f"truncation: psi is a finite number, such as 0.7, not {truncation}")
        most = layers(self.sample_shape[-1])
        if cutoff is not None and not 0 <= cutoff <= most:
            raise ConfigError(f"cutoff is a number of layers from 0 to {most}, not {cutoff}")
        return replace(self, psi=truncation, cutoff=cutoff)

    def make(self, noise: Rows, conditions: Tensor | None = None) -> Tensor:
        """Return uint8 images (N, C, H, W), or float32 points (N, D), of noise and conditions."""
        parts = self.floats(noise, conditions)
        return torch.cat([to_uint8(part) for part in parts] if self.images else list(parts))

    def floats(self, noise: Rows, conditions: Tensor | None = None) -> Iterator[Tensor]:
        """Yield images in [-1, 1] as the generator makes them, or points, a few at a time."""
        step = self.at_once
        for at in range(0, len(noise), step):
            part = slice(at, at + step)
            with torch.no_grad():
                fakes = self.fakes(noise[part], None if conditions is None else conditions[part])
            yield fakes

    def parts(
        self, first: int, count: int, seed: int, conditions: Tensor | None = None
    ) -> Iterator[tuple[int, Rows, Tensor | None]]:
        """Yield what `count` samples are made from, in parts of `at_once`.

        A part is how many of its rows count, its noise, and its conditions. The last part has rows
        that do not count.

        Args:
            first: the number of the first sample, a multiple of `BATCH`.
            count: how many.
            seed: of the noise, and of conditions that are not given.
            conditions: of all samples from number 0 on; None: drawn like the data's rows.
        """
        for start in range(first, first + count, BATCH):
            rest = first + count - start
            noise = self.rows(start, seed)[: self.whole(min(rest, BATCH))]
            asked = self.asked(conditions, start, len(noise), seed)
            for at in range(0, len(noise), self.at_once):
                part = slice(at, at + self.at_once)
                told = None if asked is None else asked[part]
                yield min(rest - at, self.at_once), noise[part], told

    def _samples(self, count: int, seed: int, conditions: Tensor | None) -> Iterator[Tensor]:
        for start in range(0, count, BATCH):
            rest = count - start
            noise = self.rows(start, seed)[: self.whole(rest)]
            asked = self.asked(conditions, start, len(noise), seed)
            yield self.make(noise, asked)[:rest]

    def whole(self, count: int) -> int:
        """Return how many samples are made, of which `count` are given, in whole parts."""
        return ceil(count / self.at_once) * self.at_once

    @property
    def at_once(self) -> int:
        """How many samples are made at a time; another number gives other bits."""
        return min(BATCH, max(1, PIXELS // self.sample_shape[-1] ** 2)) if self.images else BATCH

    @property
    def fading(self) -> str:
        """A note on how far conditions have faded in; "" once they have."""
        if self.shown is None or not isinstance(self.game, ConditionalGame):
            return ""
        share = self.game.share(self.shown)
        if share == 1:
            return ""
        return f"; conditions have faded in by {share:.1%} so far (game.condition_ramp)"

    def faded(self, conditions: Tensor | None) -> Tensor | None:
        """Return what the networks get in place of conditions, while these fade in."""
        if conditions is None or self.shown is None:
            return conditions
        assert isinstance(self.game, ConditionalGame)
        return self.game.faded(conditions, self.shown)

    def fakes(self, noise: Rows, conditions: Tensor | None) -> Tensor:
        """Return images in [-1, 1], or points, of a part of the noise; it can be differentiated."""
        condition = self.faded(conditions)
        if self.psi is None:
            told = {} if condition is None else {"condition": condition}
            rows = {"noise": noise, **told}
            return self.game.generate(self.weights, rows, self.stage, training=False)[0]["x"]
        assert isinstance(noise, Latents), "only styles are truncated"
        generator, weights = self.game.generators["generator"], self.weights["generator"]
        return make_truncated(
            generator, weights, noise, self.psi, self.cutoff, self.stage, condition
        )


def _chosen(rows: Rows, places: Tensor) -> Rows:
    """Return the rows at some places, (n,), which may repeat."""
    chosen: Rows = mapped(rows, lambda part: part[places.to(part.device)])
    return chosen
