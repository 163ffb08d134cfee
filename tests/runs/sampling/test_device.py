"""On which device samples are made, and that nothing of them stays on another."""

import json
import shutil
from contextlib import nullcontext

import numpy as np
import pytest

from runs.common.errors import ConfigError
from runs.config.execution import ExecutionConfig
from runs.sampling.device import chosen_device
from runs.sampling.latent import interpolation
from runs.sampling.opening import open_sampler
from runs.sampling.styled import StyledGenerator


@pytest.fixture(autouse=True)
def _meta_without_autocast(monkeypatch):
    """The device "meta" has no autocast; it is not enabled here, so nothing is lost."""
    monkeypatch.setattr("torch.autocast", lambda *arguments, **options: nullcontext())


@pytest.mark.parametrize(
    ("gpu", "asked", "run", "chosen"),
    [
        (True, "auto", "auto", "cuda"),
        (True, "auto", "cuda", "cuda"),
        (True, "auto", "cpu", "cpu"),
        (True, "auto", None, "cuda"),
        (True, "cuda", "cpu", "cuda"),
        (True, "cpu", "cuda", "cpu"),
        (False, "auto", "cuda", "cpu"),
        (False, "auto", None, "cpu"),
        (False, "cpu", None, "cpu"),
    ],
)
def test_auto_is_cuda_where_it_is_here_and_the_run_may_use_it(monkeypatch, gpu, asked, run, chosen):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    execution = None if run is None else ExecutionConfig(device=run)
    assert chosen_device(asked, execution) == chosen


def test_a_gpu_that_is_not_here_is_refused(monkeypatch, grown, refusal, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="--device cuda: torch finds no GPU here"):
        chosen_device("cuda")
    for command in ("sample", "mix", "noise"):
        message = refusal(command, grown, "--device", "cuda", "--out", tmp_path / "a.png")
        assert "take --device cpu" in message
    assert "no GPU here" in refusal("evaluate", grown, "--device", "cuda")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["dcgan", "mlp", "grown"])
def test_samples_are_made_on_the_device_of_the_weights(name, plain, grown):
    """The device "meta" computes nothing, and refuses every tensor of another device."""
    sampler = open_sampler(grown if name == "grown" else plain[name])[0]
    moved = sampler.to("meta")
    assert {batch.device.type for batch in moved.batches(300, 0)} == {"meta"}
    shapes = [batch.shape for batch in moved.batches(300, 0)]
    assert shapes == [batch.shape for batch in sampler.batches(300, 0)]


@pytest.mark.parametrize(("space", "route"), [("z", "linear"), ("z", "spherical"), ("w", "linear")])
def test_a_walk_is_made_on_the_device_of_the_weights(monkeypatch, grown, space, route):
    devices = []

    def noted(images):
        devices.append(images.device.type)
        return np.zeros((len(images), 16, 16, 1), np.uint8)

    monkeypatch.setattr("runs.sampling.latent._as_arrays", noted)
    interpolation(open_sampler(grown)[0].to("meta"), 0, 2, 3, space, route)
    assert devices == ["meta"]


def test_styles_are_truncated_on_the_device_of_the_weights(grown):
    sampler = open_sampler(grown)[0].truncated(0.5).to("meta")
    generator = StyledGenerator.of(sampler, "w")
    inputs = sampler.inputs(3, 0)
    (images,) = generator.parts(generator.styles(generator.map(inputs.z)), inputs.seeds)
    assert images.device.type == "meta" and images.shape == (3, 1, 16, 16)


def test_an_evaluation_says_on_which_devices_it_was_made(grown, invoke, tmp_path):
    run = shutil.copytree(grown, tmp_path / "run")
    protocol = ("--metrics", "kid", "--space", "pixels", "--count", 20, "--device", "cpu")
    found = json.loads(invoke("evaluate", run, *protocol, "--json").stdout)
    assert found["devices"] == {"samples": "cpu", "features": "cpu"}
    assert json.loads((tmp_path / found["file"]).read_text())[0]["devices"] == found["devices"]
    out = tmp_path / "a.npz"
    invoke("sample", run, "--count", 20, "--out", out)
    arguments = ("--against", "digits", *protocol, "--json")
    assert json.loads(invoke("evaluate", out, *arguments).stdout)["devices"] == {"features": "cpu"}
