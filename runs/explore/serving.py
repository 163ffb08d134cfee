"""The server of the page: loopback alone, or with a token; nothing from elsewhere.

Every answer has a content security policy, by which the browser asks no other server.
"""

import logging
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from errno import EACCES, EADDRINUSE
from http.cookies import CookieError, SimpleCookie
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from runs.common.errors import ConfigError
from runs.explore.catalogue import Catalogue

PACKAGES = ("gradio",)
HOST = "127.0.0.1"
PORT, PORTS = 7860, 20  # the first one that is tried, and how many
LARGEST_UPLOAD = 2**25  # bytes
LOCAL = ("localhost", "127.0.0.1", "[::1]", "::1")
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'self'; "
    "frame-ancestors 'self'; base-uri 'self'"
)
Message = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


def check_packages() -> None:
    """Refuse a page that would fail for want of a package.

    Raises:
        ConfigError: names it.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"explore needs {', '.join(missing)}, which is not installed; install it: "
            f"pip install {' '.join(PACKAGES)}"
        )


def serve(
    catalogue: Catalogue,
    host: str = HOST,
    port: int | None = None,
    ready: Callable[[str], None] = print,
) -> None:
    """Serve the page until SIGINT or SIGTERM.

    Args:
        catalogue: of the generators.
        host: the address to listen on; beyond loopback a token is needed.
        port: to listen on, 0: any free one; None: the first free one from `PORT` on.
        ready: called with the page's address, once it can be opened; the token is in it.

    Raises:
        ConfigError: nothing can listen there, or gradio is not installed.
    """
    check_packages()
    with listener(host, port) as waiting, tempfile.TemporaryDirectory(prefix="explore-") as folder:
        number = waiting.getsockname()[1]
        token = None if is_loopback(host) else secrets.token_urlsafe(24)
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploads and pictures, which go with the process
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_OFFLINE"] = "1"
        application = Guard(_application(catalogue), f"explore-{number}", token)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{number}/" + (f"?token={token}" if token else "")
        _run(application, waiting, lambda: ready(address))


def listener(host: str, port: int | None) -> socket.socket:
    """Return a socket that is bound; see `serve`.

    Raises:
        ConfigError: the port is taken, or there is no such address here.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tried = range(PORT, PORT + PORTS) if port is None else (port,)
    for number in tried:
        waiting = socket.socket(family)
        waiting.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            waiting.bind((host, number))
            waiting.listen()
        except OSError as error:
            waiting.close()
            reason = error.strerror or str(error)
            if port is not None or number == tried[-1] or error.errno != EADDRINUSE:
                what = (
                    f"--port {number}" if error.errno in (EADDRINUSE, EACCES) else f"--host {host}"
                )
                raise ConfigError(f"{what}: nothing can listen there ({reason})") from None
        else:
            return waiting
    raise AssertionError("the last port has raised")


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False


def _application(catalogue: Catalogue) -> Application:
    """Return Gradio's application, which answers the page's requests."""
    import gradio
    from fastapi import FastAPI

    from runs.explore.frame import CSS, THEME
    from runs.explore.page import page_of

    gradio.processing_utils.async_ssrf_protected_get = _refuse  # as in every download of its own
    page = page_of(catalogue)
    page.queue(default_concurrency_limit=1)
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    return gradio.mount_gradio_app(  # type: ignore[no-any-return]
        application,
        page,
        "/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=LARGEST_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=THEME,
        css=CSS,
    )


async def _refuse(url: str) -> None:
    """Refuse a file that lies elsewhere: Gradio would download what a request names.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"nothing is downloaded here, and {url} is not a file of this page")


def _run(application: Application, waiting: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until a signal comes."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Open pages are waiting for answers, which is no error that anyone wants to read.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it as Ctrl-C does
    with suppress(KeyboardInterrupt):
        Server(config).run(sockets=[waiting])


class Guard:
    """What stands before the page: it knows whom it answers, and what the browser may load.

    With a token, a browser is answered that came once with it in the address, and has kept it as a
    cookie. Without one, requests must be for this machine by name: a page of another site that
    has made its own name point here is not answered.
    """

    def __init__(self, application: Application, cookie: str, token: str | None) -> None:
        self._application, self._cookie, self._token = application, cookie, token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if self._token is None:
            if _name(headers.get("host", "")) in LOCAL:
                await self._application(scope, receive, _with_policy(send))
            else:
                await _answer(send, 403, "this page is for this machine alone")
        elif self._is_token(_cookies(headers.get("cookie", "")).get(self._cookie, "")):
            await self._application(scope, receive, _with_policy(send))
        elif self._is_token(given):
            kept = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(send, 303, "", (("location", "/"), ("set-cookie", kept)))
        else:
            text = "this page needs its token: open the address that the command has printed"
            await _answer(send, 401, text)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), str(self._token).encode())


def _name(host: str) -> str:
    """Return the name in a Host header, without the port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: found.value for name, found in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _with_policy(send: Send) -> Send:
    """Return what sends an answer with the content security policy."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [
                (b"content-security-policy", POLICY.encode()),
                (b"referrer-policy", b"no-referrer"),
            ]
            message["headers"] = [*message.get("headers", ()), *own]
        await send(message)

    return sending


async def _answer(
    send: Send, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()
) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    pairs.append((b"content-type", b"text/plain; charset=utf-8"))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": text.encode()})
