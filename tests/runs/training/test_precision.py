"""`execution.precision: auto`: measured once, kept by the run's config."""

import math
from dataclasses import dataclass

import pytest
import torch
import yaml

from egan.data import open_source
from egan.determinism import bfloat16_unit
from runs import load_config
from runs.common.errors import ConfigError
from runs.config.loading import check_comparable
from runs.display.inspection import inspect_run
from runs.store.folder import RunFolder
from runs.training import precision
from runs.training.precision import by_default, decided
from tests.runs.copies import checksum, events

pytestmark = pytest.mark.usefixtures("without_pictures")
AUTO = "execution.precision=auto"
CPU = "execution.device=cpu"


def chosen(config, rounds, monkeypatch, unit="AMX"):
    """What is chosen where rounds take so long; what is said, and what the journal keeps."""
    monkeypatch.setattr(precision, "bfloat16_unit", lambda: unit)
    monkeypatch.setattr(precision, "_rounds", lambda config, source, names: rounds)
    said: list[str] = []
    config, rule = decided(config, None, said.append)
    return config.execution.precision, said, rule


def times(float32, winograd, bfloat16):
    return {"float32": float32, "winograd": winograd, "bfloat16": bfloat16}


@pytest.mark.parametrize(
    ("seconds", "unit", "wanted"),
    [
        (times(1.0, 0.6, 0.4), "AMX", "bfloat16"),
        (times(1.0, 0.4, 0.6), "AMX", "winograd"),
        (times(1.0, 0.6, 0.1), None, "winograd"),
        (times(1.0, 0.85, 1.2), "AMX", "float32"),  # 1.18 times faster
        (times(1.0, 0.82, 1.2), "AMX", "winograd"),  # 1.22
        (times(1.0, math.inf, 0.9), "AMX", "float32"),  # its child fails
        (times(math.inf, math.inf, 0.9), "AMX", "bfloat16"),
    ],
)
def test_the_fastest_is_taken_if_it_pays(seconds, unit, wanted, images_yaml, monkeypatch):
    config = load_config(images_yaml, [AUTO, CPU])
    found, said, rule = chosen(config, [seconds] * 3, monkeypatch, unit)
    assert found == wanted
    count = 3 if unit else 2
    assert len(said) == 2 and f"measuring {count} precisions (float32, winograd" in said[0]
    assert f"auto is {wanted}, for " in said[1]
    assert (rule["key"], rule["value"]) == ("execution.precision", wanted)
    assert rule["reason"] in said[1]
    assert all(map(math.isfinite, rule["seconds_by_precision"].values()))


def test_what_slows_a_round_slows_all_of_it_and_what_slows_one_step_does_not_count(
    images_yaml, monkeypatch
):
    """The ratio is taken in each round: no ratio of medians, or of sums, says 1.25."""
    rounds = [times(1.0, 1.0, 0.8), times(10.0, 10.0, 8.0), times(1.0, 1.0, 9.0)]
    rounds += [times(10.0, 1.0, 8.0), times(1.0, 1.0, 0.8)]
    config = load_config(images_yaml, [AUTO, CPU])
    found, said, rule = chosen(config, rounds, monkeypatch)
    assert found == "bfloat16" and "it is 1.25 times faster than float32" in said[1]
    assert rule["seconds_by_precision"] == times(1.0, 1.0, 8.0)


@pytest.mark.parametrize(
    ("source", "unit", "why"),
    [("points", "AMX", "an MLP has nothing to gain"), ("stylegan", None, "no bfloat16 unit")],
)
def test_where_there_is_nothing_to_gain_nothing_is_measured(
    source, unit, why, points_yaml, monkeypatch
):
    config = load_config(points_yaml if source == "points" else "stylegan-quick", [AUTO, CPU])
    monkeypatch.setattr(precision, "Engine", lambda *_: pytest.fail("it is measured"))
    found, said, rule = chosen(config, None, monkeypatch, unit)
    assert found == "float32" and len(said) == 1 and why in said[0]
    assert why in rule["reason"] and "seconds_by_precision" not in rule


@pytest.mark.parametrize(("device", "there"), [("auto", True), ("cuda", True), ("cuda", False)])
def test_on_a_gpu_it_is_tf32(device, there, images_yaml, monkeypatch):
    """`cuda` without a GPU here: the workers of a cluster have them."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    keys = [AUTO, f"execution.device={device}", "execution.executor=ray"]
    assert chosen(load_config(images_yaml, keys), None, monkeypatch)[0] == "tf32"


@pytest.mark.parametrize(
    ("keys", "preset", "gpu", "wanted"),
    [
        ((), "digits", True, "tf32"),
        ((), "digits", False, None),
        (("execution.device=cuda",), "digits", False, None),  # it is refused
        (("execution.device=cuda", "execution.address=head:1"), "digits", False, "tf32"),
        ((CPU,), "digits", True, None),
        (("execution.precision=float32",), "digits", True, None),
        ((), "gaussians25", True, None),
    ],
)
def test_a_new_run_on_a_gpu_that_names_none_takes_tf32(keys, preset, gpu, wanted, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    config, said = load_config(preset, [*keys]), []
    found, rule = by_default(config, said.append)
    if wanted is None:
        assert found is config and rule is None and not said
        return
    assert found.execution.precision == rule["value"] == wanted
    assert len(said) == 1 and rule["reason"] in said[0] and "precision=float32" in said[0]
    assert by_default(found, pytest.fail) == (found, None)


def test_a_run_whose_gpu_chose_goes_on_with_the_same_command(
    images_yaml, invoke, monkeypatch, tmp_path
):
    monkeypatch.setattr(precision, "_made_on_gpu", lambda config: True)
    again = ("train", images_yaml, "--set", CPU, "--resume", "auto", "--output", tmp_path / "a")
    first = invoke(*again, "--set", "generations=2")
    assert first.output.count("execution.precision is tf32, for the children are made") == 1
    kept = yaml.safe_load(RunFolder(tmp_path / "a").config.read_text())
    assert kept["execution"]["precision"] == "tf32"
    (rule,) = [event.details for event in events(tmp_path / "a") if event.kind == "rule"]
    assert rule["value"] == "tf32"
    more = invoke(*again, "--set", "generations=3")
    assert more.exit_code == 0 and "resumed at generation 2" in more.output
    other = invoke(*again, "--set", "generations=3", "--set", "execution.precision=float32")
    assert other.exit_code == 2 and "execution.precision" in other.output


@pytest.mark.parametrize(
    ("keys", "preset", "told"),
    [
        ((), "digits", True),
        (("execution.device=cpu",), "digits", True),
        (("execution.device=cuda",), "digits", False),  # wherever they are, they are GPUs
        ((), "gaussians25", False),  # an MLP stays float32 everywhere
        (("execution.executor=local",), "digits", False),
    ],
)
def test_on_another_machines_cluster_it_says_what_was_measured(keys, preset, told, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    config = load_config(preset, [AUTO, "execution.executor=ray", *keys])
    said = chosen(config, [times(1.0, 0.6, 0.4)] * 3, monkeypatch)[1]
    assert any("cluster at head:6379: where its machines are others" in x for x in said) == told
    monkeypatch.delenv("RAY_ADDRESS")
    said = chosen(config, [times(1.0, 0.6, 0.4)] * 3, monkeypatch)[1]
    assert not any("cluster at" in line for line in said)


@dataclass(frozen=True)
class State:
    generation: int = 0


@dataclass(frozen=True)
class Made:
    failure: str | None


class Watched:
    """An engine that notes what it is asked for, at which time of a clock that it moves."""

    calls: list[tuple[str, str]]
    now = 0.0
    failing = ""

    def __init__(self, config, source, mutations, device, name):
        assert device == torch.device("cpu")
        self.name = name

    def initial_state(self):
        return State()

    def vary(self, state, jobs):
        assert state.generation == 5  # the last one
        self._note("vary", 0.25)
        return [Made("it fails" if self.name == self.failing else None) for _ in jobs]

    def evaluate(self, state, children):
        self._note("evaluate", 0.5)

    def _note(self, call, seconds):
        self.calls.append((self.name, call))
        type(self).now += seconds


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(Watched, "calls", [], raising=False)
    monkeypatch.setattr(Watched, "now", 0.0)
    monkeypatch.setattr(precision, "Engine", Watched)
    for clock in ("process_time", "perf_counter"):
        monkeypatch.setattr(precision.time, clock, lambda: Watched.now)
    return Watched


def test_precisions_take_turns_at_a_child_and_its_score(images_yaml, watched):
    config = load_config(images_yaml, [AUTO])
    rounds = precision._rounds(config, None, ("float32", "bfloat16"))
    turn = [(n, call) for n in ("float32", "bfloat16") for call in ("vary", "evaluate")]
    assert watched.calls == turn * (1 + precision.LEAST)  # of these the first warms up
    assert rounds == [{"float32": 0.75, "bfloat16": 0.75}] * precision.LEAST


def test_where_children_are_not_scored_that_is_not_timed(images_yaml, watched):
    settings = ["population.mutations=[heuristic]", "fitness.every=10"]
    config = load_config(images_yaml, [AUTO, *settings])
    rounds = precision._rounds(config, None, ("float32",))
    assert {call for _, call in watched.calls} == {"vary"}
    assert set(rounds[0].values()) == {0.25}


def test_short_rounds_are_measured_for_a_second(images_yaml, watched, monkeypatch):
    monkeypatch.setattr(precision, "SECONDS", 9.0)
    config = load_config(images_yaml, [AUTO])
    assert len(precision._rounds(config, None, ("float32",))) == 12 - 1  # of 0.75 s each


@pytest.mark.parametrize(("most", "count"), [(0.5, 1), (1.0, 1), (2.0, 2)])
def test_of_long_rounds_there_are_fewer(most, count, images_yaml, watched, monkeypatch):
    monkeypatch.setattr(precision, "MOST", most)  # a round is 0.75 s
    monkeypatch.setattr(precision, "SECONDS", 0.0)
    rounds = precision._rounds(load_config(images_yaml, [AUTO]), None, ("float32",))
    assert len(rounds) == count


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("population.first_parent: another backbone"), "^population.first_parent: an"),
        (RuntimeError("Storage size overflowed"), "cannot be built here: Storage size overflowed"),
    ],
)
def test_a_population_that_cannot_be_made_is_a_mistake(
    error, said, images_yaml, watched, monkeypatch
):
    def refuse(self):
        raise error

    monkeypatch.setattr(watched, "initial_state", refuse)
    with pytest.raises(ConfigError, match=said):
        precision._rounds(load_config(images_yaml, [AUTO]), None, ("float32",))


def test_a_child_that_fails_is_not_fast(images_yaml, watched, monkeypatch):
    monkeypatch.setattr(watched, "failing", "bfloat16")
    config = load_config(images_yaml, [AUTO])
    (first, *_) = precision._rounds(config, None, ("float32", "bfloat16"))
    assert first == {"float32": 0.75, "bfloat16": math.inf}


@pytest.mark.parametrize(("threads", "clock"), [(1, "process_time"), (2, "perf_counter")])
def test_one_thread_is_timed_in_cpu_time(threads, clock, images_yaml, watched, monkeypatch):
    monkeypatch.setattr(precision, "prepare_device", lambda *_: torch.device("cpu"))
    stopped = ({"process_time", "perf_counter"} - {clock}).pop()
    monkeypatch.setattr(precision, "SECONDS", 0.0)
    monkeypatch.setattr(precision.time, stopped, lambda: 0.0)
    config = load_config(images_yaml, [AUTO, f"execution.threads={threads}"])
    assert precision._rounds(config, None, ("float32",))[0] == {"float32": 0.75}


def test_real_engines_are_measured_in_the_arithmetic_asked_for(images_yaml, monkeypatch):
    asked = []
    engine = precision.Engine

    def watched(config, source, mutations, device, arithmetic):
        asked.append(arithmetic)
        return engine(config, source, mutations, device, arithmetic)

    monkeypatch.setattr(precision, "Engine", watched)
    monkeypatch.setattr(precision, "SECONDS", 0.0)
    config = load_config(images_yaml, [AUTO])
    names = ("float32", "winograd", "bfloat16")
    rounds = precision._rounds(config, open_source(config.data), names)
    assert tuple(asked) == names and len(rounds) == precision.LEAST
    assert all(0 < seconds < math.inf for each in rounds for seconds in each.values())


def test_a_run_keeps_what_was_chosen_and_goes_on_with_it(
    images_yaml, invoke, monkeypatch, tmp_path
):
    measured = iter([[times(1.0, 0.5, 2.0)]])
    monkeypatch.setattr(precision, "_rounds", lambda *given: next(measured))
    monkeypatch.setattr(precision, "bfloat16_unit", lambda: "AMX")
    command = ("train", images_yaml, "--set", AUTO, "--set", CPU)
    again = (*command, "--set", "generations=3", "--resume", "auto", "--output", tmp_path / "a")
    first = invoke(*again)
    assert "auto is winograd" in first.output
    kept = yaml.safe_load(RunFolder(tmp_path / "a").config.read_text())
    assert kept["execution"]["precision"] == "winograd"
    told = ("train", images_yaml, "--set", "execution.precision=winograd")
    same = invoke(*told, "--set", "generations=3", "--output", tmp_path / "b")
    assert checksum(first.output) == checksum(same.output)
    more = invoke(*again, "--set", "generations=4")  # nothing is measured: it is used up
    assert more.exit_code == 0 and "auto is" not in more.output
    assert "resumed at generation 3" in more.output
    (rule,) = [event.details for event in events(tmp_path / "a") if event.kind == "rule"]
    assert rule["seconds_by_precision"] == times(1.0, 0.5, 2.0)
    (shown,) = [each for each in inspect_run(tmp_path / "a")["events"] if each["event"] == "rule"]
    assert shown["value"] == "winograd" and shown["generation"] == 0
    assert not events(tmp_path / "b")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--device", "cuda"), "torch finds no GPU here"),
        (("--output", "there"), "holds a run already"),
        (("--output", "a-file"), "is not a folder"),
        (("--output", "a-file/run"), "is not a folder"),
    ],
)
def test_what_is_refused_is_refused_before_it_is_measured(
    options, said, images_yaml, invoke, mistake, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "a-file").touch()
    if "there" in options:
        invoke("train", images_yaml, "--set", "generations=1", "--output", "there")
    monkeypatch.setattr("runs.training.driver.decided", lambda *_: pytest.fail("it is measured"))
    before = sorted(tmp_path.rglob("*"))
    assert said in mistake("train", images_yaml, "--set", AUTO, "--output", "new", *options)
    assert sorted(tmp_path.rglob("*")) == before


def test_runs_that_are_compared_must_name_one(points_yaml):
    config = load_config(points_yaml, [AUTO])
    with pytest.raises(ConfigError, match=r"strategies.a: execution.precision: auto .* name one"):
        check_comparable(config, "strategies.a")
    check_comparable(load_config(points_yaml), "strategies.a")


def test_the_processors_units_are_asked_of_torch(monkeypatch):
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False, raising=False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True, raising=False)
    assert bfloat16_unit() == "AVX512-BF16"
