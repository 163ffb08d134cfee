"""The page in headless Chromium: it is loaded and clicked, pictures change, errors are shown."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runs.study.pages import CHROMIUM, needs_chromium

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(600),
    needs_chromium,
    pytest.mark.skipif(find_spec("gradio") is None, reason="the extra [explore] is not installed"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright is not installed"),
]
PICTURES = "() => [...document.querySelectorAll('#stage img')].map(image => image.src).join()"
WAIT = 60_000  # milliseconds: the machine may be busy


@contextmanager
def served(*arguments):
    """Run the command; the address that it prints."""
    command = [sys.executable, str(ROOT / "run_evolution.py"), "explore", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        try:
            line = server.stdout.readline()
            assert line.startswith("open http://"), line + server.stdout.read()
            yield line.split()[1]
        finally:
            server.terminate()
            rest = server.communicate(timeout=60)[0]
    assert "Traceback" not in rest, rest


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, address):
    """Open the page; in the end nothing was asked of another server, and no script has failed."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(address)
    yield page
    page.close()
    own = address.partition("?")[0]
    assert [url for url in asked if not url.startswith((own, "data:", "blob:"))] == []
    assert failed == []


def shown(page):
    page.wait_for_function(f"({PICTURES})() != ''", timeout=WAIT)
    return page.evaluate(PICTURES)


def changed(page, act):
    """Do something, wait until the pictures are others, and return them."""
    before = page.evaluate(PICTURES)
    act()
    page.wait_for_function(f"old => ({PICTURES})() != old", arg=before, timeout=WAIT)
    return page.evaluate(PICTURES)


def error(page):
    page.wait_for_selector("#message .mistake", timeout=WAIT)
    return page.inner_text("#message .mistake")


def wait_for(text, page, selector):
    page.wait_for_function(
        "([where, text]) => document.querySelector(where).innerText.includes(text)",
        arg=[selector, text],
        timeout=WAIT,
    )


def tab(page, name):
    return lambda: page.get_by_role("tab", name=name).click()


def test_a_conditional_run_is_played_with(digits, browser):
    with served(digits, "--port", 0) as address, opened(browser, address) as page:
        first = shown(page)
        wait_for("digits: generation 4 of 4", page, "#stage")
        assert changed(page, lambda: page.fill("#seed input", "5")) != first
        page.fill("#seed input", "-1")
        assert "a seed is a whole number" in error(page)
        assert "Traceback" not in page.inner_text("body")
        changed(page, lambda: page.fill("#seed input", "6"))
        page.wait_for_selector("#message .mistake", state="detached", timeout=WAIT)
        page.click("#classes input")
        changed(page, page.get_by_role("option", name="7").click)
        page.keyboard.press("Escape")
        page.click("#names input")
        older = changed(page, page.get_by_role("option", name="digits, generation 2").click)
        assert older.count("data:image") == 2
        page.keyboard.press("Escape")
        changed(page, tab(page, "Walk"))
        box = page.locator("#picker img").bounding_box()
        place = {"x": box["width"] * 0.9, "y": box["height"] * 0.9}
        changed(page, lambda: page.click("#picker img", position=place))
        wait_for("A: seed 6, image 15", page, "#picked")
        changed(page, tab(page, "Change A"))
        moved = changed(page, lambda: page.fill("#move0 input[type=number]", "3"))
        assert changed(page, lambda: page.click("#back")) != moved
        tab(page, "Mix")()
        assert "only generators with styles" in error(page)
        assert page.evaluate(PICTURES) == ""


def test_a_new_snapshot_is_shown_by_itself(digits, browser, tmp_path):
    shutil.copytree(digits, tmp_path / "a")
    newest = tmp_path / "a" / "snapshots" / "generation-00000004"
    newest.rename(tmp_path / "later")
    with served(tmp_path / "a", "--port", 0) as address, opened(browser, address) as page:
        shown(page)
        wait_for("a: generation 2 of 4", page, "#stage")
        changed(page, lambda: (tmp_path / "later").rename(newest))
        wait_for("a: generation 4 of 4", page, "#stage")


def test_a_drawing_and_an_upload_are_translated(letters, browser, tmp_path):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    with served(letters, "--port", 0) as address, opened(browser, address) as page:
        box = page.wait_for_selector("#drawing canvas", timeout=WAIT).bounding_box()

        def stroke():
            page.mouse.move(box["x"] + 100, box["y"] + 100)
            page.mouse.down()
            page.mouse.move(box["x"] + 200, box["y"] + 250)
            page.mouse.up()

        wait_for("Draw", page, "body")
        drawn = changed(page, stroke)
        wait_for("given: the drawing", page, "#stage")
        tab(page, "Upload")()
        upload = "#upload input[type=file]"
        assert changed(page, lambda: page.set_input_files(upload, tmp_path / "a.png")) != drawn
        wait_for("given: a.png", page, "#stage")
        page.get_by_label("Remove").or_(page.get_by_label("Clear")).last.click()
        page.set_input_files(upload, tmp_path / "b.png")
        assert "b.png: not an image" in error(page)


def fetch(address, **headers):
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode(errors="replace")


def test_only_this_machine_is_answered_and_no_file_is_given(digits):
    with served(digits, "--port", 0) as address:
        assert address.startswith("http://127.0.0.1:")
        assert fetch(address)[0] == 200
        assert fetch(address, Host="evil.example")[0] == 403
        for file in ("/etc/passwd", ROOT / "setup.cfg", digits / "config.yaml"):
            status, text = fetch(f"{address}gradio_api/file={file}")
            assert status in (403, 404) and "root:" not in text and "seed" not in text


DOWNLOAD = """
import sys
from pathlib import Path
from runs.explore.catalogue import Catalogue
from runs.explore.serving import _application
_application(Catalogue([Path(sys.argv[1])]))
from gradio import processing_utils
processing_utils.ssrf_protected_download("http://192.0.2.1/a.png", sys.argv[1])
"""


def test_nothing_is_downloaded_for_a_request(digits):
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD, str(digits)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert "nothing is downloaded here, and http://192.0.2.1/a.png" in last


def test_beyond_this_machine_a_token_is_needed(digits, browser):
    with served(digits, "--port", 0, "--host", "0.0.0.0") as address:
        plain, _, token = address.partition("?token=")
        assert len(token) >= 32
        here = plain.replace("0.0.0.0", "127.0.0.1")
        for part in ("", "config", "gradio_api/info"):
            assert fetch(here + part) == (
                401, "this page needs its token: open the address that the command has printed",
            )  # fmt: skip
        with opened(browser, f"{here}?token={token}") as page:
            shown(page)
            assert "token" not in page.url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_is_quiet_and_leaves_nothing_though_the_page_is_open(
    digits, browser, tmp_path, number
):
    command = [
        sys.executable,
        str(ROOT / "run_evolution.py"),
        "explore",
        str(digits),
        "--port",
        "0",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as server:  # fmt: skip
        page = browser.new_page()
        page.goto(server.stdout.readline().split()[1])
        shown(page)
        assert len(list(tmp_path.glob("explore-*"))) == 1
        server.send_signal(number)
        assert server.communicate(timeout=60)[0] == ""
        page.close()
    assert server.returncode == 0
    assert list(tmp_path.glob("explore-*")) == []


def test_a_port_in_use_is_one_line(digits):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        command = [sys.executable, str(ROOT / "run_evolution.py"), "explore", str(digits)]
        done = subprocess.run(
            [*command, "--port", str(port)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --port {port}: nothing can listen there")
    assert done.stderr.count("\n") == 1
