"""Whom the page answers, and where it listens; without Gradio."""

import asyncio
import socket

import pytest

from runs.common.errors import ConfigError
from runs.explore import serving
from runs.explore.serving import POLICY, Guard, is_loopback, listener


async def page(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def ask(token=None, host="127.0.0.1:7860", query="", cookie=""):
    """Return the status, the headers and the text of an answer."""
    sent = []

    async def send(message):
        sent.append(message)

    headers = [(b"host", host.encode()), (b"cookie", cookie.encode())]
    scope = {"type": "http", "headers": headers, "query_string": query.encode()}
    asyncio.run(Guard(page, "explore-1", token)(scope, None, send))
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"].decode()


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "localhost"])
def test_this_machine_is_answered(host):
    status, headers, text = ask(host=host)
    assert (status, text) == (200, "page")
    assert headers[b"content-security-policy"].decode() == POLICY


@pytest.mark.parametrize(
    "host", ["evil.example:7860", "localhost.evil.example", "", "10.0.0.1:7860"]
)
def test_a_name_that_points_here_is_not(host):
    assert ask(host=host)[0] == 403


def test_a_token_is_needed_once():
    status, headers, text = ask("secret", "10.0.0.1:7860", "token=secret")
    assert (status, text) == (303, "")
    cookie = headers[b"set-cookie"].decode()
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert ask("secret", "10.0.0.1:7860", cookie=cookie.partition(";")[0])[2] == "page"


@pytest.mark.parametrize(
    ("query", "cookie"),
    [("", ""), ("token=", ""), ("token=secre", ""), ("", "explore-1="), ("", "explore-2=secret"),
     ("token=s%C3%A9cret", ""), ("", "\x00=;;=")],
)  # fmt: skip
def test_without_the_token_nothing_is_shown(query, cookie):
    status, headers, text = ask("secret", "10.0.0.1:7860", query, cookie)
    assert status == 401 and "token" in text and "page\n" not in text
    assert b"set-cookie" not in headers


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("node-3", False)],
)  # fmt: skip
def test_what_is_loopback(host, expected):
    assert is_loopback(host) is expected


def test_a_port_that_is_taken_is_passed_over_or_refused(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {taken}: nothing can listen there"):
            listener("127.0.0.1", taken)
        monkeypatch.setattr(serving, "PORT", taken)
        with listener("127.0.0.1", None) as found:
            assert found.getsockname()[1] > taken


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ConfigError, match=r"--host 192\.0\.2\.1: nothing can listen there"):
        listener("192.0.2.1", 0)


def test_a_missing_package_is_named_with_what_to_install(monkeypatch, mistake):
    monkeypatch.setattr(serving, "find_spec", lambda name: None)
    told = mistake("explore", "nowhere")
    assert told.strip().count("\n") == 0
    assert "explore needs gradio" in told and "pip install gradio" in told
