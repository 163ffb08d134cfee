"""Joining a Ray cluster, or starting Ray here, with quick checks and clear errors."""

import logging
import os
import resource
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread, Timer
from typing import Any

from populations.executors.base import PlacementConfig
from populations.executors.ray.cluster import (  # first: it sets how Ray is imported
    RECONNECT,
    TOKEN,
    TOKEN_NAMES,
    cluster_address,
    cpus_of,
    is_joined,
    leave,
)
from populations.messages import muted_stderr, one_line

import ray  # isort: skip
from ray import _raylet, exceptions  # isort: skip
from ray._private import ray_constants, worker  # isort: skip

Say = Callable[[str], None]
KNOCK_TIMEOUT = 20.0  # seconds for a head's machine to take a connection
GREETING_TIMEOUT = 10.0  # seconds for what listens there to say that it speaks gRPC
HEALTH_TIMEOUT = 45.0  # seconds for a head to let us in; Ray itself gives up after 40
SILENCE = 5.0  # seconds until a person is told what is waited for
ORPHAN = "10"  # seconds that Ray's processes, started here, outlive their head
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # RFC 9113, 3.4
SETTINGS = 4  # the kind of frame that an HTTP/2 server answers with
RAY_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # read when Ray is imported
LOOPBACK_BEFORE, BEYOND_BEFORE = os.environ.get(RAY_CLUSTERS), ray_constants.ENABLE_RAY_CLUSTER


def connect(config: PlacementConfig, code: Sequence[Path], say: Say) -> None:
    """Join the cluster of `execution.address` or RAY_ADDRESS; without either start Ray here.

    Args:
        config: where to, and how much is needed.
        code: folders and files to send to the nodes, where the config says so.
        say: told what is waited for, if that takes long.

    Raises:
        ConnectionError: there is no cluster at that address, or Ray cannot start here.
    """
    _connect(config, code, say)
    # What befalls a worker or a node we say ourselves; Ray adds 20 lines of its logs, twice.
    worker.print_to_stdstream = lambda *_, **__: None


def _connect(config: PlacementConfig, code: Sequence[Path], say: Say) -> None:
    address = cluster_address(config)
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        _start_here(config, common, say)
        return
    _keep_to_loopback(False)
    if config.ship_code:
        modules = [str(path) for path in code]
        common["runtime_env"] = {"py_modules": modules, "excludes": ["__pycache__"]}
    with _asking(address, say):
        _check(address)
        ray.init(address=address, **common)


def check_cluster(config: PlacementConfig, say: Say) -> None:
    """Ask a named cluster whether it lets us in, without joining it; see `connect`.

    Raises:
        ConnectionError: there is no cluster at that address.
    """
    address = cluster_address(config)
    if address and not is_joined():
        with _asking(address, say):
            _check(address)


@contextmanager
def _asking(address: str, say: Say) -> Iterator[None]:
    """Say what is waited for, and in one line why a cluster does not let us in.

    Raises:
        ConnectionError: it does not.
    """
    try:
        with _told(say, f"waiting for the Ray cluster at {address!r}"):
            yield
    except exceptions.AuthenticationError:
        raise ConnectionError(
            f"the Ray cluster at {address!r} requires {_token_wanted()}: copy "
            "the head's ~/.ray/auth_token here, or set RAY_AUTH_TOKEN_PATH to a file with it"
        ) from None
    except (
        *(OSError, ValueError, RuntimeError, OverflowError),  # of a port, the last
        exceptions.RayError,
    ) as error:
        reason = one_line(error, 300)
        raise ConnectionError(f"no Ray cluster answers at {address!r}: {reason}") from None


def _start_here(config: PlacementConfig, common: dict[str, Any], say: Say) -> None:
    """Start Ray on this machine, for this process.

    Raises:
        ConnectionError: it cannot start.
    """
    _keep_to_loopback(True)
    wanted = 0.0 if config.workers == "auto" else config.workers * cpus_of(config)
    cpus = max(os.cpu_count() or 1, -int(-wanted // 1))
    try:
        with _short_lived(), _told(say, "waiting for Ray to start on this machine"):
            _give_token()
            ray.init(address="local", include_dashboard=False, num_cpus=cpus, **common)
    except Exception as error:  # of Ray, of its processes, of files
        leave()
        raise ConnectionError(_why_not_here(error)) from None


@contextmanager
def _short_lived() -> Iterator[None]:
    """Let Ray's processes that start within end soon after their head.

    This process keeps its own patience, else Ray would end it without a word of ours. Ray reads the
    variable once more when it connects, after it has started the others.
    """
    patience, connect = os.environ[RECONNECT], worker.connect

    def patiently(*arguments: Any, **named: Any) -> Any:
        os.environ[RECONNECT] = patience
        return connect(*arguments, **named)

    os.environ[RECONNECT], worker.connect = ORPHAN, patiently
    try:
        yield
    finally:
        os.environ[RECONNECT], worker.connect = patience, connect


def _token_wanted() -> str:
    """Return which token a cluster requires that refused this user's, if there is one."""
    found = sorted(TOKEN_NAMES & os.environ.keys())  # the token itself first, as Ray takes them
    if not (found or TOKEN.exists()):
        return "a token, and this user has none"
    return f"another token than the one {f'of {found[0]}' if found else f'in {TOKEN}'}"


def _give_token() -> None:
    """Give Ray a token of its own where it cannot keep one in the user's home."""
    if TOKEN_NAMES.isdisjoint(os.environ) and not TOKEN.exists():
        home = next((path for path in TOKEN.parents if path.exists()), Path())
        if not os.access(home, os.W_OK):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _why_not_here(error: Exception) -> str:
    """Return why Ray could not be started here, and what to change."""
    folder = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp").absolute()
    reason, otherwise = one_line(error, 300), "or go without Ray: --executor local"
    if "AF_UNIX" in reason:
        return (
            f"Ray cannot start here: the name of its folder for temporary files, {folder}, is too "
            f"long for a socket. Set TMPDIR to a shorter one, such as /tmp, {otherwise}"
        )
    reason = reason.rstrip(".")
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    room = shutil.disk_usage(there).free / 2**20
    return (
        f"Ray cannot start here: {reason.rstrip('.')}. It needs memory{_limit()}, a machine that "
        f"is not too busy ({os.getloadavg()[0]:.0f} processes want its {os.cpu_count()} cores), "
        f"and room in its folder for temporary files, {folder} ({room:,.1f} MiB are free; TMPDIR "
        "names another folder), with its logs in ray/session_latest/logs. Put that right, "
        f"{otherwise}"
    )


def _limit() -> str:
    """Return a note on the limit that the shell sets to the memory of a process, if it does.

    Ray's processes reserve many times the addresses that they use.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return ""
    return f" (ulimit -v allows {limit / 2**30:.1f} GiB of addresses: lift it)"


@contextmanager
def _told(say: Say, what: str) -> Iterator[None]:
    """Print what the run waits for, if it takes long."""
    timer = Timer(SILENCE, say, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check(address: str) -> None:
    """Check that a Ray head listens at HOST:PORT and lets us in; Ray would try for minutes.

    Raises:
        OSError: nothing listens there, or something else does.
        AuthenticationError: it wants another token.
        RayError: it does not answer as a head does.
    """
    host, _, port = address.rpartition(":")
    if "://" in address or not (host and port.isdecimal()):
        return  # a name that Ray knows, or another way of joining
    with socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_TIMEOUT) as there:
        there.settimeout(GREETING_TIMEOUT)
        there.sendall(HELLO)
        try:
            greeting = there.recv(9)
        except OSError:
            greeting = b""
    if len(greeting) < 9 or greeting[3] != SETTINGS:
        raise OSError("another program listens on that port, not a Ray head")
    _ask(address)


def _ask(address: str) -> None:
    """Ask a head for its cluster, in another thread, so that signals are handled meanwhile.

    Raises:
        RayError: see `_check`.
        TimeoutError: it does not answer.
    """
    found: list[BaseException] = []

    def ask() -> None:
        try:
            _raylet.GcsClient(address=address)  # type: ignore[attr-defined]
        except Exception as error:
            found.append(error)

    thread = Thread(target=ask, daemon=True)
    with muted_stderr():  # our own message replaces what Ray's code writes there
        thread.start()
        thread.join(HEALTH_TIMEOUT)
    if thread.is_alive():
        raise TimeoutError(f"no answer in {HEALTH_TIMEOUT:g} s")
    if found:
        raise found[0]


def _keep_to_loopback(only: bool) -> None:
    """Let Ray, its workers too, listen on the loopback address alone, as it does on a Mac.

    Told an address of 127.0.0.1, it would take the machine's own one instead.
    """
    if only:
        os.environ[RAY_CLUSTERS] = "0"
    elif LOOPBACK_BEFORE is None:
        os.environ.pop(RAY_CLUSTERS, None)
    else:
        os.environ[RAY_CLUSTERS] = LOOPBACK_BEFORE
    ray_constants.ENABLE_RAY_CLUSTER = BEYOND_BEFORE and not only
