"""The command that writes generators as ONNX files; without the packages that it needs."""

from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from runs.cli.main import main
from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.export import exporting, onnx
from runs.export.networks import Exportable
from runs.sampling.opening import open_sampler
from runs.training.driver import evolve


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """Return the folder of a tiny run of points."""
    overrides = ["generations=1", "tracking.enabled=false", "execution.executor=local",
                 "backbone.width=4", "evaluation.every=null"]  # fmt: skip
    folder = tmp_path_factory.mktemp("points")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runs.display.plots.draw_plots", lambda folder: None)
        return evolve(load_config("gaussians25", overrides=overrides), folder / "run").path


def export(*arguments, status=0):
    done = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert done.exit_code == status, done.output
    return done.output


def test_what_is_written_is_the_generator_of_the_run(points, monkeypatch, tmp_path):
    written = []

    def write(network, path, about):
        written.append((network, about))
        path.write_bytes(b"a model")
        return 0.00001

    monkeypatch.setattr(exporting, "check_packages", lambda: None)
    monkeypatch.setattr(exporting, "write_onnx", write)
    output = export(points, "--onnx", tmp_path / "a.onnx")
    ((network, about),) = written
    assert "newest snapshot, generation 1" in about["origin"]
    assert "input noise: float32 (N, " in output and "output points" in output
    assert "differ by 1e-05 from torch's" in output
    sampler, _ = open_sampler(points)
    noise = sampler.inputs(4, 7)
    assert np.allclose(network.module(noise).detach(), sampler(4, 7), atol=1e-6)


def test_a_file_whose_outputs_differ_is_not_kept(monkeypatch, tmp_path):
    check = ({"noise": torch.zeros(1)}, torch.zeros(1))
    network = Exportable(torch.nn.Linear(1, 1), {}, {}, (check, check), "points", {})
    monkeypatch.setattr(onnx, "_export", lambda network, path, about: path.write_bytes(b"x"))
    differences = iter([1e-5, 0.01])
    monkeypatch.setattr(onnx, "_difference", lambda *_: next(differences))
    with pytest.raises(ConfigError, match=r"differs from torch's by 0\.01, and 0\.0001 is allowed"):
        onnx.write_onnx(network, tmp_path / "a.onnx", {})
    assert not list(tmp_path.iterdir())


def test_weights_that_fit_into_no_file_are_refused(tmp_path):
    large = SimpleNamespace(parameters=lambda: [torch.empty(2**29, device="meta")])
    with pytest.raises(ConfigError, match=r"weights of 2\.0 GiB do not fit"):
        onnx.write_onnx(Exportable(large, {}, {}, (), "points", {}), tmp_path / "a.onnx", {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reverse", "--onnx", "a.onnx"), "no translator of images between two sets"),
        (("--truncation", "0.5", "--onnx", "a.onnx"), "truncation: only a stylegan generator"),
        (("--onnx", "a.pt"), "must end in .onnx"),
    ],
)
def test_what_cannot_be_exported_is_said(points, arguments, message, monkeypatch):
    monkeypatch.setattr(exporting, "check_packages", lambda: None)
    assert message in export(points, *arguments, status=2)


@pytest.mark.skipif(find_spec("onnxscript") is not None, reason="onnxscript is installed")
def test_missing_packages_are_named_first(points):
    output = export(points, "--onnx", "a.onnx", status=2)
    assert "onnxscript" in output and "pip install onnx onnxscript onnxruntime" in output
