"""Perceptual distances against their definition, written out, on weights of the true structure."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import fitness.metrics.lpips as module
from fitness.features.module import ModuleSpace
from fitness.features.pixels import PixelSpace
from fitness.metrics.lpips import distance_in, lpips_vgg16, vgg16

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # torchvision's numbers
COMPARED = (2, 7, 14, 21, 28)  # the convolutions before relu1_2, relu2_2, ..., relu5_3


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) * 255


@pytest.fixture(scope="module")
def state():
    """VGG-16's tensors as torchvision names them, random; the linear layers are not needed."""
    generator = torch.Generator().manual_seed(1)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in vgg16().state_dict().items()}
    tensors = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        scale = (2 / values[0].numel()) ** 0.5 if values.dim() == 4 else 0.1
        tensors[f"features.{name}"] = values * scale
    return tensors | {"classifier.6.bias": torch.zeros(1000)}


@pytest.fixture(scope="module")
def linear():
    """Weights of the channels of each layer, random, under the published names."""
    generator = torch.Generator().manual_seed(2)
    return {
        f"lin{layer}.model.1.weight": torch.rand((1, width, 1, 1), generator=generator)
        for layer, width in enumerate((64, 128, 256, 512, 512))
    }


@pytest.fixture(scope="module")
def distance(state, linear):
    return lpips_vgg16(state, linear)


def reference(state, linear, one, other):
    """LPIPS of a pair of colour images (3, H, W) in 0..255, in float64, position by position."""
    shift = torch.tensor([-0.030, -0.088, -0.188], dtype=torch.float64)
    scale = torch.tensor([0.458, 0.448, 0.450], dtype=torch.float64)

    def maps(image):
        x = ((image.double() / 127.5 - 1) - shift[:, None, None]) / scale[:, None, None]
        x, found = x[None], []
        for number in CONVOLUTIONS:
            if number in (5, 10, 17, 24):
                x = F.max_pool2d(x, 2)
            weight, bias = (state[f"features.{number}.{k}"].double() for k in ("weight", "bias"))
            x = F.conv2d(x, weight, bias, padding=1).clamp(min=0)
            if number in COMPARED:
                found.append(x[0].numpy())
        return found

    total = 0.0
    for layer, (a, b) in enumerate(zip(maps(one), maps(other), strict=True)):
        weights = linear[f"lin{layer}.model.1.weight"].double().numpy().ravel()
        _, height, width = a.shape
        values = []
        for i in range(height):
            for j in range(width):
                u, v = a[:, i, j], b[:, i, j]
                u, v = (x / (np.sqrt((x**2).sum()) + 1e-10) for x in (u, v))
                values.append((weights * (u - v) ** 2).sum())
        total += np.mean(values)
    return total


@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_is_that_of_its_equation(state, linear, distance, channels):
    one, other = draw(3, channels, 32, 32), draw(3, channels, 32, 32, seed=1)
    expected = [
        reference(state, linear, a.expand(3, -1, -1), b.expand(3, -1, -1))
        for a, b in zip(one, other, strict=True)
    ]
    found = distance(one, other)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)
    assert distance(one, one).eq(0).all()


def test_large_images_are_averaged_down(distance):
    one, other = draw(1, 3, 64, 512), draw(1, 3, 64, 512, seed=1)
    small = distance(F.avg_pool2d(one, 2), F.avg_pool2d(other, 2))
    torch.testing.assert_close(distance(one, other), small)


def test_images_too_small_for_the_poolings_are_refused(distance):
    assert distance(draw(1, 3, 16, 16), draw(1, 3, 16, 16, seed=1)) > 0
    with pytest.raises(ValueError, match=r"at least 16 pixels; 8 x 16 arrived\. Take one of"):
        distance(draw(1, 3, 8, 16), draw(1, 3, 8, 16))


# ------------------------------------------------------------------------------ over feature spaces


def test_over_a_classifier_it_compares_the_directions_of_its_maps(classifier, digits):
    images = digits[0][:8].float()
    one, other = images[:4], images[4:]
    found = distance_in(classifier)(one, other)
    body, totals = classifier.network.body, torch.zeros(4, dtype=torch.float64)
    a, b = one / 127.5 - 1, other / 127.5 - 1
    for end in (3, 6, 9):  # convolution, normalisation, ReLU
        x, y = body[:end](a), body[:end](b)
        cosine = F.cosine_similarity(x.double(), y.double(), dim=1)
        there = (x.abs().sum(1) > 0) & (y.abs().sum(1) > 0)
        assert there.all()
        totals += (2 - 2 * cosine).mean((1, 2))  # |u - v|^2 of unit vectors
    torch.testing.assert_close(found, totals, rtol=1e-4, atol=1e-6)
    assert distance_in(classifier).space == "classifier"
    with pytest.raises(ValueError, match="trained on 1-channel images; images with 3 arrived"):
        distance_in(classifier)(one.expand(-1, 3, -1, -1), other.expand(-1, 3, -1, -1))


def test_over_pixels_it_is_the_squared_difference():
    one, other = draw(5, 3, 4, 6), draw(5, 3, 4, 6, seed=1)
    found = distance_in(PixelSpace((3, 4, 6)))(one, other)
    expected = ((one - other) / 255).square().sum(1).mean((1, 2))
    torch.testing.assert_close(found, expected.double())


def test_pairs_are_alone_whatever_the_chunk(classifier, digits):
    images = digits[0].float()
    distance = distance_in(classifier)
    whole = distance(images[:700], images[700:1400])
    assert len(whole) == 700
    torch.testing.assert_close(whole[690:692], distance(images[690:692], images[1390:1392]))


def test_other_spaces_and_shapes_are_refused(classifier):
    space = ModuleSpace("torch.nn:Flatten", (1, 2, 2))
    with pytest.raises(ValueError, match=r"no perceptual distance; take one of classifier,"):
        distance_in(space)
    with pytest.raises(ValueError, match=r"space 'inception' has no perceptual distance; take one"):
        module.check_space("inception")
    with pytest.raises(ValueError, match=r"\(2, 1, 8, 8\) and \(3, 1, 8, 8\) arrived"):
        distance_in(classifier)(draw(2, 1, 8, 8), draw(3, 1, 8, 8))
