"""Samples from a run: by the averaged generator of its best parent, in inference mode."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file

from egan.backbones import BackboneConfig, build_networks
from egan.data.pixels import to_uint8
from egan.replica import ExportedState, import_state
from egan.state import Weights
from egan.tasks.noise import NoiseTask
from populations.seeding import Purpose, torch_seed
from runs.checkpoint import newest
from runs.files import atomic_file, write_json
from runs.folder import RunFolder
from runs.mistakes import ConfigError
from runs.pictures import save_samples

BATCH = 256  # samples made at a time


@dataclass(frozen=True)
class Sampler:
    """A generator that gives samples for (count, seed)."""

    task: NoiseTask
    weights: Mapping[str, Weights]
    images: bool  # whether samples are images, or points

    def __call__(self, count: int, seed: int) -> np.ndarray:
        """Return `count` samples: uint8 images (N, H, W, C), or float32 points (N, D).

        The n-th sample depends on the seed and n alone, not on `count`.
        """
        samples = torch.cat(list(self.batches(count, seed)))
        return (samples.permute(0, 2, 3, 1).contiguous() if self.images else samples).numpy()

    def batches(self, count: int, seed: int) -> Iterator[torch.Tensor]:
        """Yield the same samples a few at a time: uint8 (N, C, H, W), or float32 (N, D)."""
        for start in range(0, count, BATCH):
            stream = torch.Generator().manual_seed(torch_seed(seed, 0, Purpose.SAMPLE, start))
            inputs = self.task.inputs(BATCH, stream)
            with torch.no_grad():
                fakes, _ = self.task.generate(self.weights, inputs, training=False)
            fakes = fakes[: count - start]
            yield to_uint8(fakes) if self.images else fakes


def sampler_of(
    backbone: BackboneConfig, shape: tuple[int, ...], exported: ExportedState
) -> Sampler:
    """Return the sampler of a state's best parent, on the CPU."""
    state = import_state(exported, torch.device("cpu"))
    task = NoiseTask(build_networks(backbone, shape))
    return Sampler(task, state.parents[0].average, images=len(shape) == 3)


def save_generator(
    folder: Path, backbone: BackboneConfig, shape: tuple[int, ...], exported: ExportedState
) -> None:
    """Write a state's averaged generator: named weights and what is needed to build it again."""
    task = NoiseTask(build_networks(backbone, shape))
    average = import_state(exported, torch.device("cpu")).parents[0].average
    folder.mkdir(parents=True)
    tensors: dict[str, torch.Tensor] = {}
    for role, weights in average.items():
        named = task.functions[role].named(weights.params)
        tensors |= {f"{role}.{name}": tensor.clone() for name, tensor in named.items()}
        tensors |= {f"{role}.{name}": buffer for name, buffer in weights.buffers.items()}
    save_file(tensors, folder / "weights.safetensors")
    card = {"backbone": backbone.model_dump(mode="json"), "shape": shape}
    write_json(folder / "generator.json", card)


def load_sampler(folder: Path) -> Sampler:
    """Return the sampler of a generator that `save_generator` wrote."""
    card = json.loads((folder / "generator.json").read_text(encoding="utf-8"))
    backbone: BackboneConfig = TypeAdapter(BackboneConfig).validate_python(card["backbone"])
    shape = tuple(card["shape"])
    task = NoiseTask(build_networks(backbone, shape))
    tensors = load_file(folder / "weights.safetensors")
    weights = {}
    for role, function in task.functions.items():
        own = {n.removeprefix(f"{role}."): t for n, t in tensors.items() if n.startswith(role)}
        params = torch.cat([own.pop(name).flatten() for name, _ in function.layout])
        weights[role] = Weights(params, own)
    return Sampler(task, weights, images=len(shape) == 3)


def survivors_of(
    backbone: BackboneConfig, shape: tuple[int, ...], exported: ExportedState
) -> list[Sampler]:
    """Return a sampler of each parent's own weights, not averaged, on the CPU."""
    state = import_state(exported, torch.device("cpu"))
    task = NoiseTask(build_networks(backbone, shape))
    return [
        Sampler(task, {role: n.weights for role, n in parent.networks.items()}, len(shape) == 3)
        for parent in state.parents
    ]


def chosen_snapshot(
    folder: RunFolder, which: Literal["best", "newest"] = "best"
) -> tuple[ExportedState, str]:
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
    which: Literal["best", "newest"] = "best",
) -> np.ndarray:
    """Return samples of a run: uint8 images (N, H, W, C), or points float32 (N, D).

    They come from the snapshot with the best scoring, if the run keeps one, or the newest.

    Raises:
        ConfigError: there is no such run, or no snapshot of it verifies.
    """
    return named_sample(run_dir, count, seed, which)[0]


def named_sample(
    run_dir: str | Path, count: int, seed: int, which: Literal["best", "newest"]
) -> tuple[np.ndarray, str]:
    """Return what `sample` does, and the name of the snapshot that it comes from."""
    if count < 1:
        raise ConfigError(f"count must be at least 1, not {count}")
    folder = RunFolder.open(run_dir)
    exported, name = chosen_snapshot(folder, which)
    sampler = sampler_of(folder.load_config().backbone, folder.load_data().shape, exported)
    return sampler(count, seed), name


def write_samples(samples: np.ndarray, path: Path) -> None:
    """Write samples as a PNG, or as the array `images` (of points, `points`) of an .npz."""
    if path.suffix.lower() == ".png":
        save_samples(samples, path)
        return
    with atomic_file(path) as temporary:
        if samples.ndim == 4:
            np.savez_compressed(temporary, images=samples)
        else:
            np.savez_compressed(temporary, points=samples)
