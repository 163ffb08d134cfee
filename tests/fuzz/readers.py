"""Every reader of a file from outside, how its input is damaged, and its one documented error."""

import gzip
import hashlib
import json
import pickle
import random
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as safetensors_bytes

from egan.backbones.stylegan.ports import convert, read_port
from egan.data import DataError, ImageSource, detect_source, open_source
from egan.data.config import ArrayConfig, CifarConfig, IdxConfig, ImagesConfig, PackedConfig
from egan.state import Weights
from fitness.features.base import WeightsError
from fitness.statistics import Statistics
from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.display.inspection import inspect_run
from runs.evaluation.records import read_records
from runs.evaluation.spaces import load_classifier
from runs.evaluation.statistics_file import load_statistics
from runs.evaluation.weights import inception_space
from runs.presets import preset_names, preset_text
from runs.sampling.generators import load_sampler
from runs.sampling.opening import open_sampler
from runs.store.folder import RunFolder
from runs.store.journal import read_journal, read_journal_from, seal
from runs.store.replay import read_past
from runs.store.snapshots import _seal, snapshots
from runs.studies import study_text
from runs.study.loading import load_study
from runs.study.records import read_outcome
from runs.tracking.run_logger import RunRecord
from tests.fuzz.damage import (
    Planted,
    changed,
    damaged,
    damaged_json,
    damaged_png,
    damaged_safetensors,
    damaged_torch,
    damaged_yaml,
    damaged_zip,
    regzipped,
    to_json,
)
from tests.fuzz.sound import (
    PIXELS,
    classifier,
    idx,
    image,
    image_zip,
    made,
    objects,
    saved,
    statistics,
    style_file,
    style_network,
    style_tensors,
    tagged_zip,
    torch_bytes,
)

Write = Callable[[random.Random | None, Path], Path]
"""Puts an input into an empty folder: damaged, or with None a sound one; returns where to read."""


@dataclass(frozen=True)
class Reader:
    """One reader: `write` puts an input into an empty folder, `read` reads it there.

    It may raise `errors` and nothing else.
    """

    write: Write
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = ()


def file(
    name: str,
    sound: Callable[[], bytes] | tuple[Callable[[], bytes], ...],
    damage: Callable[[random.Random, bytes], bytes] = damaged,
) -> Write:
    """Return what writes one of the sound files, damaged, under a name."""
    sounds = sound if isinstance(sound, tuple) else (sound,)

    def write(rng: random.Random | None, folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damage(rng, rng.choice(sounds)()) if rng else sounds[0]())
        return path

    return write


def part_of(source: str, part: str, damage: Callable[[random.Random, bytes], bytes]) -> Write:
    """Return what copies a sound folder and damages one file in it."""

    def write(rng: random.Random | None, folder: Path) -> Path:
        shutil.copytree(made() / source, folder / "it")
        path = folder / "it" / part
        if rng:
            path.write_bytes(damage(rng, path.read_bytes()))
        return folder / "it"

    return write


def resealed_journal(rng: random.Random, content: bytes) -> bytes:
    """Damage a journal's bytes; or change values in a line and seal it again."""
    if rng.random() < 0.3:
        return damaged(rng, content)
    lines = content.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    value = {k: v for k, v in json.loads(lines[at]).items() if k != "crc"}
    if rng.random() < 0.2:
        value = {"scoring": 3, "time": 1.0, "values": {"fid-classifier-1k": 1.0},
                 "survivors": [], "best": True, "action": None}  # fmt: skip
    value = changed(rng, value)
    if isinstance(value, dict):
        text = json.dumps(value, separators=(",", ":"))
        sealed = f'{text[:-1]},"crc":"{zlib.crc32(text.encode()):08x}"}}\n'
        assert (
            value == {}
            or "nan" in text.lower()
            or "infinity" in text.lower()
            or (sealed == seal(value))
        )
        lines[at] = sealed.encode()
    return b"".join(lines)


def snapshot(rng: random.Random | None, folder: Path) -> Path:
    """Copy a run and damage its newest snapshot: manifest or state, with sums made right."""
    shutil.copytree(made() / "run", folder / "it")
    if not rng:
        return folder / "it"
    path = snapshots(folder / "it" / "snapshots")[0].path
    state, manifest = path / "state.safetensors", path / "manifest.json"
    values = json.loads(manifest.read_text())
    if rng.random() < 0.5:
        state.write_bytes(damaged_safetensors(rng, state.read_bytes()))
        values["files"] = {state.name: hashlib.sha256(state.read_bytes()).hexdigest()}
    else:
        values = changed(rng, values)
    if isinstance(values, dict):
        values["seal"] = _seal(values)
    manifest.write_bytes(to_json(values) if rng.random() < 0.8 else damaged(rng, to_json(values)))
    return folder / "it"


def read_run(path: Path) -> dict[str, Any]:
    """Read a run as resume, inspect and sample do."""
    list(read_journal_from(path / "journal.jsonl", 0))
    list(read_journal(path / "journal.jsonl"))
    read_past(RunFolder(path))
    return inspect_run(path)


def sample_run(path: Path) -> np.ndarray:
    read_past(RunFolder(path))
    return open_sampler(path)[0](2, 0)


def read_statistics(path: Path) -> Statistics:
    return load_statistics(path, space="pixels")


def read_style(path: Path) -> Weights:
    return convert(read_port(path), style_network(), torch.Generator().manual_seed(0))


def opened(kind: Callable[..., Any]) -> Callable[[Path], ImageSource]:
    """Return what opens a source by its own config, and by what lies there."""

    def read(path: Path) -> ImageSource:
        root = path.parent if path.parent.name == "folder" else path
        refused = None
        for config in (lambda: kind(path=root), lambda: detect_source(root)):
            try:
                source = open_source(config())
                assert source.fingerprint
            except DataError as error:
                refused = error
        if refused is not None:
            raise refused
        return source

    return read


def override(rng: random.Random | None, folder: Path) -> Path:
    """Write the text of an override."""
    if not rng:
        (folder / "set.txt").write_text("seed=5")
        return folder / "set.txt"
    text = damaged_yaml(rng, b"data: {source: digits}\nseed: 5\n").decode(errors="replace")
    key = rng.choice(("seed", "name", "data.source", "selection.name", "a.b", "", "fitness"))
    (folder / "set.txt").write_text(rng.choice((f"{key}={text}", text, f"{key}=[{text}]")))
    return folder / "set.txt"


def preset(rng: random.Random, content: bytes) -> bytes:
    return damaged_yaml(rng, preset_text(rng.choice(preset_names())).encode())


READERS = {
    "config": Reader(
        file("c.yaml", lambda: preset_text("digits").encode(), preset), load_config, (ConfigError,)
    ),
    "override": Reader(
        override, lambda p: load_config("digits", [p.read_text()]), (ConfigError,)
    ),
    "study": Reader(
        file("s.yaml", lambda: study_text("gaussians25").encode(), damaged_yaml),
        load_study,
        (ConfigError,),
    ),
    "journal": Reader(part_of("run", "journal.jsonl", resealed_journal), read_run),
    "snapshot": Reader(snapshot, sample_run, (ConfigError,)),
    "data.json": Reader(
        part_of("run", "data.json", damaged_json), open_sampler, (ConfigError,)
    ),
    "config.yaml": Reader(
        part_of("run", "config.yaml", damaged_yaml), open_sampler, (ConfigError,)
    ),
    "tracking.json": Reader(
        file("tracking.json", lambda: b'{"run_id": "a", "uri": "sqlite:///x.db", "described": true,'
             b' "logged": 3, "scored": -1, "artifacts": ["a.png"]}', damaged_json),
        lambda p: RunRecord(RunFolder(p.parent), load_config("gaussians8"), print),
    ),
    "outcome.json": Reader(
        file("outcome.json", lambda: b'{"status": "finished", "error": null}', damaged_json),
        lambda p: read_outcome(p.parent),
    ),
    "evaluations": Reader(
        file(
            "e.json", lambda: b'[{"against": "x", "values": {"fid-pixels-9": 1.5}}]', damaged_json
        ),
        read_records,
        (ConfigError,),
    ),
    "generator": Reader(
        part_of("generator", "generator.json", damaged_json), load_sampler, (ValueError,)
    ),
    "generator weights": Reader(
        part_of("generator", "weights.safetensors", damaged_safetensors),
        load_sampler,
        (ValueError,),
    ),
    "idx": Reader(file("i.idx", idx), opened(IdxConfig), (DataError,)),
    "idx.gz": Reader(
        file("i.idx.gz", lambda: gzip.compress(idx()), regzipped), opened(IdxConfig), (DataError,)
    ),
    "cifar": Reader(
        file("test_batch.bin", lambda: bytes(2 * 3073)), opened(CifarConfig), (DataError,)
    ),
    "npy": Reader(
        file("a.npy", (lambda: saved(lambda s: np.save(s, PIXELS)), objects)),
        opened(ArrayConfig),
        (DataError,),
    ),
    "npz": Reader(
        file("a.npz", lambda: saved(lambda s: np.savez_compressed(s, images=PIXELS,
             labels=np.arange(3))), damaged_zip),
        opened(ArrayConfig),
        (DataError,),
    ),
    "image zip": Reader(file("a.zip", image_zip, damaged_zip), opened(ImagesConfig), (DataError,)),
    "tags": Reader(file("t.zip", tagged_zip, damaged_zip), opened(ImagesConfig), (DataError,)),
    "bmp": Reader(file("folder/a.bmp", lambda: image("BMP")), opened(ImagesConfig), (DataError,)),
    "tiff": Reader(
        file("folder/a.tif", (lambda: image("TIFF"),
             lambda: image("TIFF", compression="tiff_adobe_deflate"))),
        opened(ImagesConfig),
        (DataError,),
    ),
    "png": Reader(
        file("folder/a.png", lambda: image("PNG"), damaged_png), opened(ImagesConfig), (DataError,)
    ),
    "jpeg": Reader(
        file("folder/a.jpg", (lambda: image("JPEG"), lambda: image("JPEG", progressive=True))),
        opened(ImagesConfig),
        (DataError,),
    ),
    "webp": Reader(
        file("folder/a.webp", (lambda: image("WEBP"), lambda: image("WEBP", lossless=True))),
        opened(ImagesConfig),
        (DataError,),
    ),
    "packed manifest": Reader(
        part_of("packed", "manifest.json", damaged_json),
        lambda p: open_source(PackedConfig(path=p)),
        (DataError,),
    ),
    "packed images": Reader(
        part_of("packed", "images.npy", damaged),
        lambda p: open_source(PackedConfig(path=p)),
        (DataError,),
    ),
    "statistics": Reader(file("s.npz", statistics, damaged_zip), read_statistics, (ValueError,)),
    "classifier": Reader(
        file("c.safetensors", classifier,
             damaged_safetensors),
        load_classifier,
        (WeightsError,),
    ),
    "inception": Reader(
        file("i.pth", (lambda: torch_bytes({"fc.bias": torch.zeros(1008)}),
                       lambda: torch_bytes({"fc.bias": 5}),
                       lambda: pickle.dumps(Planted()),
                       lambda: torch_bytes({"fc.bias": Planted()})), damaged_torch),
        lambda p: inception_space(p, check_hash=False),
        (WeightsError,),
    ),
    "stylegan": Reader(
        file("s.pt", (lambda: style_file(False), lambda: style_file(True),
                      lambda: torch_bytes({"g_running": {5: torch.zeros(1)}}),
                      lambda: pickle.dumps({"a": Planted()}),
                      lambda: torch_bytes({"a": Planted()})), damaged_torch),
        read_style,
        (ValueError,),
    ),
    "stylegan safetensors": Reader(
        file("s.safetensors", lambda: safetensors_bytes(
            {name: tensor.numpy() for name, tensor in style_tensors().items()}),
            damaged_safetensors),
        read_style,
        (ValueError,),
    ),
}  # fmt: skip
