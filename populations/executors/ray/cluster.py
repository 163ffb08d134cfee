"""The Ray executor's use of Ray: its room, its head, its errors; see also `joining`."""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

RECONNECT = "RAY_gcs_rpc_server_reconnect_timeout_s"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry leaves
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # keep CPU actors from a warning
# Without its head Ray ends the program, wordlessly for the user, after these seconds; we say it.
os.environ.setdefault(RECONNECT, "120")
# `ray start` protects a cluster by the token it finds. Ray decides once, when it is imported,
# whether to show it; a program that imports Ray before us decides for itself.
TOKEN, TOKEN_NAMES = Path("~", ".ray", "auth_token"), {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
with suppress(RuntimeError):  # a user of whom the system knows no home
    TOKEN = TOKEN.expanduser()
if "ray" not in sys.modules and (not TOKEN_NAMES.isdisjoint(os.environ) or TOKEN.exists()):
    os.environ.setdefault("RAY_AUTH_MODE", "token")

import ray
from ray import exceptions
from ray._private import ray_constants, worker

from populations.executors.base import PlacementConfig, WorkerLost, out_of_memory

LOOK = 2.0  # seconds between looks at the head
HEAD_PATIENCE = 40.0  # seconds until a silent head counts as lost
SECOND_LOOK = 5.0  # seconds that it then has to prove itself
CLOSE_TIMEOUT = 20.0  # seconds that leaving a cluster may take
NODE = "ray.io/node-id"  # a label that Ray gives every node
VITAL = {
    ray_constants.PROCESS_TYPE_GCS_SERVER: "its head, gcs_server",
    ray_constants.PROCESS_TYPE_RAYLET: "the raylet",
}
HELD = "held"  # a group of calls with a thread of its own, which answers while a step runs
LOST = (
    exceptions.RayActorError,
    exceptions.ObjectLostError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.GetTimeoutError,
    exceptions.LocalRayletDiedError,
    exceptions.RaySystemError,
)


def is_joined() -> bool:
    """Return whether this process is part of a Ray cluster."""
    return bool(ray.is_initialized())


def leave() -> None:
    """Leave the cluster, or stop the one that was started here, even if its head is lost."""
    bounded(ray.shutdown, CLOSE_TIMEOUT)


def cluster_address(config: PlacementConfig) -> str | None:
    """Return the address of the cluster to join, if one is named."""
    return config.address or os.environ.get("RAY_ADDRESS") or None


def choose_device(config: PlacementConfig) -> str:
    """Return "cuda" where the config asks for it, or leaves it open and the cluster has GPUs."""
    if config.device == "auto":
        return "cuda" if ray.cluster_resources().get("GPU", 0) >= config.gpus else "cpu"
    return config.device


def worker_count(config: PlacementConfig, device: str, children: int) -> int:
    """Return how many workers fit on the nodes that are there now.

    Raises:
        ValueError: the number asked for does not fit.
    """
    have = ray.cluster_resources()
    room = places(have, actor_options(config, device))
    count = min(children, room) if config.workers == "auto" else config.workers
    if not 1 <= count <= room:
        listed = ", ".join(
            f"{have.get(name, 0):g} {name}" for name in ("CPU", "GPU", *config.resources)
        )
        raise ValueError(
            f"execution.workers: {config.workers} worker(s) of {unit(config, device)} each do not "
            f"fit, for there are {listed}. Ask for fewer workers (--workers N) or smaller ones "
            "(execution.threads, execution.gpus, execution.resources)"
        )
    _check_labels(config.labels)
    return count


def _check_labels(wanted: Mapping[str, str]) -> None:
    """Refuse a label that this machine has not, where no other will come; not sets of values.

    Raises:
        ValueError: it has not.
    """
    there = ray.nodes()[0]["Labels"]
    for key, value in wanted.items():
        if not value.startswith(("!", "in(")) and there.get(key) != value:
            raise ValueError(
                f"execution.labels: {key}={value} is wanted, but no cluster is named, and this "
                f"machine has {key}={there.get(key)}. Give the cluster's address (--address), or "
                "leave the label out"
            )


def places(have: dict[str, float], options: dict[str, Any]) -> int:
    """Return how many actors the resources suffice for, borders between nodes ignored."""
    needs = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus", 0)}
    needs |= options.get("resources", {})
    return min(int(have.get(name, 0) / need + 1e-9) for name, need in needs.items() if need)


def cpus_of(config: PlacementConfig) -> float:
    """Return the CPUs reserved per worker."""
    return config.cpus or config.threads


def actor_options(config: PlacementConfig, device: str) -> dict[str, Any]:
    """Return the options of a worker's actor: the resources that it reserves."""
    options: dict[str, Any] = {"num_cpus": cpus_of(config), "concurrency_groups": {HELD: 1}}
    if device == "cuda":
        options["num_gpus"] = config.gpus
    if config.resources:
        options["resources"] = dict(config.resources)
    if config.labels:
        options["label_selector"] = dict(config.labels)
    return options


def unit(config: PlacementConfig, device: str) -> str:
    """Return the resources of a worker, in words."""
    parts = [f"{config.gpus:g} GPU"] if device == "cuda" else []
    parts.append(f"{cpus_of(config):g} CPU")
    parts += [f"{amount:g} {name}" for name, amount in config.resources.items()]
    parts += [f"a node with {key}={value}" for key, value in config.labels.items()]
    return ", ".join(parts)


def get(reference: Any) -> Any:
    """Return a ready call's result; what the replica raised is raised here as it was there."""
    try:
        return ray.get(reference)
    except exceptions.RayTaskError as error:
        if error.cause is None:
            raise
        raise error.cause from error  # which shows where, in the worker


def is_ready(reference: Any) -> bool:
    """Return whether a call has ended, with a result or an error."""
    return bool(first_ready([reference], 0))


def first_ready(references: Sequence[Any], seconds: float) -> list[Any]:
    """Return the first of the references that is ready, if any is in time.

    Raises:
        WorkerLost: the connection to Ray is broken, so its process on this machine has died.
    """
    try:
        return list(ray.wait(list(references), num_returns=1, timeout=seconds)[0])
    except OSError as error:
        raise died_here() from error


def is_loss(error: BaseException) -> bool:
    """Return whether an error is a loss: another or a restarted worker may succeed."""
    return isinstance(error, LOST) or out_of_memory(error)


def tells_of_lost_node(error: BaseException) -> bool:
    """Return whether Ray says that a worker died with its node, or never ran there."""
    return isinstance(error, exceptions.RayActorError) and "its node has died" in str(error)


def short_of_memory(error: BaseException) -> bool:
    """Return whether memory was short, or Ray ended the worker to prevent that."""
    return out_of_memory(error) or "memory_usage_threshold" in str(error)  # of its advice


def reason_to_replace(error: Exception) -> Exception:
    """Return an error that calls for a new worker; raise one of the replica or of the run."""
    if not is_loss(error):
        raise error
    return error


def advice(error: BaseException) -> str:
    """Return what to change where memory was short."""
    if not short_of_memory(error):
        return ""
    return (
        ". Memory was short: give a worker more (a larger execution.gpus or execution.cpus, so "
        "that fewer share a device), or make less at a time (population.batch, fitness.batch), "
        "which takes a new run or a fork"
    )


def raise_mistake(error: BaseException) -> None:
    """Raise an error that a user can correct, if that is why a worker could not start.

    Raises:
        ValueError: the code is not on the node.
    """
    text = str(error)
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        raise ValueError(f"execution.ship_code: the code did not reach a node: {text}") from error
    missing = [line.strip() for line in text.splitlines() if "No module named" in line]
    if missing:
        raise ValueError(
            f"a node of the cluster cannot import what a worker needs ({missing[-1]}): install "
            "the package there, or set execution.ship_code for the project's own"
        ) from error


def bounded(action: Callable[[], Any], seconds: float) -> Any:
    """Return an action's result; None if it fails, or takes too long, as with a lost head."""
    results: list[Any] = []

    def act() -> None:
        try:
            results.append(action())
        except Exception:
            results.append(None)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else None


def free_resources() -> str:
    """Say what is free in the cluster, as far as its head answers."""
    free = bounded(ray.available_resources, LOOK) or {}
    names = sorted(k for k in free if not k.startswith(("node:", "object_store", "memory")))
    listed = ", ".join(f"{free[name]:g} {name}" for name in names) or "nothing"
    return f"free in the cluster: {listed}"


def dead_here() -> list[str]:
    """Return the names of the processes without which Ray, started by this one, is lost."""
    node = worker._global_node
    dead = {kind for kind, _ in node.dead_processes()} if node is not None else set()
    return [name for kind, name in VITAL.items() if kind in dead]


def died_here() -> WorkerLost:
    """Return the error that Ray has died on this machine."""
    which = " and ".join(dead_here()) or "the raylet"
    return WorkerLost(
        f"Ray's process on this machine, {which}, has died: it was killed, perhaps for want of "
        "memory, or it crashed. Where you started Ray yourself, start it again; to go on without "
        "Ray, give --executor local"
    )


class Head:
    """Watches the cluster's head from a thread of its own, since a lost head answers no call."""

    def __init__(self) -> None:
        self._address = ray.get_runtime_context().gcs_address
        self._here = ray.get_runtime_context().get_node_id()
        self._answered = time.monotonic()
        self._suspected: float | None = None
        self._gone: frozenset[str] = frozenset()
        self._changed = threading.Condition()
        self._wanted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="head", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Do nothing while the head answers.

        Raises:
            WorkerLost: it has not for too long, or Ray has died on this machine.
        """
        if self.lost_here:
            raise died_here()
        now = time.monotonic()
        silent = now - self._answered
        if silent <= HEAD_PATIENCE:
            self._suspected = None
            return
        self._suspected = self._suspected or now
        if now - self._suspected > SECOND_LOOK:  # else it may be we who were stopped for a while
            raise WorkerLost(
                f"the Ray cluster's head at {self._address} has not answered for {silent:.0f} s. "
                "Start the cluster again, then resume the run"
            )

    def wait(self, references: Sequence[Any], patience: float) -> list[Any]:
        """Return the first of the references that is ready, if any is in time.

        Raises:
            WorkerLost: the head is lost meanwhile.
        """
        end = time.monotonic() + patience
        while True:
            self.check()
            left = end - time.monotonic()
            ready = first_ready(references, max(0.0, min(LOOK, left)))
            if ready or left <= LOOK:
                return ready

    def is_gone(self, node: str) -> bool:
        """Return whether a node has gone away, as far as the head knows now."""
        asked = time.monotonic()
        with self._changed:
            self._wanted.set()
            self._changed.wait_for(lambda: self._answered > asked, timeout=LOOK)
            return node in self._gone

    @property
    def lost_here(self) -> bool:
        """Whether Ray has died on this machine: then it ends the program if it is called."""
        return self._here in self._gone or bool(dead_here())

    def look(self) -> None:
        """Check again, after a fresh look.

        Raises:
            WorkerLost: see `check`.
        """
        self.is_gone(self._here)
        self.check()

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        self._wanted.set()
        self._thread.join(LOOK)  # Ray must not be left in the middle of a look

    def _watch(self) -> None:
        while not self._closed:
            self._wanted.clear()
            try:
                asked = time.monotonic()
                nodes = ray.nodes()  # does not return while the head is away
            except Exception:  # Ray is being left, or fails in a way of its own
                nodes = None
            if nodes is not None:
                with self._changed:
                    self._gone = frozenset(n["NodeID"] for n in nodes if not n["Alive"])
                    self._answered = asked
                    self._changed.notify_all()
            self._wanted.wait(LOOK)
