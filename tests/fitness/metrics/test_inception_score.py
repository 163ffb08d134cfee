import numpy as np
import pytest
import torch

from fitness.metrics.inception_score import InceptionScore


def scored(logits, *, seed=0, splits=10, batch=37):
    score = InceptionScore(len(logits), logits.shape[1], seed=seed, splits=splits)
    for part in logits.split(batch):
        score.update(part)
    return score.result()


def draw(count, classes=7):
    return torch.from_numpy(np.random.default_rng(0).normal(0, 3, (count, classes)))


def test_it_is_the_mean_over_the_parts_of_the_exponential_divergence():
    logits = draw(203)
    part = np.random.default_rng(4).permutation(203) % 10
    p = torch.softmax(logits, 1).numpy()
    expected = []
    for k in range(10):
        mine = p[part == k]
        divergences = [(q * np.log(q / mine.mean(0))).sum() for q in mine]
        expected.append(np.exp(np.mean(divergences)))
    assert scored(logits, seed=4) == pytest.approx((np.mean(expected), np.std(expected)))


@pytest.mark.filterwarnings("ignore:std")  # of its one part
def test_it_agrees_with_torchmetrics_on_one_part():
    from torchmetrics.image.inception import InceptionScore as Peer

    class Passing(torch.nn.Module):
        def forward(self, x):
            return x

    logits = draw(100)
    with torch.random.fork_rng():  # it shuffles with the global stream
        with pytest.warns(UserWarning, match="InceptionScore"):
            peer = Peer(feature=Passing(), splits=1)
        peer.update(logits)
        expected = float(peer.compute()[0])
    assert scored(logits, splits=1)[0] == pytest.approx(expected)


def test_certain_and_evenly_spread_images_score_the_number_of_classes():
    logits = 100.0 * torch.eye(5).repeat(200, 1)
    assert scored(logits, splits=1)[0] == pytest.approx(5)


def test_one_class_or_no_opinion_scores_one():
    assert scored(torch.eye(5)[:1].repeat(50, 1) * 100)[0] == pytest.approx(1)
    assert scored(torch.zeros(50, 5))[0] == pytest.approx(1)


def test_images_sorted_by_class_score_as_shuffled_ones():
    logits = 100.0 * torch.eye(5).repeat_interleave(400, dim=0)
    assert scored(logits)[0] == pytest.approx(5, rel=0.02)


def test_how_the_stream_is_cut_does_not_matter():
    logits = draw(100)
    assert scored(logits, batch=1) == pytest.approx(scored(logits, batch=100), rel=1e-12)


def test_probabilities_that_underflow_do_no_harm():
    assert np.isfinite(scored(1e4 * draw(100))[0])


def test_wrong_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match="at least 10 images; 9 asked"):
        InceptionScore(9, 5, seed=0)
    score = InceptionScore(20, 7, seed=0)
    score.update(draw(15))
    with pytest.raises(ValueError, match="15 of the 20"):
        score.result()
    with pytest.raises(ValueError, match="more than the 20"):
        score.update(draw(6))


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        InceptionScore(10, 2, seed=0).update(torch.full((1, 2), torch.nan))
