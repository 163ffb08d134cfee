"""Scores of translators while their runs evolve, on the images that judge children."""

import numpy as np
import pytest

from egan.data import open_source
from fitness.metrics.names import GROUPS, MetricName
from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.sampling.opening import Choice
from runs.sampling.translation_grid import examples_of
from runs.store.folder import RunFolder
from runs.store.journal import Scoring, read_journal
from runs.training.driver import evolve
from runs.translation.held_out import HeldOut
from runs.translation.opening import open_translator

SCORED = ["evaluation={every: 1, metrics: [translation], space: pixels, survivors: true}"]


def evolved(letters, aligned, place, *overrides):
    """Return a scored copy of a run of letters, and its scorings."""
    config = load_config(letters(aligned) / "config.yaml", overrides=[*SCORED, *overrides])
    path = evolve(config, place).path
    lines = read_journal(RunFolder(path).journal)
    return path, [line for line in lines if isinstance(line, Scoring)]


def test_pairs_are_scored_on_those_held_out_and_the_best_snapshot_is_kept(
    letters, without_plots, tmp_path
):
    path, scorings = evolved(letters, "true", tmp_path / "run", "evaluation.best=psnr")
    folder = RunFolder.open(path)
    source = open_source(folder.load_config().data)
    given, wanted = source.a[15::16], source.b[15::16]
    assert len(given) == 3
    last = scorings[-1]
    for choice, values in (
        (Choice(4), last.values), (Choice(4, 0, True), last.survivors[0])
    ):  # fmt: skip
        translator = open_translator(path, choice).translator
        made = np.concatenate([translator.pictures(given[n : n + 1], 1, n) for n in range(3)])
        difference = np.abs(made.astype(float) - wanted) / 255
        assert values["l1-pixels-3"] == pytest.approx(difference.mean())
    assert {MetricName.parse(name).metric for name in last.values} == set(GROUPS["translation"])
    psnr = {scoring.generation: scoring.values["psnr-pixels-3"] for scoring in scorings}
    best = max(psnr, key=psnr.get)
    assert [snapshot.name for snapshot in folder.best.iterdir()] == [f"generation-{best:08d}"]
    assert [scoring.generation for scoring in scorings if scoring.best][-1] == best


def test_two_sets_are_scored_in_both_directions_and_by_their_mean(letters, without_plots, tmp_path):
    _, scorings = evolved(
        letters, "false", tmp_path / "run", "evaluation.best=kid", "data.held_out=8"
    )
    assert scorings[0].values.keys() == {
        f"{way}/{metric}-pixels-3"
        for way, metrics in (("a-to-b", ["kid"]), ("b-to-a", ["kid"]),
                             ("a-to-a", GROUPS["translation"][:3]),
                             ("b-to-b", GROUPS["translation"][:3]))
        for metric in metrics
    }  # fmt: skip
    means = [
        (line.values["a-to-b/kid-pixels-3"] + line.values["b-to-a/kid-pixels-3"]) / 2
        for line in scorings
    ]
    best = [mean < min(means[:n], default=np.inf) for n, mean in enumerate(means)]
    assert [scoring.best for scoring in scorings] == best


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation={every: 1}"], "fid, precision, .*do not score translations; take some of l1"),
        ([*SCORED, "data.held_out=0"], "held_out is 0"),
        ([*SCORED, "data.held_out=50"], "every 50th of 56 images is held out"),
        ([*SCORED, "data.resolution=8"], "target-ssim needs larger images than 8 x 8"),
        ([*SCORED, "evaluation.space=classifier"], "labelled images to learn from"),
    ],
)
def test_what_cannot_be_scored_is_refused_at_the_start(letters, overrides, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        evolve(load_config(letters("true") / "config.yaml", overrides=overrides), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_runs_of_noise_have_no_targets():
    with pytest.raises(ConfigError, match="l1 compare translations with what they should be"):
        load_config("digits", overrides=["evaluation.metrics=[fid, l1]"])


def test_images_larger_than_the_draws_are_cut_from_the_middle(letters):
    data = RunFolder.open(letters("true")).load_config().data
    source = open_source(data.model_copy(update={"load": 20}))
    a, b = source.judging()
    assert (a == source.a[15::16, :, 2:18, 2:18]).all() and b.shape == a.shape == (3, 1, 16, 16)
    few = HeldOut(source, [source.target], ["l1"], "pixels", 2, 0, "cpu")
    values = few(open_translator(letters("true")).translator)
    assert values.keys() == {"l1-pixels-2"}


def test_a_set_too_small_to_hold_anything_out_judges_and_shows_all(letters):
    config = RunFolder.open(letters("true")).load_config()
    config = config.model_copy(update={"data": config.data.model_copy(update={"count": 12})})
    a, b = open_source(config.data).judging()
    assert len(a) == len(b) == open_source(config.data).length < 16
    assert (examples_of(config.data).b == b).all()
