"""`execution.precision: auto`: measured once, kept by the run's config."""

import pytest
import yaml

from egan.data import open_source
from egan.determinism import bfloat16_unit
from runs import load_config
from runs.common.errors import ConfigError
from runs.config.loading import check_comparable
from runs.store.folder import RunFolder
from runs.training import precision
from runs.training.precision import decided
from tests.runs.copies import checksum

pytestmark = pytest.mark.usefixtures("without_pictures")
AUTO = "execution.precision=auto"


def chosen(config, seconds, monkeypatch, unit="AMX"):
    """What is chosen where a step takes so long; and what is said."""
    monkeypatch.setattr(precision, "bfloat16_unit", lambda: unit)
    monkeypatch.setattr(precision, "_step", lambda config, source, name: seconds[name])
    said: list[str] = []
    return decided(config, None, said.append).execution.precision, said


@pytest.mark.parametrize(
    ("seconds", "unit", "wanted"),
    [
        ({"float32": 1.0, "winograd": 0.6, "bfloat16": 0.4}, "AMX", "bfloat16"),
        ({"float32": 1.0, "winograd": 0.4, "bfloat16": 0.6}, "AMX", "winograd"),
        ({"float32": 1.0, "winograd": 0.6, "bfloat16": 0.1}, None, "winograd"),
        ({"float32": 1.0, "winograd": 0.95, "bfloat16": 1.2}, "AMX", "float32"),
    ],
)
def test_the_fastest_is_taken_if_it_pays(seconds, unit, wanted, images_yaml, monkeypatch):
    config = load_config(images_yaml, [AUTO, "execution.device=cpu"])
    found, said = chosen(config, seconds, monkeypatch, unit)
    assert found == wanted
    assert len(said) == 1 and f"auto is {wanted}, for a step takes 1e+03 ms in float32" in said[0]


def test_only_dcgans_have_winograd(points_yaml, monkeypatch):
    config = load_config(points_yaml, [AUTO, "execution.device=cpu"])
    found, said = chosen(config, {}, monkeypatch, unit=None)
    assert found == "float32" and "no bfloat16 unit" in said[0]


def test_on_a_gpu_it_is_tf32(images_yaml, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert chosen(load_config(images_yaml, [AUTO]), {}, monkeypatch)[0] == "tf32"


@pytest.mark.parametrize("which", ["float32", "winograd", "bfloat16"])
def test_a_step_is_measured_in_the_arithmetic_asked_for(which, images_yaml, monkeypatch):
    asked = []
    engine = precision.Engine

    def watched(config, source, mutations, device, arithmetic):
        asked.append(arithmetic)
        return engine(config, source, mutations, device, arithmetic)

    monkeypatch.setattr(precision, "Engine", watched)
    config = load_config(images_yaml, [AUTO])
    assert precision._step(config, open_source(config.data), which) > 0
    assert asked == [which]


def test_a_run_keeps_what_was_chosen_and_goes_on_with_it(
    images_yaml, invoke, monkeypatch, tmp_path
):
    times = iter([1.0, 0.5, 2.0])
    monkeypatch.setattr(precision, "_step", lambda *given: next(times))
    monkeypatch.setattr(precision, "bfloat16_unit", lambda: "AMX")
    command = ("train", images_yaml, "--set", AUTO, "--set", "execution.device=cpu")
    again = (*command, "--set", "generations=3", "--resume", "auto", "--output", tmp_path / "a")
    first = invoke(*again)
    assert "auto is winograd" in first.output
    kept = yaml.safe_load(RunFolder(tmp_path / "a").config.read_text())
    assert kept["execution"]["precision"] == "winograd"
    told = ("train", images_yaml, "--set", "execution.precision=winograd")
    same = invoke(*told, "--set", "generations=3", "--output", tmp_path / "b")
    assert checksum(first.output) == checksum(same.output)
    more = invoke(*again, "--set", "generations=4")  # nothing is measured: `times` is used up
    assert more.exit_code == 0 and "auto is" not in more.output
    assert "resumed at generation 3" in more.output


def test_runs_that_are_compared_must_name_one(points_yaml):
    config = load_config(points_yaml, [AUTO])
    with pytest.raises(ConfigError, match=r"strategies.a: execution.precision: auto .* name one"):
        check_comparable(config, "strategies.a")
    check_comparable(load_config(points_yaml), "strategies.a")


def test_the_processors_units_are_asked_of_torch(monkeypatch):
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True, raising=False)
    assert bfloat16_unit() == "AVX512-BF16"
