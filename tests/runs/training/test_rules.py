"""`auto`: the numbers that follow from the data and the batch are told, kept, and fit the data."""

import pytest

from runs.config.loading import load_config
from runs.training.rules import values_by_rule
from tests.runs.copies import events, interrupted

pytestmark = pytest.mark.usefixtures("without_pictures")
AUTO = ("--set", "discriminator.r1=auto", "--set", "population.average_kimg=auto")


def test_a_run_tells_what_auto_is_and_its_journal_keeps_it_once(images_yaml, invoke, tmp_path):
    folder = tmp_path / "run"
    done = invoke("train", images_yaml, *AUTO, "--set", "checkpoint.every=2", "--output", folder)
    assert done.exit_code == 0, done.output
    assert "discriminator.r1: auto is 0.0016\n" in done.output  # .0002 x 8 x 8 / 8
    assert "population.average_kimg: auto is 2.5\n" in done.output
    again = invoke("resume", interrupted(folder, tmp_path, 4))
    assert "discriminator.r1: auto is 0.0016" in again.output
    kept = [event.details for event in events(tmp_path / "copy") if event.kind == "rule"]
    assert kept == [
        {"key": "discriminator.r1", "value": pytest.approx(0.0016)},
        {"key": "population.average_kimg", "value": 2.5},
    ]


def test_points_have_no_rule(points_yaml, mistake, tmp_path):
    message = mistake("train", points_yaml, *AUTO, "--output", tmp_path / "run")
    assert "discriminator.r1: auto is a rule for images" in message


def test_networks_that_grow_are_told_of_their_last_stage():
    overrides = [
        *("discriminator.r1=auto", "population.average_kimg=auto"),
        *("backbone.growth.batch={8: 32, 16: 16, 32: 8}", "population.mutations=[heuristic]"),
    ]
    config = load_config("stylegan-avatars", overrides)
    values = values_by_rule(config, (3, 32, 32))
    assert values == pytest.approx({"discriminator.r1": 0.0256, "population.average_kimg": 2.5})
