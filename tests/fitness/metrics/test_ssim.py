import numpy as np
import pytest
import torch

from fitness.metrics.ssim import Pairs, diversity, similarity


def images(count, side=24, seed=0, channels=1):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, channels, side, side), np.uint8))


def reference_ssim(a, b) -> float:
    """SSIM of two grey images, one 11 x 11 window at a time (Wang et al. 2004)."""
    a, b = (np.pad(x[0].double().numpy() / 255, 5, mode="reflect") for x in (a, b))
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / np.outer(axis, axis).sum()
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
            cov = (window * p * q).sum() - mp * mq
            c1, c2 = 0.01**2, 0.03**2
            values.append(
                (2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
            )
    return float(np.mean(values))


def test_it_follows_the_papers_definition():
    a, b = images(3), images(3, seed=1) // 2 + images(3) // 2
    expected = np.mean([reference_ssim(x, y) for x, y in zip(a, b)])
    assert similarity(a, b) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("side", "multiscale"), [(11, False), (176, True)])
def test_equal_images_are_wholly_similar_and_noise_is_not(side, multiscale):
    a, b = images(2, side, channels=3), images(2, side, seed=1, channels=3)
    assert similarity(a, a, multiscale=multiscale) == pytest.approx(1)
    assert similarity(a, b, multiscale=multiscale) < 0.5


def paired(stream, seed=0) -> Pairs:
    pairs = Pairs(len(stream), tuple(stream.shape[1:]), seed=seed)
    for part in stream.split(7):
        pairs.update(part)
    return pairs


def test_collapsed_samples_are_less_diverse():
    varied, collapsed = images(40), images(1).repeat(40, 1, 1, 1)
    assert diversity(paired(collapsed)) == pytest.approx(1)
    assert diversity(paired(varied)) < 0.2


def test_each_image_is_in_one_pair_and_the_seed_decides_which():
    stream = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)
    first, second = paired(stream).halves()
    assert sorted(torch.cat([first, second])[:, 0, 0, 0].tolist()) == list(range(20))
    again, _ = paired(stream).halves()
    other, _ = paired(stream, seed=1).halves()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_many_or_large_images_are_kept_in_bounded_memory():
    assert len(Pairs(50_000, (1, 8, 8), seed=0)._images) == 2000
    assert Pairs(50_000, (3, 1024, 1024), seed=0)._images.numel() <= 2**28


@pytest.mark.parametrize(
    ("a", "b", "multiscale", "message"),
    [
        (images(2, 10), images(2, 10), False, "at least 11 x 11 pixels"),
        (images(2, 64), images(2, 64), True, "at least 176 x 176 .* use ssim"),
        (images(2), images(3), False, r"\(2, 1, 24, 24\) and \(3, 1, 24, 24\) arrived"),
        (images(2).float(), images(2).float(), False, "float32 and torch.float32 arrived"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(a, b, multiscale, message):
    with pytest.raises(ValueError, match=message):
        similarity(a, b, multiscale=multiscale)
