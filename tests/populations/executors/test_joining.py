"""Joining Ray, or starting it: what is wrong is found out soon, and said in one line."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest

from populations.executors.base import PlacementConfig, WorkerLost
from populations.messages import tell

ray = pytest.importorskip("ray")
from populations.executors.ray import joining
from populations.executors.ray.cluster import dead_here, is_ready
from populations.executors.ray.joining import connect

pytestmark = pytest.mark.ray
GRPC = bytes((0, 0, 0, joining.SETTINGS, 0, 0, 0, 0, 0))


@pytest.fixture
def listening() -> Iterator[object]:
    """Listen on a port and answer each connection with what is given; give the address."""
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []
    kept: list[socket.socket] = []

    def listen(answer: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            while True:
                try:
                    there, _ = server.accept()
                except OSError:
                    return
                kept.append(there)  # open, and silent after the answer
                with suppress(OSError):  # the other side has left
                    there.sendall(answer)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield listen
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
    for thread in threads:
        thread.join()
    for each in servers + kept:
        each.close()


def refused(address: str | None, said: list[str] | None = None) -> str:
    """Return why there is no joining."""
    with pytest.raises(ConnectionError) as error:
        connect(PlacementConfig(address=address), (), (said if said is not None else []).append)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n"])
def test_what_is_no_head_is_told_soon(answer, listening, monkeypatch):
    monkeypatch.setattr(joining, "GREETING_TIMEOUT", 0.2)
    begin = time.monotonic()
    address = listening(answer)
    assert f"answers at '{address}': another program listens on that port" in refused(address)
    assert "Connection refused" in refused("127.0.0.1:1")
    assert time.monotonic() - begin < 5


def test_a_token_that_is_refused_is_named(listening, monkeypatch, capfd, tmp_path):
    def client(address: str) -> None:
        os.write(2, b"[2026 W] gcs_client.cc:210: Failed to get cluster ID\n")
        raise ray.exceptions.AuthenticationError("Unauthenticated: RPC error: InvalidAuthToken")

    monkeypatch.setattr(joining._raylet, "GcsClient", client)
    monkeypatch.setattr(joining, "TOKEN", tmp_path / "auth_token")
    for name in joining.TOKEN_NAMES:
        monkeypatch.delenv(name, raising=False)
    address = listening(GRPC)
    message = refused(address)
    assert "requires a token, and this user has none" in message and "auth_token" in message
    (tmp_path / "auth_token").write_text("0" * 64)
    assert f"requires another token than the one in {tmp_path / 'auth_token'}" in refused(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "1" * 64)
    message = refused(address)
    assert "another token than the one of RAY_AUTH_TOKEN:" in message and "111" not in message
    assert capfd.readouterr().err == ""


def test_what_is_told_while_ray_is_muted_is_seen(listening, monkeypatch, capfd):
    def client(address: str) -> None:
        os.write(2, b"[2026 W] gcs_client.cc:210: Failed to get cluster ID\n")
        tell("stopped at once")
        raise OSError("gone")

    monkeypatch.setattr(joining._raylet, "GcsClient", client)
    assert "gone" in refused(listening(GRPC))
    tell("and again")
    assert capfd.readouterr().err == "\nstopped at once\n\nand again\n"


def test_a_head_that_does_not_answer_is_waited_for_in_words_and_not_for_ever(
    listening, monkeypatch
):
    for name, seconds in (("HEALTH_TIMEOUT", 0.3), ("SILENCE", 0.1)):
        monkeypatch.setattr(joining, name, seconds)
    monkeypatch.setattr(joining._raylet, "GcsClient", lambda address: time.sleep(3))
    said: list[str] = []
    address = listening(GRPC)
    assert "no answer in 0.3 s" in refused(address, said)
    assert said == [f"waiting for the Ray cluster at {address!r}"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("AF_UNIX path length cannot exceed 107 bytes: /x"), "Set TMPDIR to a shorter one"),
        (Exception("Timed out waiting for file\n/tmp/x/gcs_server_port"), "MiB are free"),
        (RuntimeError("cannot allocate memory"), "cannot allocate memory"),
    ],
)
def test_ray_that_cannot_start_here_is_told_with_what_to_do(error, told, monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "not" / "there"))
    seen: list[str] = []

    def init(**arguments: object) -> None:
        seen.append(os.environ[joining.RECONNECT])
        raise error

    monkeypatch.setattr(ray, "init", init)
    message = refused(None)
    assert message.startswith("Ray cannot start here: ") and told in message
    assert "--executor local" in message and str(tmp_path) in message
    # Ray's agents, which inherit it, must not outlive a killed driver for minutes.
    assert seen == [joining.ORPHAN] and os.environ[joining.RECONNECT] != joining.ORPHAN


def test_this_process_keeps_its_patience_while_those_it_starts_have_less(monkeypatch):
    seen: list[str] = []
    patience = os.environ[joining.RECONNECT]

    def connect() -> None:
        seen.append(os.environ[joining.RECONNECT])

    def init(**arguments: object) -> None:
        seen.append(os.environ[joining.RECONNECT])  # its processes are started
        joining.worker.connect()

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(joining.worker, "connect", connect)
    monkeypatch.setattr(joining.worker, "print_to_stdstream", None)
    monkeypatch.setattr(ray, "init", init)
    joining.connect(PlacementConfig(), (), print)
    assert seen == [joining.ORPHAN, patience] and patience != joining.ORPHAN
    assert joining.worker.connect is connect and os.environ[joining.RECONNECT] == patience


@pytest.mark.parametrize(
    ("dead", "told"), [(["gcs_server"], ["its head, gcs_server"]), (["log_monitor"], [])]
)
def test_the_death_of_what_ray_needs_here_is_seen(dead, told, monkeypatch):
    node = SimpleNamespace(dead_processes=lambda: [(kind, None) for kind in dead])
    monkeypatch.setattr(joining.worker, "_global_node", node)
    assert dead_here() == told


def test_a_broken_connection_to_ray_here_is_a_loss_with_its_cause(monkeypatch):
    def broken(references: list[object], **options: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    node = SimpleNamespace(dead_processes=lambda: [("raylet", None)])
    monkeypatch.setattr(joining.worker, "_global_node", node)
    monkeypatch.setattr(ray, "wait", broken)
    with pytest.raises(WorkerLost, match="the raylet, has died: it was killed"):
        is_ready(object())


NOBODY = """
import os, pwd
os.environ.pop("HOME", None)
def unknown(user):
    raise KeyError("getpwuid(): uid not found: 12345")
pwd.getpwuid = unknown
import populations.executors.ray.joining
"""


@pytest.mark.process
def test_a_user_without_a_home_can_use_ray():
    done = subprocess.run(
        [sys.executable, "-c", NOBODY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("writable", "kept"), [(True, True), (False, False)])
def test_ray_has_a_token_where_the_home_keeps_none(writable, kept, monkeypatch, tmp_path):
    for name in joining.TOKEN_NAMES:
        monkeypatch.setenv(name, "so that it is removed again")
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    asked: list[object] = []
    monkeypatch.setattr(joining, "TOKEN", home / ".ray" / "auth_token")
    monkeypatch.setattr(joining.os, "access", lambda *of: asked.append(of) or writable)
    joining._give_token()
    assert asked == [(home, os.W_OK)]
    assert ("RAY_AUTH_TOKEN" not in os.environ) is kept  # Ray itself writes one to the home
