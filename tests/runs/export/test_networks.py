"""Networks of every kind as modules that hold their weights, and as ONNX files."""

import json
from importlib.util import find_spec

import pytest
import torch
from pydantic import TypeAdapter

from egan.backbones import BackboneConfig
from egan.backbones.progressive.growth import Stage
from egan.data.condition import ConditionCard, Conditions
from egan.data.pairs import Partner
from egan.games import GameRules, build_game
from runs.export.networks import exportable_sampler, exportable_translator
from runs.export.onnx import PACKAGES, TOLERANCE, free_axes, write_onnx
from runs.sampling.sampler import Sampler
from runs.sampling.translator import with_shapes

with_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in PACKAGES), reason="the extra [onnx] is not installed"
)
CLASSES = Conditions("labels", 3, ("a", "b", "c"), (0.5, 0.25, 0.25))
STYLES = {"latent": 4, "style": 4, "mapping_layers": 2, "fmap_base": 64, "fmap_max": 8}
GENERATORS = {
    "mlp": ({"name": "mlp", "latent": 3, "width": 8, "depth": 2}, (2,)),
    "dcgan": ({"name": "dcgan", "latent": 5, "width": 4}, (1, 16, 16)),
    "dcgan-classes": (
        {"name": "dcgan", "latent": 5, "width": 4, "condition": "projection"}, (3, 16, 16)
    ),
    "maxout-classes": ({"name": "maxout"}, (1, 8, 8)),
    "progan": ({"name": "progan", "latent": 4, "fmap_base": 64, "fmap_max": 8}, (3, 16, 16)),
    "r3gan": ({"name": "r3gan", "latent": 5, "width": 8, "blocks": 1, "group": 4}, (3, 16, 16)),
    "stylegan": ({"name": "stylegan", **STYLES}, (3, 16, 16)),
    "stylegan-truncated": ({"name": "stylegan", **STYLES}, (3, 16, 16)),
    "stylegan-early": ({"name": "stylegan", **STYLES}, (3, 16, 16)),
    "stylegan-classes": ({"name": "stylegan", **STYLES}, (3, 16, 16)),
    "stylegan-modulated": (
        {"name": "stylegan", **STYLES, "norm": "demodulation", "rgb": "sum", "path_weight": 2,
         "filter_taps": 4},
        (3, 16, 16),
    ),
}  # fmt: skip
TRANSLATORS = {
    "unet": {"name": "unet", "width": 2, "downs": 5},
    "unet-evaluation": {"name": "unet", "width": 2, "downs": 2, "inference": "evaluation"},
    "unet-without-skips": {"name": "unet", "width": 2, "downs": 3, "norm": "none", "skips": False},
    "resnet": {"name": "resnet", "width": 2, "blocks": 1, "upsampling": "resized"},
    "resnet-dropout": {"name": "resnet", "width": 2, "blocks": 1, "dropout": 0.5},
}


def weights_of(game):
    """Return weights drawn at random, with buffers that matter."""
    stream = torch.Generator().manual_seed(3)
    found = {role: function.initialise(stream) for role, function in game.generators.items()}
    for weights in found.values():
        weights.params.add_(torch.randn(weights.params.shape, generator=stream), alpha=0.1)
        for buffer in weights.buffers.values():
            if buffer.is_floating_point():
                buffer.add_(torch.rand(buffer.shape, generator=stream), alpha=0.05)
    return found


def sampler(kind):
    values, shape = GENERATORS[kind]
    backbone = TypeAdapter(BackboneConfig).validate_python(values)
    told = CLASSES if kind.endswith("-classes") else None
    game = build_game(backbone, shape, told, GameRules())
    card = None if told is None else ConditionCard(told, (2, 1, 1))
    stage = Stage(8, 0.5) if kind.endswith("-early") else None
    psi = 0.5 if kind.endswith("-truncated") else None
    return Sampler(game, weights_of(game), shape, stage, psi, conditions=card)


def translator(kind):
    backbone = TypeAdapter(BackboneConfig).validate_python(TRANSLATORS[kind])
    shape, partner = (1, 32, 32), Partner((3, 32, 32), kind.startswith("unet"))
    game = build_game(backbone, shape, None, GameRules(), partner)
    return with_shapes(game, weights_of(game), backbone, shape, partner)


def network_of(kind):
    if kind in GENERATORS:
        return exportable_sampler(sampler(kind))
    one = translator(kind)
    return exportable_translator(one, one.factor)


@pytest.mark.parametrize("kind", [*GENERATORS, *TRANSLATORS])
def test_a_module_with_its_weights_computes_what_the_run_does(kind):
    network = network_of(kind)
    for inputs, wanted in network.checks:
        with torch.no_grad():
            made = network.module(*inputs.values())
        assert made.shape == wanted.shape and wanted.std() > 0.01
        assert torch.allclose(made, wanted, atol=1e-5)


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["dcgan-classes", "stylegan", "stylegan-modulated", "resnet"])
def test_any_number_of_samples_can_be_asked_of_what_is_exported(kind):
    """What the exporter traces: `write_onnx` needs packages that are not always installed."""
    network = network_of(kind)
    with torch.no_grad():
        example = tuple(network.example.values())
        program = torch.export.export(
            network.module, example, dynamic_shapes=(free_axes(network),), strict=False
        ).module()
        for inputs, wanted in network.checks:
            assert torch.allclose(program(*inputs.values()), wanted, atol=1e-5)


@with_onnx
@pytest.mark.long
@pytest.mark.parametrize("kind", [*GENERATORS, *TRANSLATORS])
def test_an_onnx_file_computes_the_same(kind, tmp_path):
    import onnx

    network = network_of(kind)
    assert write_onnx(network, tmp_path / "a.onnx", {"origin": "x"}) <= TOLERANCE
    model = onnx.load(tmp_path / "a.onnx")
    assert [put.name for put in model.graph.input] == list(network.example)
    told = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert told["origin"] == "x" and (told.get("condition") == ["a", "b", "c"]) == (
        kind.endswith("-classes")
    )
