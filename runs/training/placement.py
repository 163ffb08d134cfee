"""Where a run's replicas are made: in this process, or on Ray workers."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from egan.determinism import bfloat16_unit
from egan.games import build_game
from egan.mutations import resolve
from egan.replica import ReplicaFactory, building
from populations.executors.base import Executor, Recover
from populations.executors.local import LocalExecutor
from runs.common.errors import ConfigError
from runs.config.execution import ExecutionConfig
from runs.config.schema import RunConfig
from runs.store.folder import DataCard
from runs.tracking.model import project_packages


@dataclass(frozen=True)
class Choice:
    """The executor to use, and why, where that was left open."""

    executor: str
    reason: str = ""


def choose_executor(execution: ExecutionConfig) -> Choice:
    """Return the executor of a config: where it is `auto`, local if one device is all there is."""
    if execution.executor != "auto":
        return Choice(execution.executor)
    if find_spec("ray") is None:
        return Choice("local", " (auto: Ray is not installed)")
    if execution.address:
        return Choice("ray", " (auto: execution.address names a cluster)")
    if os.environ.get("RAY_ADDRESS"):
        return Choice("ray", " (auto: RAY_ADDRESS names a cluster)")
    if execution.workers != "auto" and execution.workers > 1:
        return Choice("ray", f" (auto: {execution.workers} workers are asked for)")
    if execution.resources or execution.labels:
        return Choice("ray", " (auto: execution.resources or .labels are asked for)")
    gpus = 0 if execution.device == "cpu" else torch.cuda.device_count()
    if gpus and int(gpus / execution.gpus) > 1:
        return Choice("ray", f" (auto: {gpus} GPU(s) here, {execution.gpus:g} for each replica)")
    return Choice("local", f" (auto: {'one GPU' if gpus else 'no GPU'} here, and no cluster named)")


def named_cluster(execution: ExecutionConfig) -> str | None:
    """Return the address of the cluster whose machines run the replicas; None: this one does."""
    if choose_executor(execution).executor != "ray":
        return None
    return execution.address or os.environ.get("RAY_ADDRESS") or None


def build_executor(
    config: RunConfig, choice: Choice, recover: Recover, say: Callable[[str], None]
) -> Executor:
    """Return the executor of a config, its replicas at generation 0.

    Raises:
        ConfigError: what the config asks for is not here.
        WorkerLost: the cluster has no place for a worker.
    """
    execution = config.execution
    mutations = {name: resolve(name) for name in config.population.mutations}

    def factory_for(device: str) -> ReplicaFactory:
        return ReplicaFactory(
            config, device, execution.threads, mutations, execution.precision, execution.compile
        )

    try:
        if choice.executor == "local":
            return LocalExecutor(factory_for(_local_device(execution)))
        try:
            from populations.executors.ray.executor import RayExecutor
        except ImportError:
            raise ConfigError(
                "execution.executor: ray is not installed; pip install ray, or --executor local"
            ) from None
        code = code_of([*mutations.values(), type(config.backbone)])
        return RayExecutor(factory_for, execution, config.children, recover, say, code)
    except (ValueError, ConnectionError) as error:
        raise ConfigError(str(error)) from None


def code_of(parts: Iterable[Callable[..., object]]) -> list[Path]:
    """Return the folders and files of the project's packages and of a user's own parts of a game.

    These are mutations, and the class of the backbone.
    """
    paths = list(project_packages())
    for part in parts:
        module = sys.modules.get(part.__module__.partition(".")[0])
        file = getattr(module, "__file__", None)
        if module is None or file is None or module.__name__ == "__main__":
            continue  # a program's own functions travel whole
        path = Path(file).parent if hasattr(module, "__path__") else Path(file)
        if path not in paths:
            paths.append(path)
    return paths


def check_networks(config: RunConfig, card: DataCard) -> None:
    """Refuse a backbone that cannot make samples of the data, before anything slow begins.

    Raises:
        ConfigError: says what it can make.
    """
    try:
        with building():
            build_game(config.backbone, card.shape, card.condition, config.game, card.partner)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def check_place(execution: ExecutionConfig, choice: Choice, say: Callable[[str], None]) -> None:
    """Refuse a device or a cluster that is not there, before anything slow begins.

    Raises:
        ConfigError: there is no such device, or no cluster at that address.
    """
    if choice.executor == "local" and execution.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("execution.device: cuda was asked for, but torch finds no GPU here")
    if choice.executor == "ray" and find_spec("ray") is not None:
        from populations.executors.ray.joining import check_cluster

        try:
            check_cluster(execution, say)
        except ConnectionError as error:
            raise ConfigError(str(error)) from None


def precision_advice(execution: ExecutionConfig, backbone: str) -> str | None:
    """Return a line on arithmetic that this machine lacks, or has and a new run does not use."""
    if execution.precision == "tf32" and _on_cpu(execution):
        return "execution.precision: tf32 is for a GPU; on a CPU this run computes in float32"
    if "precision" in execution.model_fields_set or backbone == "mlp":  # a kept config names it
        return None
    unit = bfloat16_unit()
    if unit is None:
        return None
    return (
        f"this processor multiplies bfloat16 ({unit}): with --set execution.precision=auto a run "
        "measures what is fastest before it begins; the bits are then others"
    )


def _on_cpu(execution: ExecutionConfig) -> bool:
    """Return whether the replicas are on a CPU for sure: a cluster's nodes may have GPUs."""
    if execution.device == "auto" and choose_executor(execution).executor == "ray":
        return not named_cluster(execution) and not torch.cuda.is_available()
    return _local_device(execution) == "cpu"


def _local_device(execution: ExecutionConfig) -> str:
    if execution.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return execution.device
