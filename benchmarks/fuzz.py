"""Damaged files for every reader: python benchmarks/fuzz.py [--seconds S] [--readers A,B].

Each reader gets sound files that were damaged with knowledge of their structure: bytes flipped,
cut, repeated and put in; numbers in headers replaced; JSON values replaced by strange ones and the
checksums made right again, so that damage reaches what lies behind them; names, tags, aliases and
pickles that mean harm. A reader may read the file, or raise its one documented error. Anything else
is a failure: another exception, more than LIMIT seconds, more memory than ROOM, a started process,
an opened connection, a planted command that ran.

Every reader is fuzzed in a process of its own, whose memory is limited and whose peak is reported.
The inputs follow from --seed. `tests/fuzz` runs the same readers and damage under hypothesis.
"""

import argparse
import gzip
import hashlib
import io
import json
import multiprocessing
import pickle
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.numpy import save as safetensors_bytes

from egan.backbones.stylegan import networks as stylegan
from egan.backbones.stylegan.ports import convert, published_origins, read_port
from egan.data import DataError, detect_source, open_source, prepare
from egan.data.config import ArrayConfig, CifarConfig, IdxConfig, ImagesConfig, PackedConfig
from fitness.features.base import WeightsError
from fitness.features.classifier import ClassifierSpace, SmallClassifier
from runs.common.errors import ConfigError
from runs.config.schema import load_config
from runs.display.inspection import inspect_run
from runs.evaluation.records import read_records
from runs.evaluation.spaces import load_classifier, save_classifier
from runs.evaluation.statistics_file import load_statistics
from runs.evaluation.weights import inception_space
from runs.presets import preset_names, preset_text
from runs.sampling.generators import load_sampler, save_generator
from runs.sampling.opening import open_sampler
from runs.store.folder import RunFolder
from runs.store.journal import read_journal, read_journal_from, seal
from runs.store.replay import read_past
from runs.store.snapshots import _seal, newest, snapshots
from runs.studies import study_text
from runs.study.records import read_outcome
from runs.study.study import load_study
from runs.tracking.record import Record
from runs.training.driver import evolve

LIMIT = 20  # seconds for one input
ROOM = 6 * 2**30  # bytes of address space beyond what the process has when it begins
CANARY = "a-planted-command-ran"
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
BOMBS = (2**16, 2**20, 2**20, 2**25)  # zeros
HARM = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect")
NUMBERS = (0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
NAMES = ("../../etc/x", "/etc/x", "a\x1b[31m", "a\0b", "C:\\x", "..\\x", "x" * 5000, "", "\u202e")


Write = Callable[[random.Random | None, Path], Path]
"""Puts an input into an empty folder: damaged, or with None a sound one; returns where to read."""


class Planted:
    """What a pickle would run when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(CANARY),)


# ------------------------------------------------------------------------------------------ damage


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Return bytes with one to three pieces of damage."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = _hurt(rng, content)
    return content


def _hurt(rng: random.Random, content: bytes) -> bytes:
    at = rng.randint(0, min(len(content), rng.choice((40, 400, len(content)))))
    length = rng.choice((1, 2, 4, 8, 40))
    match rng.choice(("flip", "cut", "drop", "repeat", "splice", "number", "append", "zero")):
        case "flip" if at < len(content):
            return (
                content[:at] + bytes([content[at] ^ (1 << rng.randint(0, 7))]) + content[at + 1 :]
            )
        case "cut":
            return content[:at]
        case "drop":
            return content[:at] + content[at + length :]
        case "repeat":
            part = content[at : at + 16 * length]
            return content[:at] + part * rng.choice((2, 3, 100)) + content[at:]
        case "splice":
            return content[:at] + rng.randbytes(length) + content[at + length :]
        case "number":
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice(NUMBERS) % 256**width
            order = rng.choice(("little", "big"))
            return content[:at] + value.to_bytes(width, order) + content[at + width :]
        case "append":
            return content + rng.randbytes(length)
        case "zero":
            return content[:at] + bytes(length) + content[at + length :]
    return content


def strange(rng: random.Random) -> Any:
    """Return a JSON value that nobody would write."""
    return rng.choice(
        (
            None, True, -1, 0, 1e308, float("nan"), float("inf"), 2**63, -(2**70), 10**300, 0.5, "",
            [], {}, [[]], [None], {"": None}, "x" * 2000, [0] * 2000, {"a": {"b": {"c": [1]}}},
            *NAMES, "\ud800", [1, "a", None], deep(rng.choice((10, 500))),
        )
    )  # fmt: skip


def deep(levels: int) -> Any:
    """Return a list in a list, so many times."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def changed(rng: random.Random, value: Any) -> Any:
    """Return JSON values with one of them replaced, left out, doubled or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        match rng.choice(("inside", "inside", "inside", "drop", "rename", "add")):
            case "inside":
                return value | {key: changed(rng, value[key])}
            case "drop":
                return {k: v for k, v in value.items() if k != key}
            case "rename":
                return {(strange_name(rng) if k == key else k): v for k, v in value.items()}
            case _:
                return value | {strange_name(rng): strange(rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        match rng.choice(("inside", "inside", "drop", "repeat")):
            case "inside":
                return [*value[:at], changed(rng, value[at]), *value[at + 1 :]]
            case "drop":
                return value[:at] + value[at + 1 :]
            case _:
                return value + [value[at]] * rng.choice((1, 50))
    return strange(rng)


def strange_name(rng: random.Random) -> str:
    """Return a key that is not the one."""
    return rng.choice((*NAMES, "name", "generation", "scoring", "__class__"))


def to_json(value: Any) -> bytes:
    """Return a value as JSON; what is not finite as Python writes it."""
    return json.dumps(value).encode()


def damaged_json(rng: random.Random, content: bytes) -> bytes:
    """Return a JSON file with a value changed, or bytes damaged."""
    if rng.random() < 0.3:
        return damaged(rng, content)
    if rng.random() < 0.05:
        return b"[" * 100_000
    return to_json(changed(rng, json.loads(content)))


def damaged_zip(rng: random.Random, content: bytes) -> bytes:
    """Return an archive with bytes damaged, or with an entry damaged or renamed and sound sums."""
    if rng.random() < 0.4:
        return damaged(rng, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = rng.randrange(len(entries))
    name, inner = entries[at]
    match rng.choice(("inside", "inside", "inside", "rename", "link", "repeat", "bomb")):
        case "inside":
            hurt = damaged_json if name.endswith(".json") else damaged
            entries[at] = (name, hurt(rng, inner))
        case "rename":
            entries[at] = (rng.choice(NAMES).replace("\0", "") + name, inner)
        case "link":
            entries[at] = (f"{name}?link", b"/etc/passwd")
        case "repeat":
            entries += [(f"{place}{name}", inner) for place in range(rng.choice((1, 50)))]
        case _:
            entries[at] = (name, inner[:200] + bytes(rng.choice(BOMBS)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, inner in entries:
            info = zipfile.ZipInfo(name.removesuffix("?link"))
            info.compress_type = zipfile.ZIP_DEFLATED
            if name.endswith("?link"):
                info.external_attr = 0o120777 << 16
            archive.writestr(info, inner)
    return stream.getvalue()


def damaged_png(rng: random.Random, content: bytes) -> bytes:
    """Return a PNG file with damage inside its chunks, and their checksums right."""
    if rng.random() < 0.3:
        return damaged(rng, content)
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    place = rng.randrange(len(chunks))
    kind, inner = chunks[place]
    chunks[place] = (kind, damaged(rng, inner))
    if rng.random() < 0.2:
        text = b"a\0\0" + zlib.compress(bytes(rng.choice(BOMBS)))
        chunks.insert(1, (b"zTXt", text))
    out = content[:8]
    for kind, inner in chunks:
        out += struct.pack(">I", len(inner)) + kind + inner
        out += struct.pack(">I", zlib.crc32(kind + inner))
    return out


def damaged_safetensors(rng: random.Random, content: bytes) -> bytes:
    """Return a safetensors file with bytes damaged, or its header changed and its length right."""
    if rng.random() < 0.3:
        return damaged(rng, content)
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    match rng.choice(("change", "change", "dtype", "shape")):
        case "change":
            header = changed(rng, header)
        case kind:
            name = rng.choice([name for name in header if name != "__metadata__"])
            types = ("F64", "F32", "F16", "BF16", "F8_E4M3", "I64", "U8", "BOOL", "C64", "X9")
            shape = [[], [0], [-1], [2**62], [1, 1, 1, 1]]
            header[name][kind] = rng.choice(types if kind == "dtype" else shape)
    written = to_json(header)
    return struct.pack("<Q", len(written)) + written + content[8 + length :]


YAML_PIECES = (
    "&a [*a]", f"!!python/object/apply:os.mknod [{CANARY}]", "!!timestamp x", "!!int ''",
    "!!float ''", "!!bool x", "!!binary é", "!!set {a, b}", "!!omap [a]", "0x" + "f" * 6000,
    ":".join(["1"] * 400) + ".5", ":".join(["1"] * 6000), "<<: [x]", "{<<: *a}", ".nan", "-.inf",
    "2001-01-01", "? [a]\n: b", "{[a]: b}", "!!str", "|\n  x", "'\\x1b[31m'", '"\\x1b]0;x\\a"',
)  # fmt: skip


def damaged_yaml(rng: random.Random, content: bytes) -> bytes:
    """Return a YAML file with bytes damaged, values changed, or odd pieces in it."""
    match rng.choice(("bytes", "values", "piece", "piece", "bomb", "merges", "keys")):
        case "bytes":
            return damaged(rng, content)
        case "values":
            return yaml.safe_dump(changed(rng, yaml.safe_load(content)), sort_keys=False).encode()
        case "piece":
            lines = content.decode().splitlines()
            at = rng.randrange(len(lines))
            key = lines[at].partition(":")[0]
            lines[at] = f"{key}: {rng.choice(YAML_PIECES)}"
            return "\n".join(lines).encode()
        case "keys":
            return content + b"".join(b"k%d: 1\n" % n for n in range(30_000))
        case kind:
            levels = ["a0: &a0 {x: 1, y: 2}"]
            many = rng.choice((2, 10))
            for n in range(1, rng.choice((3, 12, 25))):
                inner = ", ".join([f"*a{n - 1}"] * many)
                levels.append(f"a{n}: &a{n} " + (f"{{<<: [{inner}]}}" if kind == "merges" else
                                                 f"[{inner}]"))  # fmt: skip
            key = rng.choice(("name", "selection", "strategies", "data", "set"))
            return "\n".join([*levels, f"{key}: *a{n}"]).encode() + b"\n" + content


# ------------------------------------------------------------------------------------- sound files


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


@cache
def idx() -> bytes:
    return bytes([0, 0, 8, 3]) + struct.pack(">3I", *PIXELS.shape) + PIXELS.tobytes()


@cache
def image(kind: str, **options: Any) -> bytes:
    return saved(lambda stream: Image.fromarray(PIXELS[0]).save(stream, kind, **options))


@cache
def image_zip() -> bytes:
    def save(stream: io.BytesIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as written:
            written.writestr("a/x.png", image("PNG"))
            written.writestr("b/y.png", image("PNG"))
            written.writestr("dataset.json", '{"labels": [["a/x.png", 1], ["b/y.png", 0]]}')

    return saved(save)


@cache
def objects() -> bytes:
    """A .npy file of pickled objects that run a command when they are read."""
    array = np.array([Planted()], object)
    return saved(lambda stream: np.save(stream, array, allow_pickle=True))


@cache
def statistics() -> bytes:
    arrays = {"mu": np.zeros(4), "sigma": np.eye(4), "space": np.array("pixels")}
    arrays |= {"identity": np.array("x"), "count": np.array(9), "shape": np.array([3, 8, 8])}
    return saved(lambda stream: np.savez(stream, **arrays))


@cache
def made() -> Path:
    """Return a folder with a run, a packed set, a generator, a classifier; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-sound-"))
    settings = ["generations=6", "backbone.width=4", "backbone.depth=1", "tracking.enabled=false",
                "execution.executor=local", "checkpoint.every=3", "population.batch=8",
                "fitness.batch=8"]  # fmt: skip
    config = load_config("gaussians8", settings)
    evolve(config, folder / "run")
    exported = newest(folder / "run" / "snapshots")[0]
    assert exported is not None
    save_generator(folder / "generator", config, (2,), exported)
    np.save(folder / "images.npy", PIXELS)
    prepare(folder / "images.npy", folder / "packed", 8)
    network = SmallClassifier(3, 2).eval()
    save_classifier(ClassifierSpace(network, 0.5), folder / "classifier.safetensors")
    return folder


@cache
def style_network() -> Any:
    config = stylegan.StyleGANConfig(latent=4, style=4, mapping_layers=2, fmap_base=16, fmap_max=4)
    return stylegan.build(config, (3, 8, 8)).generator


@cache
def style_tensors() -> dict[str, torch.Tensor]:
    """A generator's file in the published layout: our own shapes under the published names."""
    function = style_network()
    named = function.named(function.initialise(torch.Generator().manual_seed(0)).params)
    origins = published_origins(function.module, {})
    tensors = {origin.key: named[name].clone() for name, origin in origins.items()}
    key = "g_synthesis.blocks.4x4.const"
    return tensors | {key: tensors[key].unsqueeze(0)}


def classifier() -> bytes:
    return (made() / "classifier.safetensors").read_bytes()


def torch_bytes(value: Any) -> bytes:
    return saved(lambda stream: torch.save(value, stream))


@cache
def style_file(odd: bool) -> bytes:
    return torch_bytes(views() if odd else style_tensors())


def views() -> dict[str, torch.Tensor]:
    """The same with tensors that claim more than they hold, or of odd kinds."""
    one = torch.ones(1)
    odd = (one.expand(2**20, 2**20), one.to(torch.complex64), torch.empty(3, device="meta"),
           one.to_sparse(), torch.zeros(()), torch.zeros(0), one.to(torch.int8))  # fmt: skip
    names = list(style_tensors())
    return style_tensors() | {names[place]: tensor for place, tensor in enumerate(odd)}


# ------------------------------------------------------------------------------------------ readers


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


def damaged_torch(rng: random.Random, content: bytes) -> bytes:
    """Damage torch's own format, an uncompressed .zip with a pickle in it; or a bare pickle."""
    hurt = damaged_zip if zipfile.is_zipfile(io.BytesIO(content)) else damaged
    return hurt(rng, content)


def regzipped(rng: random.Random, content: bytes) -> bytes:
    """Damage a .gz file, or what is in it; or make it a bomb."""
    match rng.choice(("file", "inside", "bomb")):
        case "file":
            return damaged(rng, content)
        case "inside":
            return gzip.compress(damaged(rng, gzip.decompress(content)))
    sizes = struct.pack(">3I", 2 ** rng.choice((4, 16)), 2**8, 2**8)
    return gzip.compress(bytes([0, 0, 8, 3]) + sizes + bytes(rng.choice(BOMBS)), 1)


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


def read_run(path: Path) -> None:
    """Read a run as resume, inspect and sample do."""
    list(read_journal_from(path / "journal.jsonl", 0))
    list(read_journal(path / "journal.jsonl"))
    read_past(RunFolder(path))
    inspect_run(path)


def sample_run(path: Path) -> None:
    read_past(RunFolder(path))
    open_sampler(path)[0](2, 0)


def read_statistics(path: Path) -> None:
    load_statistics(path, space="pixels")


def read_style(path: Path) -> None:
    convert(read_port(path), style_network(), torch.Generator().manual_seed(0))


def opened(kind: Callable[..., Any]) -> Callable[[Path], None]:
    """Return what opens a source by its own config, and by what lies there."""

    def read(path: Path) -> None:
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
        lambda p: Record(RunFolder(p.parent), load_config("gaussians8")),
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


# ----------------------------------------------------------------------------------------- campaign


class Harm(BaseException):
    """Something was started or connected to that a reader has no business with."""


class _Watch:
    """Whether a reader is reading."""

    on = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _Watch.on and event in HARM:
        raise Harm(f"{event} {arguments!r:.200}")


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[None]:
    """Refuse processes and connections while a reader reads; time it out."""

    def late(number: int, frame: Any) -> None:
        raise Harm(f"not done in {LIMIT} s")

    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    _Watch.on = True
    try:
        yield
    finally:
        _Watch.on = False
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def try_one(reader: Reader, rng: random.Random, folder: Path) -> tuple[bool, str | None]:
    """Return whether a damaged input was read, and what failed, if anything did."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = reader.write(rng, folder)
    try:
        with watched(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
        read, failure = True, None
    except reader.errors as error:
        read, failure = False, None if str(error) else "an error without a text"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)[-1]
        read = False
        failure = f"{type(error).__name__} in {Path(last.filename).name} {last.name}: {error!s:.90}"
    if Path(CANARY).exists():
        Path(CANARY).unlink()
        failure = "a planted command ran"
    return read, failure


@dataclass
class Found:
    """What came of one reader."""

    inputs: int = 0
    read: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    peak: int = 0  # bytes of resident memory beyond what was there before
    failures: dict[str, int] = field(default_factory=dict)


def campaign(name: str, seconds: float, seed: int) -> Found:
    """Fuzz one reader for a time."""
    torch.set_num_threads(1)
    made()
    reader, rng, found = READERS[name], random.Random(f"{seed} {name}"), Found()
    keep = Path(tempfile.mkdtemp(prefix="fuzz-")) / "input"
    address = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (address + ROOM, resource.RLIM_INFINITY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        began = time.perf_counter()
        read, failure = try_one(reader, rng, keep)
        found.slowest = max(found.slowest, time.perf_counter() - began)
        found.inputs += 1
        found.read += read
        if failure is not None:
            found.failures[failure] = found.failures.get(failure, 0) + 1
    found.seconds = time.perf_counter() - start
    found.peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    shutil.rmtree(keep.parent)
    return found


def _child(name: str, seconds: float, seed: int, pipe: Any) -> None:
    pipe.send(campaign(name, seconds, seed))


def main() -> None:
    """Fuzz the readers one after another and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--readers", help=f"some of: {', '.join(READERS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = arguments.readers.split(",") if arguments.readers else list(READERS)
    made()
    results: dict[str, Found] = {}
    print("| reader | inputs | read | refused | failures | slowest, s | memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        ours, theirs = multiprocessing.get_context("fork").Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=_child, args=(name, arguments.seconds, arguments.seed, theirs)
        )
        process.start()
        theirs.close()
        try:
            found = ours.recv()
        except EOFError:
            found = Found(failures={"the process died": 1})
        process.join()
        results[name] = found
        failed = sum(found.failures.values())
        print(
            f"| {name} | {found.inputs} | {found.read} | {found.inputs - found.read - failed} | "
            f"{failed} | {found.slowest:.2f} | {found.peak / 2**20:.0f} |",
            flush=True,
        )
        for text, count in found.failures.items():
            print(f"  {count} times {text}", file=sys.stderr, flush=True)
    inputs = sum(found.inputs for found in results.values())
    print(f"\n{inputs} inputs in {sum(f.seconds for f in results.values()):.0f} s")
    if arguments.json:
        values = {name: vars(found) for name, found in results.items()}
        arguments.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(made())
    sys.exit(any(found.failures for found in results.values()))


if __name__ == "__main__":
    main()
