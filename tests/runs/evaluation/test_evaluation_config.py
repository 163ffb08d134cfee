"""What the `evaluation` section of a config takes, and what a mistake in it gets."""

import math

import numpy as np
import pytest
import yaml

from fitness.metrics.names import METRICS, expand_metrics
from runs.common.errors import ConfigError
from runs.config.evaluation import CollapseConfig, EvaluationConfig
from runs.presets import preset_names, preset_text
from runs.training.driver import evolve
from runs.training.watch import better, collapsed


@pytest.fixture
def refused(config):
    """Return the message that a change of the `evaluation` section gets."""

    def load(name: str = "images", **changes: object) -> str:
        with pytest.raises(ConfigError) as caught:
            config(name, **{f"evaluation__{key}": value for key, value in changes.items()})
        return str(caught.value)

    return load


def test_an_unknown_metric_gets_the_nearest_one(refused):
    message = refused(metrics=["fdi"])
    assert "evaluation" in message and "'fdi'" in message and "did you mean 'fid'" in message


def test_no_metric_at_all_is_refused(refused):
    assert "no metric given" in refused(metrics=[])


def test_what_decides_the_best_must_be_among_the_metrics(refused):
    message = refused(best="is")
    assert "best: 'is' is not among the metrics: fid, kid, precision" in message


def test_the_metric_of_the_alarm_must_be_among_the_metrics(refused):
    message = refused(metrics=["fid"], collapse={"action": "stop"})
    assert "collapse.metric: 'coverage' is not among the metrics: fid" in message


def test_a_group_is_no_metric_to_decide_by(refused):
    assert "best: 'prdc' is not among" in refused(best="prdc")


@pytest.mark.parametrize("metric", ["kid", "mmd"])
def test_a_metric_that_may_be_negative_is_no_alarm(refused, metric):
    message = refused(metrics=["fid", metric], collapse={"metric": metric})
    assert "collapse.metric" in message and "may be negative" in message


@pytest.mark.parametrize(("metrics", "count", "least"), [("prdc", 5, 6), ("is", 9, 10)])
def test_too_small_a_count_is_refused_before_the_run(refused, metrics, count, least):
    message = refused(metrics=[metrics], count=count)
    assert "count" in message and f"at least {least} images, not {count}" in message


@pytest.mark.parametrize(
    ("key", "value"), [("every", 0), ("patience", 0), ("count", 1), ("collapse", {"factor": 1.0})]
)
def test_a_value_out_of_range_is_refused(refused, key, value):
    assert f"evaluation.{key}" in refused(**{key: value})


def test_an_unknown_action_and_an_unknown_key_are_refused(refused):
    assert "evaluation.collapse.action" in refused(collapse={"action": "rolback"})
    assert "did you mean 'patience'" in refused(patients=3)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("images", {"metrics": ["fid", "modes"]}, ("modes cannot score images", "digits", "fid")),
        ("points", {"metrics": ["kl", "fid"]}, ("fid cannot score points", "ring8", "modes")),
        ("images", {"metrics": ["is"]}, ("'is'", "logits", "pixels")),
        ("images", {"metrics": ["ms-ssim"]}, ("ms-ssim needs images of at least",)),
        ("images", {"space": "pixel"}, ("did you mean 'pixels'",)),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_the_first_generation(
    config, tmp_path, name, changes, words
):
    settings = {f"evaluation__{key}": value for key, value in changes.items()}
    with pytest.raises(ConfigError) as caught:
        evolve(config(name, **settings), tmp_path / "run")
    assert all(word in str(caught.value) for word in words), caught.value
    assert not (tmp_path / "run").exists()


def test_unlabelled_data_have_no_classifier_space(config, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((50, 8, 8), np.uint8))
    data = {"source": "array", "path": str(tmp_path / "images.npy")}
    with pytest.raises(ConfigError, match="labelled"):
        evolve(config("images", data=data, evaluation__space="classifier"), tmp_path / "run")


def test_the_first_metric_decides_unless_another_is_named():
    assert EvaluationConfig(metrics=("prdc", "fid")).deciding == "precision"
    assert EvaluationConfig(metrics=("prdc", "fid"), best="fid").deciding == "fid"


def test_generation_0_is_never_scored():
    config = EvaluationConfig(every=5)
    assert [g for g in range(16) if config.scores(g)] == [5, 10, 15]
    assert not EvaluationConfig().scores(5)


@pytest.mark.parametrize("preset", preset_names())
def test_every_presets_metrics_fit_its_data(preset):
    values = yaml.safe_load(preset_text(preset))
    config = EvaluationConfig.model_validate(values.get("evaluation", {}))
    needs = {METRICS[name].need for name in expand_metrics(config.metrics)}
    assert (needs == {"points"}) == (values["data"]["source"] == "gaussians")


def test_which_value_is_better_follows_from_the_metric():
    assert better("fid", 1.0, 2.0) and not better("fid", 2.0, 2.0)
    assert better("coverage", 0.9, 0.5) and not better("coverage", 0.5, 0.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("metric", ["fid", "coverage"])
def test_what_is_not_finite_is_the_worst(metric, bad):
    assert better(metric, 0.0, bad) and not better(metric, bad, 0.0)
    assert not better(metric, bad, math.nan)
    assert collapsed(CollapseConfig(metric=metric), bad, 0.5)


def test_a_collapse_is_a_value_worse_than_the_best_by_the_factor():
    lower, higher = CollapseConfig(metric="fid"), CollapseConfig(metric="coverage", factor=3)
    assert collapsed(lower, 20.1, 10.0) and not collapsed(lower, 20.0, 10.0)
    assert collapsed(higher, 0.29, 0.9) and not collapsed(higher, 0.31, 0.9)
