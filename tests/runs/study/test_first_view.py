"""What MLflow's charts of a study show before any click, in headless Chromium."""

import re
from html.parser import HTMLParser

import pytest

from runs.config.schema import TrackingConfig
from runs.study.comparison import compare
from runs.study.curves import strategy_curves
from runs.tracking.study_logger import PARENT, MlflowStudyRecord
from tests.runs.study.conftest import METRIC, make_record
from tests.runs.study.pages import needs_chromium, page, served

pytestmark = [
    pytest.mark.process,
    pytest.mark.mlflow,
    pytest.mark.timeout(600),
    needs_chromium,
]
SECTION = re.compile(r"^(.*?)\s*\((\d+)\)$")
ATTEMPTS = 3  # a busy machine serves the pages' scripts too late for them


class Charts(HTMLParser):
    """The charts of a page: how many lines each title has, and the sections in order."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []  # the `d` of each drawn curve
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "path" and "js-line" in (found.get("class") or ""):
            self.lines.append(found.get("d") or "")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data.strip())


@pytest.fixture
def store(new_store, tmp_path):
    """A store with a study of two strategies, whose runs are folded in under it."""
    from mlflow import MlflowClient

    uri = new_store(tmp_path)
    config = TrackingConfig(experiment="studies", uri=uri)
    record = MlflowStudyRecord(tmp_path, "small", config, {}, print)
    record.open()
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("studies").experiment_id
    parents = client.search_runs([experiment])
    nested = client.create_run(experiment, tags={PARENT: parents[0].info.run_id})
    for step in range(3):
        client.log_metric(nested.info.run_id, "discriminator/loss", 1.0, step=step)
    runs = [
        make_record(strategy, seed, 1.0 + seed, place, 3.0)
        for place, strategy in enumerate(("evolution", "random"))
        for seed in (0, 1)
    ]
    record.compare(strategy_curves(compare(runs), "generations"))
    record.close("FINISHED")
    return tmp_path


def first_view(folder, tmp_path) -> Charts:
    with served(folder) as address:
        for _ in range(ATTEMPTS):
            charts = Charts()
            charts.feed(page(f"{address}/#/experiments/1/runs?compareRunsMode=CHART", tmp_path))
            if charts.lines:
                break
    return charts


def test_the_first_view_of_a_study_has_a_curve_of_each_strategy_and_no_empty_section(
    store, tmp_path
):
    charts = first_view(store, tmp_path / "browser")
    assert "small" in charts.text  # the study; its runs are folded in
    for strategy in ("evolution", "random"):
        assert f"{strategy} of small, 2 seeds" in charts.text
    assert f"{METRIC} by discriminator_updates/all strategies" in charts.text
    curves = [line for line in charts.lines if line.count("L") >= 2]  # of three scorings
    assert len(curves) >= 4, charts.lines  # two in one chart, and one in each of two
    first = charts.text.index(f"{METRIC} by discriminator_updates")
    assert charts.text[first + 1].strip("()") == "3"
    assert "No charts in this section" not in charts.text[:first]
    assert "discriminator" not in charts.text
