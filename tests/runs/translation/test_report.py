"""The page of a run that translates images."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

from egan.data import open_source
from runs.cli.main import main
from runs.config.loading import load_config
from runs.store.folder import RunFolder
from runs.store.journal import Journal
from runs.training.driver import evolve
from runs.translation.opening import open_translator


def report(*arguments, status=0):
    done = CliRunner().invoke(main, ["report", *map(str, arguments)])
    assert done.exit_code == status, done.output
    return done.output


def numbers(page):
    """Return the numbers of the images in their order."""
    return [int(n) for n in re.findall(r"<tr><td>(\d+)<td><img", page)]


def contents(folder):
    """Return what is in a run's folder, but for its lock."""
    files = (path for path in folder.path.rglob("*") if path.is_file() and path != folder.lock)
    return {path: path.read_bytes() for path in files}


def test_rows_of_the_test_part_the_worst_first(letters, tmp_path):
    folder = letters("true")
    said = report(folder, "--out", tmp_path / "page.html")
    assert "newest snapshot, generation 4, on 8 images of glyphs, test part" in said
    page = (tmp_path / "page.html").read_text()
    HTMLParser().feed(page)
    assert page.count("<img") == 3 * 8 and "http" not in page and "generation 4 of 4<" in page
    data = RunFolder.open(folder).load_config().data.model_copy(update={"split": "test"})
    source, translator = open_source(data), open_translator(folder).translator
    made = np.concatenate([translator.pictures(source.a[n : n + 1], 0, n) for n in range(8)])
    errors = np.abs(made.astype(float) - source.b).mean((1, 2, 3)) / 255
    assert numbers(page) == np.argsort(-errors).tolist()
    assert f"<td>{errors.max():.4g}" in page and "is not scored while it trains" in page


def test_a_run_in_training_is_reported_on_with_its_scorings(letters, without_plots, tmp_path):
    scored = "evaluation={every: 1, metrics: [l1, kid], space: pixels}"
    config = load_config(letters("true") / "config.yaml", overrides=[scored, "generations=3"])
    folder = RunFolder.open(evolve(config, tmp_path / "run").path)
    before = contents(folder)
    journal = Journal(folder.journal, folder.load_identity())  # as its process does
    try:
        report(folder.path, "--out", tmp_path / "page.html", "--part", "held-out", "--count", "2")
    finally:
        journal.close()
    page = (tmp_path / "page.html").read_text()
    assert "generation 3 of 3, in training" in page and "glyphs, held out" in page
    assert page.count("<polyline") == 2 and "generations 1 to 3" in page
    assert sorted(numbers(page)) == [0, 1]
    assert contents(folder) == before


def test_both_ways_of_two_sets_are_on_the_page(letters, tmp_path):
    report(letters("false"), "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert re.findall(r"<h2>([ab]-to-[ab])", page) == ["a-to-b", "a-to-a", "b-to-a", "b-to-b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "x.txt"), "must end in .html"),
        (("--out", "x.html", "--count", "4", "--part", "held-out"), "there are 3 images in the"),
    ],
)
def test_what_cannot_be_reported_is_said(letters, options, message):
    assert message in report(letters("true"), *options, status=2)
