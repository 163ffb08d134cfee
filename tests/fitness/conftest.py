"""Real images for the metrics' tests: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fitness.features.classifier import ClassifierSpace


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def global_randomness_untouched() -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state()), "the global random state was used"


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes, in numbers."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.size = max(self.size, result.numel())
        return result


@pytest.fixture
def largest_tensor() -> Largest:
    """Active in a `with` block; its `size` is the block's largest tensor."""
    return Largest()


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """Images (1797, 1, 8, 8), uint8, in random order, and labels (1797,)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.from_numpy(data.images * 15).to(torch.uint8)[:, None]
    labels = torch.from_numpy(data.target).long()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order], labels[order]


@pytest.fixture(scope="session")
def classifier(digits: tuple[Tensor, Tensor]) -> ClassifierSpace:
    """The classifier space of the digits."""
    return ClassifierSpace.trained(*digits)
