"""Where a run's replicas are: chosen, shown while it goes on, and in the record when lost."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image

from runs.config.execution import ExecutionConfig
from runs.display.inspection import inspect_run
from runs.store.folder import RunFolder
from runs.training import session
from runs.training.placement import choose_executor, code_of, precision_advice

pytestmark = pytest.mark.usefixtures("without_pictures")

# -------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("settings", "gpus", "executor", "why"),
    [
        ({}, 0, "local", "no GPU here"),
        ({}, 1, "local", "one GPU here"),
        ({}, 4, "ray", "4 GPU(s) here"),
        ({"device": "cpu"}, 4, "local", "no GPU here"),
        ({"gpus": 0.5}, 1, "ray", "0.5 for each replica"),
        ({"gpus": 2}, 3, "local", ""),
        ({"workers": 2}, 0, "ray", "2 workers are asked for"),
        ({"workers": 1}, 0, "local", "no GPU"),
        ({"address": "auto"}, 0, "ray", "execution.address names a cluster"),
        ({"labels": {"disk": "fast"}}, 0, "ray", "labels"),
        ({"executor": "local"}, 4, "local", ""),
        ({"executor": "ray"}, 0, "ray", ""),
    ],
)
def test_auto_is_local_where_one_device_is_all_and_says_why(
    settings, gpus, executor, why, monkeypatch
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    choice = choose_executor(ExecutionConfig(**settings))
    assert choice.executor == executor
    assert why in choice.reason
    assert ("auto" in choice.reason) == ("executor" not in settings)


def test_a_cluster_in_the_environment_is_used(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    choice = choose_executor(ExecutionConfig())
    assert choice.executor == "ray" and "RAY_ADDRESS" in choice.reason


def test_a_run_says_what_it_chose(points_yaml, invoke, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    options = ("--executor", "auto", "--set", "generations=2", "--output", tmp_path / "run")
    result = invoke("train", points_yaml, *options)
    assert result.exit_code == 0
    assert "in this process (auto: no GPU here, and no cluster named)" in result.output


@pytest.mark.ray
def test_no_cluster_at_an_address_is_a_mistake(points_yaml, mistake, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "open_scores", lambda *_: pytest.fail("the metrics are prepared"))
    for address in ("127.0.0.1:1", "127.0.0.1:65536"):
        options = ("--executor", "auto", "--address", address, "--output", tmp_path / "run")
        assert f"no Ray cluster answers at '{address}'" in mistake("train", points_yaml, *options)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("execution.patience=0", "execution.patience"),
        ("execution.cpus=-1", "execution.cpus"),
        ("execution.resources={tape: 0}", "execution.resources"),
        ("execution.labels=[a]", "execution.labels"),
        ("execution.deadline=never", "execution.deadline"),
        ("execution.ship_code=perhaps", "execution.ship_code"),
    ],
)
def test_an_impossible_placement_is_a_mistake(setting, said, mistake, points_yaml):
    assert said in mistake("train", points_yaml, "--set", setting)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("execution.resources={tape: 1}", "0 tape"),
        ("execution.labels={rack: north}", "this machine has rack=None"),
    ],
)
def test_what_this_machine_has_not_is_refused_at_once(
    setting, said, mistake, points_yaml, tmp_path
):
    options = ("--executor", "auto", "--set", setting, "--output", tmp_path / "run")
    assert said in mistake("train", points_yaml, *options)
    assert not (tmp_path / "run").exists()


def test_what_is_sent_are_the_packages_and_a_users_own_modules(own_modules):
    import paced

    from egan.mutations import heuristic

    names = [path.name for path in code_of([heuristic, paced.paced])]
    assert names == ["egan", "fitness", "populations", "runs", "paced.py"]


# -------------------------------------------------------------------------------------- on Ray


@pytest.mark.timeout(280)
def test_a_living_run_on_ray_is_shown_and_a_lost_worker_is_in_the_record(
    start, until_lines, points_yaml, invoke, new_store, tmp_path
):
    folder, store = tmp_path / "run", new_store(tmp_path)
    process = start(
        *("train", points_yaml, "--executor", "ray", "--workers", "2", "--output", folder),
        *("--set", "generations=80", "--set", "tracking.enabled=true"),
        *("--set", f"tracking.uri={store}", "--set", "tracking.every=1000"),
        *("--set", "tracking.system_metrics=false", "--set", "tracking.model=false"),
        PAUSE="0.1",
    )
    until_lines(process, folder, 5)
    assert listeners(process.pid) == {"127.0.0.1"}

    now = json.loads(invoke("inspect", folder, "--json").output)["now"]
    assert now["lives"] and time.time() < now["expected_end"] < time.time() + 600
    assert {"advance", "variation", "evaluation", "messages", "total"} <= now[
        "seconds_by_phase"
    ].keys()
    replicas = now["replicas"]
    assert [replica["worker"] for replica in replicas] == [0, 1]
    assert {replica["state"] for replica in replicas} == {"joined"}
    assert all(replica["device"] == "cpu" and replica["node"] for replica in replicas)
    shown = invoke("inspect", folder).output
    assert f"{replicas[0]['process']}" in shown and "it is running" in shown

    os.kill(replicas[1]["process"], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert "note: worker lost (worker 1, node " in stdout

    found = inspect_run(folder)
    assert found["now"] is None and not RunFolder(folder).replicas.exists()
    assert found["faults"]["worker-lost"] == 1
    lost = next(event for event in found["events"] if event["event"] == "worker-lost")
    assert lost["node"] == replicas[1]["node"]
    from mlflow import MlflowClient

    (run,) = MlflowClient(store).search_runs(["1"])
    assert run.data.metrics["faults/worker_lost"] == 1
    # of every thousandth generation alone there are scores, but of each fault
    assert len(MlflowClient(store).get_metric_history(run.info.run_id, "seconds/total")) == 1


def listeners(process: int) -> set[str]:
    """Return the addresses that a process and its offspring listen on."""
    root = psutil.Process(process)
    return {
        connection.laddr.ip.removeprefix("::ffff:")
        for each in [root, *root.children(recursive=True)]
        for connection in each.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.parametrize(
    ("unit", "settings", "backbone", "advised"),
    [
        ("AMX", {}, "dcgan", True),
        (None, {}, "dcgan", False),
        ("AMX", {"precision": "bfloat16"}, "dcgan", False),
        ("AMX", {}, "mlp", False),
        ("AVX512-BF16", {"device": "cpu"}, "stylegan", True),
        ("AMX", {"precision": "float32"}, "dcgan", False),  # named, such as by a kept config
    ],
)
def test_bfloat16_is_offered_where_the_processor_has_it(
    unit, settings, backbone, advised, monkeypatch
):
    monkeypatch.setattr("runs.training.placement.bfloat16_unit", lambda: unit)
    line = precision_advice(ExecutionConfig(**settings), backbone)
    assert (line is not None) == advised
    if line:
        assert f"({unit}): with --set execution.precision=auto" in line


@pytest.mark.parametrize("unit", ["AMX", None])
def test_a_run_that_could_use_bfloat16_says_so_when_it_is_new(
    unit, images_yaml, invoke, monkeypatch, tmp_path
):
    monkeypatch.setattr("runs.training.placement.bfloat16_unit", lambda: unit)
    monkeypatch.setattr("runs.training.precision.bfloat16_unit", lambda: None)
    options = ("--set", "execution.device=cpu", "--resume", "auto", "--output", tmp_path / "run")

    def notes(*arguments):
        done = invoke(*arguments)
        assert done.exit_code == 0, done.output
        return done.output.count("note: this processor multiplies bfloat16 (AMX)")

    new = ("train", images_yaml, "--set", "generations=1", "--output")
    named = ("--set", "execution.device=cpu", "--set", "execution.precision=float32")
    assert notes("train", images_yaml, "--set", "generations=1", *options) == (unit is not None)
    assert notes("train", images_yaml, "--set", "generations=2", *options) == 0
    assert notes("resume", tmp_path / "run", "--generations", 3) == 0
    assert notes(*new, tmp_path / "named", *named) == 0
    fork = ("--set", "generations=4", "--output", tmp_path / "fork")
    assert notes("train", "--from", tmp_path / "run", *fork) == 0


@pytest.mark.parametrize(
    ("settings", "gpu", "cluster", "told"),
    [
        ({}, False, "", True),
        ({}, True, "", False),
        ({"device": "cpu"}, True, "", True),
        ({"device": "cuda", "executor": "ray"}, False, "", False),
        ({"executor": "ray"}, False, "", True),
        ({"executor": "ray"}, False, "10.0.0.1:6379", False),  # its nodes may have GPUs
        ({"executor": "local"}, False, "10.0.0.1:6379", True),
        ({"address": "auto"}, False, "", False),
        ({"precision": "float32"}, False, "", False),
    ],
)
def test_tf32_on_a_cpu_is_told_to_be_float32(settings, gpu, cluster, told, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    line = precision_advice(ExecutionConfig(**{"precision": "tf32"} | settings), "dcgan")
    assert ("computes in float32" in (line or "")) == told


# ------------------------------------------------------------- workers for a run that has none


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--workers", 3), "execution.workers=3: "),
        (("--address", "auto:1"), "execution.address=auto:1: "),
        (("--set", "execution.workers=2", "--address", "a:1"), "workers=2, execution.address=a:1"),
        (("--set", "execution.labels.rack=north"), "execution.labels={'rack': 'north'}: "),
        (("--set", "execution={executor: local, workers: 2}"), "execution.workers=2: "),
    ],
)
def test_workers_are_refused_where_all_is_done_in_this_process(asked, said, mistake, tmp_path):
    folder = tmp_path / "run"
    message = mistake("train", "stylegan2-quick", *asked, "--output", folder)
    assert said in message and "execution.executor is local" in message
    assert "add --executor ray" in message and not folder.exists()


def test_a_kept_config_may_hold_workers_that_a_local_run_does_not_use(
    points_yaml, invoke, mistake, tmp_path
):
    config, folder = tmp_path / "config.yaml", tmp_path / "run"
    text = Path(points_yaml).read_text()
    config.write_text(text.replace("{executor: local}", "{executor: local, workers: 3}"))
    done = invoke("train", config, "--set", "generations=1", "--output", folder)
    assert done.exit_code == 0, done.output
    assert "execution.workers=2: " in mistake("resume", folder, "--workers", 2)
    again = ("train", config, "--output", folder, "--resume", "auto", "--workers", 2)
    assert "execution.workers=2: " in mistake(*again)
    for harmless in ((), ("--device", "cpu"), ("--workers", 1), ("--workers", "auto")):
        done = invoke("resume", folder, "--generations", 2, *harmless)
        assert done.exit_code == 0, done.output


def test_images_with_a_local_preset_have_no_workers(mistake, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in "ab":
        Image.new("RGB", (16, 16)).save(tmp_path / "photos" / f"{name}.png")
    command = ("train", tmp_path / "photos", "--like", "few-avatars", "--workers", 2)
    assert "execution.workers=2: " in mistake(*command, "--output", tmp_path / "run")
    assert not (tmp_path / "run").exists()
