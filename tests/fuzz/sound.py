"""Sound files and folders, one for every reader, made once and kept in memory or in one folder."""

import io
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from egan.backbones.stylegan import networks as stylegan
from egan.backbones.stylegan.layouts import published_origins
from egan.data import prepare
from fitness.features.classifier import ClassifierSpace, SmallClassifier
from runs.config.loading import load_config
from runs.evaluation.spaces import save_classifier
from runs.sampling.generators import save_generator
from runs.store.folder import RunFolder
from runs.store.snapshots import newest
from runs.training.driver import evolve
from tests.fuzz.damage import Planted

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)


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
def tagged_zip() -> bytes:
    def save(stream: io.BytesIO) -> None:
        with zipfile.ZipFile(stream, "w") as written:
            written.writestr("x.png", image("PNG"))
            written.writestr("y.png", image("PNG"))
            written.writestr("tags.csv", "file,red,round\nx.png,1,0.5\n./y.png,0,-1\n")

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
    save_generator(folder / "generator", config, RunFolder(folder / "run").load_data(), exported)
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
