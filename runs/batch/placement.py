"""Placement of runs: a place for each, which sets environment variables of its process.

One machine without accelerators: as many runs at a time as it has cores for their threads. With
GPUs: one run per GPU (or share of one), pinned by CUDA_VISIBLE_DEVICES. On a Ray cluster: as many
runs as its GPUs or CPUs hold, each with the Ray workers that its config names, else one. A run's
bits do not depend on the place. More runs at a time are faster than more workers per run, because
every worker trains the discriminator again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from runs.common.errors import ConfigError
from runs.config.execution import ExecutionConfig

CLUSTER_TIMEOUT = 120.0  # seconds for a Ray cluster to answer
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Placement:
    """The environment variables of each place, and the keys of `execution` that all runs set."""

    places: tuple[Mapping[str, str], ...]
    execution: Mapping[str, Any]
    description: str


def place_runs(execution: ExecutionConfig, at_once: int | None = None) -> Placement:
    """Return the placement of runs on this machine or its cluster.

    Args:
        execution: of the config; its address, or RAY_ADDRESS, names a cluster.
        at_once: how many runs at a time; by default as many as fit.

    Raises:
        ConfigError: a cluster is named and does not answer, or holds not one run.
    """
    if execution.address or os.environ.get("RAY_ADDRESS"):
        return _on_cluster(execution, at_once)
    gpus = [] if execution.device == "cpu" else visible_gpus()
    if execution.device == "cuda" and not gpus:
        raise ConfigError("execution.device: cuda was asked for, but torch finds no GPU here")
    threads = dict.fromkeys(THREAD_SETTINGS, str(execution.threads))
    if gpus:
        shares = max(1, int(1 / execution.gpus))  # runs that share a GPU
        count = at_once or len(gpus) * shares
        places = [threads | {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(count)]
        where = f"{count} at a time on {len(gpus)} GPU(s)"
        return Placement(tuple(places), {"executor": "local", "device": "cuda"}, where)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = at_once or max(1, (cores or 1) // execution.threads)
    where = f"{count} at a time on {cores} core(s)"
    return Placement((threads,) * count, {"executor": "local", "device": "cpu"}, where)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]


def _on_cluster(execution: ExecutionConfig, at_once: int | None) -> Placement:
    device, room = _ask_cluster(execution)
    workers = 1 if execution.workers == "auto" else execution.workers
    count = at_once or room // workers
    if count < 1:
        raise ConfigError(
            f"execution.workers: {workers} do not fit the cluster, which holds {room} in all"
        )
    where = f"{count} at a time on the Ray cluster, {workers} worker(s) each"
    settings = {"executor": "ray", "device": device, "workers": workers}
    return Placement(({},) * count, settings, where)


def _ask_cluster(execution: ExecutionConfig) -> tuple[str, int]:
    """Return the device of a cluster and how many workers fit it; asked in another process.

    So this process is no part of the cluster, and outlives it.
    """
    command = [sys.executable, "-m", "runs.batch.placement", execution.model_dump_json()]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=CLUSTER_TIMEOUT,
            env=environment({}),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"the Ray cluster did not answer within {CLUSTER_TIMEOUT:.0f} s"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"the Ray cluster cannot be used: {reason}")
    device, room = json.loads(done.stdout.splitlines()[-1])
    return str(device), int(room)


def print_room(text: str) -> None:
    """Print a cluster's device and how many workers of an `ExecutionConfig` (JSON) fit it."""
    from populations.executors.ray import executor as cluster

    execution = ExecutionConfig.model_validate_json(text).model_copy(update={"workers": "auto"})
    cluster.connect(execution, (), partial(print, file=sys.stderr))
    device = cluster.choose_device(execution)
    print(json.dumps([device, cluster.worker_count(execution, device, children=sys.maxsize)]))


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment for a child that must find this very package."""
    package = str(Path(__file__).parents[2])
    known = os.environ.get("PYTHONPATH")
    path = package if not known else f"{package}{os.pathsep}{known}"
    return {**os.environ, **more, "PYTHONPATH": path}


if __name__ == "__main__":
    print_room(sys.argv[1])
