"""A port's weights, converted: looked at, scored, and evolved."""

import json
import shutil

import numpy as np
import pytest
import torch

from egan.backbones import build_networks
from egan.backbones.stylegan.ports import backbone_of, convert
from fitness.features.classifier import ClassifierSpace
from runs.common.errors import ConfigError
from runs.evaluation.spaces import save_classifier
from runs.sampling.opening import open_sampler
from runs.training.driver import evolve, resume
from runs.training.inherited import note_on_first_parent

CHANNELS, LATENT = {4: 6, 8: 6, 16: 4}, 5
EVOLVED = """\
seed: 2
generations: 4
data: {source: digits, resolution: 16}
backbone:
  {name: stylegan, latent: 5, style: 5, mapping_layers: 2, fmap_base: 32, fmap_max: 6}
population: {batch: 8, mutations: [minimax, heuristic]}
fitness: {batch: 8}
execution: {executor: local}
checkpoint: {every: 2}
tracking: {enabled: false}
"""


pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A file of the published layout for grey images of 16 pixels, random."""
    stream = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=stream)

    tensors, before = {}, CHANNELS[4]
    for layer in range(2):
        tensors[f"g_mapping.dense{layer}.weight"] = draw(LATENT, LATENT) / 0.01
        tensors[f"g_mapping.dense{layer}.bias"] = draw(LATENT)
    for side, channels in CHANNELS.items():
        own = f"g_synthesis.blocks.{side}x{side}"
        if side == 4:
            tensors[f"{own}.const"], tensors[f"{own}.bias"] = (
                draw(1, channels, 4, 4),
                draw(channels),
            )
        else:
            tensors[f"{own}.conv0_up.weight"] = draw(channels, before, 3, 3)
            tensors[f"{own}.conv0_up.bias"] = draw(channels)
        conv = "conv" if side == 4 else "conv1"
        tensors[f"{own}.{conv}.weight"] = draw(channels, channels, 3, 3)
        tensors[f"{own}.{conv}.bias"] = draw(channels)
        for number in (1, 2):
            tensors[f"{own}.epi{number}.top_epi.noise.weight"] = draw(channels)
            tensors[f"{own}.epi{number}.style_mod.lin.weight"] = draw(2 * channels, LATENT)
            tensors[f"{own}.epi{number}.style_mod.lin.bias"] = draw(2 * channels)
        before = channels
    tensors |= {
        "g_synthesis.torgb.weight": draw(1, before, 1, 1),
        "g_synthesis.torgb.bias": draw(1),
    }
    path = tmp_path_factory.mktemp("port") / "port.pth"
    torch.save(tensors, path)
    return path


@pytest.fixture(scope="module")
def converted(port, invoke, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "generator"
    said = invoke("convert", port, "--out", folder)
    assert said.exit_code == 0
    assert "images 1 x 16 x 16" in said.stdout
    keys = "latent: 5, style: 5, mapping_layers: 2, mapping_multiplier: 0.01, fmap_base: 32"
    assert f"{keys}, fmap_max: 6" in said.stdout
    return folder


def test_its_images_are_those_of_the_converter(port, converted):
    tensors = torch.load(port, weights_only=True)
    config, shape = backbone_of(tensors)
    generator = build_networks(config, shape).generator
    weights = convert(tensors, generator, torch.Generator().manual_seed(0))
    sampler, name = open_sampler(converted)
    assert name == "generator"
    latents = sampler.inputs(4, 1)
    with torch.no_grad():
        expected, _ = generator(weights, latents, training=False)
    assert torch.equal(torch.cat(list(sampler.floats(latents))), expected)
    assert sampler.weights["generator"].buffers["mapping.mean"].any()


@pytest.mark.parametrize(
    "command",
    [
        ("sample", "--truncation", "0.5", "--count", 4),
        ("mix", "--columns", 2, "--rows", 1),
        ("interpolate", "--points", 2, "--frames", 2, "--space", "w"),
        ("noise", "--columns", 2, "--rows", 1),
    ],
    ids=lambda command: command[0],
)
def test_the_tools_take_it_in_a_runs_place(command, converted, invoke, tmp_path):
    name, *options = command
    result = invoke(name, converted, "--out", tmp_path / "a.png", *options)
    assert result.exit_code == 0 and "generator" in result.stdout
    assert (tmp_path / "a.png").stat().st_size


def test_it_is_scored_against_data_that_are_named(converted, port, invoke, refusal, tmp_path):
    np.savez(
        tmp_path / "reals.npz",
        images=np.random.default_rng(0).integers(0, 256, (60, 16, 16), np.uint8),
    )
    protocol = ("--metrics", "fid,ppl-w-end", "--space", "pixels", "--count", 50)
    result = invoke("evaluate", converted, "--against", tmp_path / "reals.npz", *protocol, "--json")
    assert set(json.loads(result.stdout)["values"]) == {"fid-pixels-50", "ppl-w-end-pixels-50"}
    assert "name the real images with --against DATA" in refusal("evaluate", converted, *protocol)
    alone = invoke("evaluate", converted, *protocol[:1], "ppl-w-end", *protocol[2:]).stdout
    assert "ppl-w-end-pixels-50" in alone and "against" not in alone  # no real image takes part
    assert sorted(path.name for path in converted.iterdir()) == [
        "generator.json",
        "weights.safetensors",
    ]


def test_a_classifiers_file_tells_images_apart_without_real_ones(converted, invoke, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 16, 16), np.uint8)
    space = ClassifierSpace.trained(torch.from_numpy(images), torch.arange(60) % 2)
    save_classifier(space, file := tmp_path / "classifier.safetensors")
    protocol = ("--metrics", "separability-w,ppl-w-end", "--count", 50, "--weights", file)
    shown = json.loads(invoke("evaluate", converted, *protocol, "--json").stdout)
    assert set(shown["values"]) == {"separability-w-classifier-50", "ppl-w-end-classifier-50"}
    assert shown["attributes_identity"] == [shown["space_identity"]] == [space.identity]


def test_a_run_starts_from_it_and_has_its_bits_after_a_stop(converted, config_of, tmp_path):
    config = config_of(EVOLVED, population__first_parent=str(converted))
    whole = evolve(config, tmp_path / "whole")
    evolve(
        config_of(EVOLVED, generations=2, population__first_parent=str(converted)),
        tmp_path / "part",
    )
    stopped = resume(tmp_path / "part", generations=4)
    assert stopped.checksum == whole.checksum
    assert "sha256" in (tmp_path / "part" / "config.yaml").read_text()
    # From the start again, where no snapshot is left: the file is read once more.
    for snapshot in (tmp_path / "part" / "snapshots").iterdir():
        shutil.rmtree(snapshot)
    assert resume(tmp_path / "part").checksum == whole.checksum


def test_a_run_whose_first_parent_has_gone_goes_on_only_where_it_is(
    converted, config_of, invoke, tmp_path
):
    folder = shutil.copytree(converted, tmp_path / "generator")
    evolve(
        config_of(EVOLVED, generations=2, population__first_parent=str(folder)), tmp_path / "run"
    )
    shutil.rmtree(folder)
    with pytest.raises(ConfigError, match=r"population\.first_parent: .*cannot be read here"):
        resume(tmp_path / "run", generations=4)
    assert "generations: 2" in (tmp_path / "run" / "config.yaml").read_text()
    for command in (("inspect",), ("sample", "--count", 4, "--out", tmp_path / "a.png")):
        assert invoke(command[0], tmp_path / "run", *command[1:]).exit_code == 0


def test_a_generator_of_another_resolution_is_no_first_parent(converted, config_of, tmp_path):
    config = config_of(EVOLVED, data__resolution=32, population__first_parent=str(converted))
    with pytest.raises(
        ConfigError, match=r"first_parent: .*not of this config's backbone and data"
    ):
        evolve(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_that_another_multiplier_scales_are_no_first_parent(converted, config_of, tmp_path):
    config = config_of(
        EVOLVED, backbone__mapping_multiplier=0.1, population__first_parent=str(converted)
    )
    with pytest.raises(ConfigError, match=r"with backbone\.mapping_multiplier: 0\.01, .* is 0\.1"):
        evolve(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_first_parent_that_made_other_images_of_its_weights_is_told(
    converted, config_of, tmp_path
):
    keys = {"filter_taps": 4, "discriminator": "residual", "checkpoint": True}
    changes = {f"backbone__{key}": value for key, value in keys.items()}
    parent = {"population__first_parent": str(converted)}
    said = (
        "note: the first parent had backbone.filter_taps: 3, here 4: the same weights make other "
        "samples"
    )
    assert note_on_first_parent(config_of(EVOLVED, **parent, **changes)) == said
    assert note_on_first_parent(config_of(EVOLVED, **parent)) is None
    assert note_on_first_parent(config_of(EVOLVED, **changes)) is None
    alone = shutil.copytree(converted, tmp_path / "alone")
    for text in ("{}", "[]", "no", '{"backbone": {"name": "no:no"}}'):
        (alone / "generator.json").write_text(text)
        parent = {"population__first_parent": str(alone)}
        found = note_on_first_parent(config_of(EVOLVED, **parent, **changes))
        assert (found is None) == ("no:no" not in text)


def test_a_run_says_that_its_first_parent_made_other_images(converted, invoke, tmp_path):
    (tmp_path / "evolved.yaml").write_text(EVOLVED)
    keys = (f"population.first_parent={converted}", "backbone.output=tanh", "generations=1")
    options = [part for key in keys for part in ("--set", key)]
    begun = invoke("train", tmp_path / "evolved.yaml", *options, "--output", tmp_path / "run")
    assert begun.exit_code == 0
    assert "the first parent had backbone.output: linear, here tanh" in begun.output
    assert "first parent had" not in invoke("resume", tmp_path / "run", "--generations", 2).output


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ray_workers_start_from_the_same_file(converted, config_of, tmp_path):
    changes = {"generations": 2, "population__first_parent": str(converted)}
    local = evolve(config_of(EVOLVED, **changes), tmp_path / "local")
    workers = {"execution": {"executor": "ray", "workers": 2}}
    assert (
        evolve(config_of(EVOLVED, **changes, **workers), tmp_path / "ray").checksum
        == local.checksum
    )


def test_what_cannot_be_converted_leaves_nothing(port, converted, refusal, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "text.pth").write_text("no")
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    assert "no such file" in refusal("convert", tmp_path / "none.pth", "--out", out)
    assert "text.pth is neither" in refusal("convert", tmp_path / "text.pth", "--out", out)
    assert "not a known layout" in refusal("convert", tmp_path / "other.pth", "--out", out)
    assert "generator has 4, 8, 16" in refusal("convert", port, "--out", out, "--resolution", 32)
    assert "do not belong to a generator of 8" in refusal(
        "convert", port, "--out", out, "--resolution", 8
    )
    assert not out.exists()
    assert "is there already, and not empty" in refusal("convert", port, "--out", converted)


def test_a_damaged_folder_is_named(converted, refusal, tmp_path):
    folder = shutil.copytree(converted, tmp_path / "generator")
    (folder / "weights.safetensors").write_bytes(b"cut")
    message = refusal("sample", folder, "--out", tmp_path / "a.png")
    assert "does not hold a whole generator" in message and "weights.safetensors" in message
