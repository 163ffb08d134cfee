import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.metrics.names import METRICS, WAYS, MetricName, expand_metrics

WORDS = st.from_regex(r"[A-Za-z0-9_.:]+", fullmatch=True).filter(lambda word: word != "vs")
SPACES = st.lists(WORDS, min_size=1, max_size=4).map("-".join)
COUNTS = st.one_of(st.integers(1, 10**7), st.integers(1, 10**4).map(lambda n: n * 1000))


@given(
    st.builds(
        MetricName,
        metric=st.sampled_from(sorted(METRICS)),
        space=SPACES,
        count=COUNTS,
        reals=st.none() | COUNTS | st.just("file"),
        way=st.sampled_from(["", *WAYS]),
    )
)
def test_a_printed_name_is_read_back(name):
    assert MetricName.parse(str(name)) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (MetricName("fid", "inception", 10_000), "fid-inception-10k"),
        (MetricName("kid", "classifier", 1797), "kid-classifier-1797"),
        (MetricName("ms-ssim", "pixels", 500), "ms-ssim-pixels-500"),
        (MetricName("fid", "efficientnet-lite0", 5000, 60_000), "fid-efficientnet-lite0-5k-vs-60k"),
        (MetricName("fid", "inception", 50_000, "file"), "fid-inception-50k-vs-file"),
        (MetricName("is", "my.nets:Encoder", 2000, 2000), "is-my.nets:Encoder-2k"),
        (MetricName("target-ssim", "pixels", 8, way="b-to-b"), "b-to-b/target-ssim-pixels-8"),
    ],
)
def test_a_name_says_metric_space_and_counts(name, text):
    assert str(name) == text
    assert MetricName.parse(text) == name


@pytest.mark.parametrize("text", ["fid", "fid-inception", "fid--10k", "fdi-inception-10k", ""])
def test_what_is_no_full_name_is_refused(text):
    with pytest.raises(ValueError, match="full name"):
        MetricName.parse(text)


@pytest.mark.parametrize("space", ["", "a b", "a-", "a-vs-b"])
def test_a_space_that_would_break_the_grammar_is_refused(space):
    with pytest.raises(ValueError, match="cannot be a feature space's name"):
        MetricName("fid", space, 10)


def test_a_count_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        MetricName("fid", "pixels", 0)


def test_a_group_stands_for_its_metrics_once():
    assert expand_metrics(["recall", "prdc", "fid"]) == (
        "recall",
        "precision",
        "density",
        "coverage",
        "fid",
    )


def test_a_misspelt_metric_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'precision'"):
        expand_metrics(["precison"])


def test_no_metric_at_all_is_refused():
    with pytest.raises(ValueError, match="no metric given"):
        expand_metrics([])
