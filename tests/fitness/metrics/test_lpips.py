"""Perceptual distances against their definition, written out, on weights of the true structure."""

import hashlib

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import fitness.metrics.lpips as module
from fitness.features import WeightsError, feature_space
from fitness.features.module import ModuleSpace
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
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


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
def test_lpips_is_that_of_its_equation(state, file, channels):
    distance = lpips_vgg16(file, check_hash=False)
    one, other = draw(3, channels, 32, 32), draw(3, channels, 32, 32, seed=1)
    linear = module._published_linear()
    expected = [
        reference(state, linear, a.expand(3, -1, -1), b.expand(3, -1, -1))
        for a, b in zip(one, other, strict=True)
    ]
    found = distance(one, other)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)
    assert distance(one, one).eq(0).all()


def test_large_images_are_averaged_down(file):
    distance = lpips_vgg16(file, check_hash=False)
    one, other = draw(1, 3, 64, 512), draw(1, 3, 64, 512, seed=1)
    small = distance(F.avg_pool2d(one, 2), F.avg_pool2d(other, 2))
    torch.testing.assert_close(distance(one, other), small)


def test_images_too_small_for_the_poolings_are_refused(file):
    distance = lpips_vgg16(file, check_hash=False)
    assert distance(draw(1, 3, 16, 16), draw(1, 3, 16, 16, seed=1)) > 0
    with pytest.raises(ValueError, match=r"at least 16 pixels; 8 x 16 arrived\. Take one of"):
        distance(draw(1, 3, 8, 16), draw(1, 3, 8, 16))


def test_the_state_dict_of_the_package_lpips_is_taken_too(state, file, tmp_path):
    """`net.slice{1..5}.{number}`, and the linear layers twice under their two names."""
    starts, combined = (0, 4, 9, 16, 23), {}
    for name, tensor in state.items():
        if name.startswith("features."):
            number = int(name.split(".")[1])
            part = sum(number >= start for start in starts)
            combined[name.replace("features.", f"net.slice{part}.")] = tensor
    linear = module._published_linear()
    combined |= linear | {name.replace("lin", "lins.", 1): t for name, t in linear.items()}
    combined |= {"scaling_layer.shift": torch.zeros(1, 3, 1, 1)}
    torch.save(combined, tmp_path / "lpips.pth")
    found = lpips_vgg16(tmp_path / "lpips.pth")
    expected = lpips_vgg16(file, check_hash=False)
    one, other = draw(2, 3, 32, 32), draw(2, 3, 32, 32, seed=1)
    assert torch.equal(found(one, other), expected(one, other))
    assert found.identity == expected.identity
    torch.save(combined | {"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: its linear layers are not those"):
        lpips_vgg16(tmp_path / "other.pth")


def test_torchvisions_file_is_known_by_its_hash(file, monkeypatch):
    with pytest.raises(WeightsError, match=r"is not torchvision's vgg16-397923af\.pth"):
        lpips_vgg16(file)
    monkeypatch.setattr(module, "VGG_SHA256", hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    assert lpips_vgg16(file).space == "lpips-vgg16"


def test_files_that_are_missing_cut_or_of_another_network_are_named(state, tmp_path):
    with pytest.raises(WeightsError, match=r"vgg16-397923af\.pth from .* --weights PATH"):
        lpips_vgg16(None)
    with pytest.raises(WeightsError, match="is not a file"):
        lpips_vgg16(tmp_path / "missing.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(WeightsError, match=r"cut\.pth cannot be read"):
        lpips_vgg16(tmp_path / "cut.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"list\.pth holds a list; a state_dict is required"):
        lpips_vgg16(tmp_path / "list.pth")
    wrong = dict(state) | {"features.2.weight": torch.zeros(3)}
    del wrong["features.0.bias"]
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(WeightsError) as error:
        lpips_vgg16(tmp_path / "wrong.pth", check_hash=False)
    assert "0.bias is missing" in str(error.value)
    assert "2.weight has shape (3,), not (64, 64, 3, 3)" in str(error.value)


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
    found = distance_in(feature_space("pixels", shape=(3, 4, 6)))(one, other)
    expected = ((one - other) / 255).square().sum(1).mean((1, 2))
    torch.testing.assert_close(found, expected.double())


def test_over_efficientnet_it_is_near_zero_for_near_images():
    pytest.importorskip("efficientnet_lite_pytorch")
    space = feature_space("efficientnet-lite0")
    distance = distance_in(space)
    one = draw(3, 3, 32, 32)
    near, far = (
        distance(one, one + 0.1 * draw(3, 3, 32, 32, seed=1) / 255),
        distance(one, draw(3, 3, 32, 32, seed=2)),
    )
    assert (near > 0).all() and (near < 1e-2 * far).all()


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
