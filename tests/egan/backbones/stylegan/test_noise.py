"""The counter-based noise: the published test vectors, and what a network needs of it."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from egan.backbones.philox import philox
from egan.backbones.stylegan.noise import noise_images, normals

SEEDS = torch.tensor([0, 1, 2**62 - 1, 123456789012345])


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known answers that come with Salmon et al.'s Random123, philox4x32, 10 rounds
        (
            (0, 0, 0, 0),
            (0, 0),
            (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(counter, key, expected):
    words = philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))
    assert tuple(word.item() for word in words) == expected


def test_the_noise_is_standard_normal_and_uncorrelated():
    sample = normals(SEEDS, 40_000).double().numpy()
    for row in sample:
        assert kstest(row, "norm").pvalue > 1e-3
        assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 0.02
    off_diagonal = np.corrcoef(sample) - np.eye(4)
    assert np.abs(off_diagonal).max() < 0.02


def test_a_row_depends_on_its_own_seed_alone():
    together = normals(SEEDS, 64)
    apart = torch.cat([normals(seed[None], 64) for seed in SEEDS])
    assert torch.equal(together, apart)
    assert len({tuple(row.tolist()) for row in together}) == len(SEEDS)


def test_a_layers_noise_stays_as_it_is_when_the_network_grows():
    small, large = noise_images(SEEDS, 8), noise_images(SEEDS, 32)
    assert [tuple(image.shape) for image in large] == [
        (4, 1, side, side) for side in (4, 4, 8, 8, 16, 16, 32, 32)
    ]
    assert all(map(torch.equal, small, large))
    assert not torch.equal(large[0], large[1])


def test_extreme_words_give_finite_noise():
    assert normals(torch.arange(200), 4000).isfinite().all()
