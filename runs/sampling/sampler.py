"""Samples from a run: by the averaged generator of its best parent, in inference mode."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil, isfinite, prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import TypeAdapter

from egan.backbones import BackboneConfig, Inputs, Networks, build_networks
from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import Stage
from egan.backbones.stylegan.networks import Latents, layers, make_truncated, tracked_mean
from egan.config import GameConfig
from egan.context import Pace
from egan.data.config import DataConfig, GaussiansConfig
from egan.data.gaussians import open_gaussians
from egan.data.pixels import to_uint8
from egan.files import atomic_file
from egan.games.noise import NoiseTask
from egan.replica import ExportedState, import_state
from egan.state import Weights
from egan.weights_file import WEIGHTS, read_weights, write_weights
from populations.seeding import Purpose, torch_seed
from runs.common.errors import ConfigError
from runs.common.files import read_json, write_json
from runs.sampling.pictures import save_samples
from runs.store.folder import SHAPE, RunFolder
from runs.store.snapshots import newest

Snapshot = Literal["best", "newest"]
CARD = "generator.json"
BATCH = 256  # rows of noise drawn at a time
PIXELS = BATCH * 64**2  # of the images made at a time


@dataclass(frozen=True)
class Sampler:
    """A generator that gives samples for (count, seed).

    Attributes:
        task: what is generated from what.
        weights: of its networks, by role.
        shape: of one real sample, (C, H, W) or (D,).
        stage: how far a network that grows is grown; None: to the end, or it does not grow.
        psi: truncation in W, for a generator with styles; None: none.
        cutoff: how many layers the truncation acts on; None: all.
    """

    task: NoiseTask
    weights: Mapping[str, Weights]
    shape: tuple[int, ...]
    stage: Stage | None = None
    psi: float | None = None
    cutoff: int | None = None

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

    def __call__(self, count: int, seed: int) -> np.ndarray:
        """Return `count` samples: uint8 images (N, H, W, C), or float32 points (N, D).

        The n-th sample depends on the seed and n alone, not on `count`.
        """
        samples = torch.cat(list(self._samples(count, seed)))
        return (samples.permute(0, 2, 3, 1).contiguous() if self.images else samples).numpy()

    def batches(self, count: int, seed: int) -> Iterator[torch.Tensor]:
        """Yield the same samples a few at a time, in the reals' size.

        They are uint8 (N, C, H, W), pixels of an early stage repeated, or float32 (N, D).
        """
        yield from map(self.enlarged, self._samples(count, seed))

    def enlarged(self, samples: torch.Tensor) -> torch.Tensor:
        """Return samples (N, ...) in the reals' size: an early stage's pixels are repeated."""
        factor = self.shape[-1] // self.sample_shape[-1]
        if factor == 1:
            return samples
        return samples.repeat_interleave(factor, 2).repeat_interleave(factor, 3)

    def inputs(self, count: int, seed: int) -> Inputs:
        """Return what the first `count` samples are made from, of `BATCH` at the most."""
        return self.rows(0, seed)[:count]

    def rows(self, start: int, seed: int) -> Inputs:
        """Return what `BATCH` samples are made from, of which `start`, a multiple, is the first."""
        stream = torch.Generator().manual_seed(torch_seed(seed, 0, Purpose.SAMPLE, start))
        return self.task.inputs(BATCH, stream)

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
            raise ConfigError("the cutoff is of a truncation: give --truncation PSI too")
        if not isfinite(truncation):
            raise ConfigError(f"truncation: psi is a finite number, such as 0.7, not {truncation}")
        most = layers(self.sample_shape[-1])
        if cutoff is not None and not 0 <= cutoff <= most:
            raise ConfigError(f"cutoff is a number of layers from 0 to {most}, not {cutoff}")
        return replace(self, psi=truncation, cutoff=cutoff)

    def make(self, inputs: Inputs) -> torch.Tensor:
        """Return uint8 images (N, C, H, W), or float32 points (N, D), of `inputs`."""
        parts = self.floats(inputs)
        return torch.cat([to_uint8(part) for part in parts] if self.images else list(parts))

    def floats(self, inputs: Inputs) -> Iterator[torch.Tensor]:
        """Yield images in [-1, 1] as the generator makes them, or points, a few at a time."""
        step = self._at_once
        for at in range(0, len(inputs), step):
            with torch.no_grad():
                fakes = self._fakes(inputs[at : at + step])
            yield fakes

    def _samples(self, count: int, seed: int) -> Iterator[torch.Tensor]:
        for start in range(0, count, BATCH):
            rest = count - start
            whole = ceil(rest / self._at_once) * self._at_once  # another number gives other bits
            yield self.make(self.rows(start, seed)[:whole])[:rest]

    @property
    def _at_once(self) -> int:
        return min(BATCH, max(1, PIXELS // self.sample_shape[-1] ** 2)) if self.images else BATCH

    def _fakes(self, inputs: Inputs) -> torch.Tensor:
        if self.psi is None:
            return self.task.generate(self.weights, inputs, self.stage, training=False)[0]
        assert isinstance(inputs, Latents), "only styles are truncated"
        generator, weights = self.task.functions["generator"], self.weights["generator"]
        return make_truncated(generator, weights, inputs, self.psi, self.cutoff, self.stage)


def sampler_of(config: GameConfig, shape: tuple[int, ...], exported: ExportedState) -> Sampler:
    """Return the sampler of a state's best parent, on the CPU.

    Raises:
        ConfigError: the state's networks are not those that the config describes.
    """
    task, stage = _task_of(config, shape, exported)
    try:
        average = import_state(exported, torch.device("cpu")).parents[0].average
    except (KeyError, IndexError) as error:
        raise ConfigError(f"the snapshot holds no whole state: it lacks {error}") from None
    _check_fit(task, average)
    return Sampler(task, average, shape, stage)


def _check_fit(task: NoiseTask, weights: Mapping[str, Weights]) -> None:
    for role, function in task.functions.items():
        found = weights.get(role)
        numbers = sum(prod(shape) for _, shape in function.layout)
        buffers = {name: buffer.shape for name, buffer in function.module.named_buffers()}
        if (
            found is None
            or found.params.shape != (numbers,)
            or {name: buffer.shape for name, buffer in found.buffers.items()} != buffers
        ):
            raise ConfigError(
                f"the snapshot's {role} is not the one that config.yaml and data.json describe, of "
                f"{numbers} weights; one of these files is of another run, or was changed"
            )


def check_whole(config: GameConfig, shape: tuple[int, ...], exported: ExportedState) -> None:
    """Refuse a state that a replica cannot go on from.

    Raises:
        ConfigError: it lacks an array or has one too many, or one of another shape or type.
    """
    networks = _networks_of(config, shape)
    functions = {
        f"parents.{index}.{role}": function
        for index in range(config.population.survivors)
        for role, function in NoiseTask(networks).functions.items()
    } | {"discriminator": networks.discriminator}
    expected = dict(
        pair for prefix, function in functions.items() for pair in _arrays_of(prefix, function)
    )
    found = {name: (array.shape, array.dtype.name) for name, array in exported.arrays.items()}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            has, needs = found.get(name, "not there"), expected.get(name, "unknown")
            raise ConfigError(
                f"the snapshot's {name} is not the one that config.yaml and data.json describe "
                f"({has} there, {needs} here); one of these files is of another run, or was changed"
            )
    if exported.steps.keys() != functions.keys() or min(exported.steps.values()) < 0:
        raise ConfigError("the snapshot's steps are not those of its networks")


def _arrays_of(prefix: str, function: NetworkFunction) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Yield the name, shape and type of each array of a network in an exported state."""
    params = ((function.parameters,), "float32")
    buffers = {
        name: (tuple(buffer.shape), str(buffer.dtype).removeprefix("torch."))
        for name, buffer in function.module.named_buffers()
    }
    for start in (prefix, f"{prefix}.average") if prefix != "discriminator" else (prefix,):
        yield f"{start}.params", params
        for name, buffer in buffers.items():
            yield f"{start}.buffers.{name}", buffer
    yield f"{prefix}.first_moment", params
    yield f"{prefix}.second_moment", params


def _networks_of(config: GameConfig, shape: tuple[int, ...]) -> Networks:
    try:
        return build_networks(config.backbone, shape)
    except (ValueError, RuntimeError, OverflowError, TypeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"config.yaml and data.json do not fit each other: {reason}") from None


def _task_of(
    config: GameConfig, shape: tuple[int, ...], exported: ExportedState
) -> tuple[NoiseTask, Stage | None]:
    """Return what a state's networks are for, and the stage that they have reached."""
    networks = _networks_of(config, shape)
    return NoiseTask(networks), Pace.of(config, networks).stage(exported.generation)


def save_generator(
    folder: Path, config: GameConfig, shape: tuple[int, ...], exported: ExportedState
) -> Sampler:
    """Write a state's averaged generator, and what is needed to build it again; return it."""
    sampler = sampler_of(config, shape, exported)
    folder.mkdir(parents=True)
    write_generator(folder, config.backbone, sampler)
    return sampler


def write_generator(folder: Path, backbone: BackboneConfig, sampler: Sampler) -> None:
    """Write a sampler's generator into a folder, for `load_sampler` and as a first parent."""
    write_weights(folder / WEIGHTS, sampler.task.functions, sampler.weights)
    stage = sampler.stage and asdict(sampler.stage)
    card = {
        "backbone": backbone.model_dump(mode="json"),
        "shape": sampler.shape,
        "stage": stage,
    }
    write_json(folder / CARD, card)


def is_generator(path: Path) -> bool:
    """Tell whether a folder holds a generator alone, as `convert` writes it, and no run."""
    return (path / CARD).is_file() and not RunFolder(path).config.is_file()


def load_sampler(folder: Path) -> Sampler:
    """Return the sampler of a generator that `write_generator` wrote.

    Raises:
        ConfigError: something of it is missing or damaged.
    """
    try:
        card = read_json(folder / CARD)
        backbone: BackboneConfig = TypeAdapter(BackboneConfig).validate_python(card["backbone"])
        shape, stage = SHAPE.validate_python(card["shape"]), card.get("stage")
        task = NoiseTask(build_networks(backbone, shape))
        weights = read_weights(folder / WEIGHTS, task.functions)
        return Sampler(task, weights, shape, stage and Stage(**stage))
    except Exception as error:  # any JSON and any tensors may lie there
        raise ConfigError(f"{folder} does not hold a whole generator: {error}") from error


def survivors_of(
    config: GameConfig, shape: tuple[int, ...], exported: ExportedState
) -> list[Sampler]:
    """Return a sampler of each parent's own weights, not averaged, on the CPU."""
    task, stage = _task_of(config, shape, exported)
    return [
        Sampler(task, {role: n.weights for role, n in parent.networks.items()}, shape, stage)
        for parent in import_state(exported, torch.device("cpu")).parents
    ]


def chosen_snapshot(folder: RunFolder, which: Snapshot = "best") -> tuple[ExportedState, str]:
    """Return the best snapshot, if scorings kept one and it is wanted, or the newest; and its name.

    Raises:
        ConfigError: none verifies.
    """
    passed_over: list[str] = []
    for place, name in ((folder.best, "best"), (folder.snapshots, "newest")):
        if name == "best" and which == "newest":
            continue
        exported, _, damaged = newest(place)
        if exported is not None:
            why = f" (the best one is damaged: {passed_over[0]})" if passed_over else ""
            return exported, f"{name} snapshot, generation {exported.generation}{why}"
        passed_over += [f"{snapshot.path.name}: {reason}" for snapshot, reason in damaged]
    reasons = "".join(f"\n  {reason}" for reason in passed_over)
    raise ConfigError(f"{folder.path} has no snapshot to sample from yet{reasons}")


def sample(
    run_dir: str | Path,
    count: int = 64,
    seed: int = 0,
    which: Snapshot = "best",
    truncation: float | None = None,
) -> np.ndarray:
    """Return samples of a run: uint8 images (N, H, W, C), or points float32 (N, D).

    They come from the snapshot with the best scoring, if the run keeps one, or the newest; the
    `truncation` psi is for generators with styles.

    Raises:
        ConfigError: there is no such run, no snapshot of it verifies, or nothing to truncate.
    """
    if count < 1:
        raise ConfigError(f"count must be at least 1, not {count}")
    return open_sampler(run_dir, which)[0].truncated(truncation)(count, seed)


def open_sampler(run_dir: str | Path, which: Snapshot = "best") -> tuple[Sampler, str]:
    """Return the sampler of a run or of a generator's folder, and the name of what it comes from.

    Raises:
        ConfigError: there is no such run, or no snapshot of it verifies.
    """
    if is_generator(Path(run_dir)):
        return load_sampler(Path(run_dir)), "generator"
    folder = RunFolder.open(run_dir)
    exported, name = chosen_snapshot(folder, which)
    return sampler_of(folder.load_config(), folder.load_data().shape, exported), name


def mixture_centres(data: DataConfig) -> np.ndarray | None:
    """Return the true modes (K, 2) of a mixture, to be drawn beside samples; None for images."""
    if not isinstance(data, GaussiansConfig):
        return None
    return open_gaussians(data).centres


def write_samples(samples: np.ndarray, path: Path, centres: np.ndarray | None = None) -> None:
    """Write samples as a PNG, or as the array `images` (of points, `points`) of an .npz."""
    if path.suffix.lower() == ".png":
        save_samples(samples, path, centres)
        return
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        if samples.ndim == 4:
            np.savez_compressed(file, images=samples)
        else:
            np.savez_compressed(file, points=samples)
