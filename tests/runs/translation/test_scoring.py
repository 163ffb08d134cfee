"""Scores of translators on the test part."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from egan.data import open_source
from runs.cli.main import main
from runs.store.folder import RunFolder
from runs.translation.opening import open_translator


def run(*arguments, status=0):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == status, done.output
    return done.output


def test_a_run_of_pairs_is_scored_against_the_partners_of_the_test_part(letters):
    folder = letters("true")
    output = run("evaluate", folder, "--json")
    found = json.loads(output[output.index("{") :])
    data = RunFolder.open(folder).load_config().data.model_copy(update={"split": "test"})
    source, translator = open_source(data), open_translator(folder).translator
    made = np.concatenate([translator.pictures(source.a[n : n + 1], 0, n) for n in range(8)])
    difference = np.abs(made.astype(float) - source.b) / 255
    assert found["values"]["l1-pixels-8"] == pytest.approx(difference.mean())
    mse = (difference**2).mean((1, 2, 3))
    assert found["values"]["psnr-pixels-8"] == pytest.approx((-10 * np.log10(mse)).mean())
    assert {"target-ssim-pixels-8", "kid-pixels-8"} < found["values"].keys()
    assert found["data"] == source.fingerprint and "test part" in found["against"]
    assert json.loads((folder / "evaluations" / "generation-00000004.json").read_text())


def test_a_run_of_two_sets_is_scored_both_ways_against_hidden_counterparts(letters):
    output = run("evaluate", letters("false"), "--metrics", "l1,kid", "--json")
    names = json.loads(output[output.index("{") :])["values"].keys()
    assert names == {
        "a-to-b/l1-pixels-8", "a-to-b/kid-pixels-8", "a-to-a/l1-pixels-8",
        "b-to-a/l1-pixels-8", "b-to-a/kid-pixels-8", "b-to-b/l1-pixels-8",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--metrics", "fid"),
            "--metrics fid: of translators there are l1, psnr, target-ssim, kid",
        ),
        (("--metrics", "part-iou"), "are of data.source=avatars-parts; this is glyphs"),
        (("--against", "x"), "--against: a translator is scored on the test part"),
        (("--count", "9"), "--count 9: there are 8 images in the test part"),
    ],
)
def test_what_cannot_be_scored_is_said(letters, options, message):
    assert message in run("evaluate", letters("true"), *options, status=2)


def test_a_table_says_which_way_is_better(letters):
    output = run("evaluate", letters("true"), "--count", "4", "--metrics", "l1,psnr")
    lines = [line.split() for line in output.splitlines() if "-pixels-4" in line]
    assert [(line[0], line[2]) for line in lines] == [
        ("l1-pixels-4", "lower"), ("psnr-pixels-4", "higher")
    ]  # fmt: skip
