"""Files of published weights: where they are looked for, and which of them are refused."""

import hashlib

import pytest
import torch

import runs.evaluation.weights as module
from fitness.features import WeightsError
from fitness.features.inception import InceptionV3
from fitness.metrics.lpips import distance_in, vgg16
from runs.evaluation.weights import (
    efficientnet_space,
    find_inception,
    inception_space,
    lpips_distance,
)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) * 255


# --------------------------------------------------------------------------------------- Inception


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Tensors of the true shapes, all of them zeros."""
    path = tmp_path_factory.mktemp("inception") / "zeros.pth"
    with torch.device("meta"):
        state = InceptionV3().state_dict()
    torch.save({name: torch.zeros(()).expand(t.shape) for name, t in state.items()}, path)
    return path


def test_the_file_is_looked_for_where_the_user_says_and_then_in_the_hubs_folder(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("EGAN_INCEPTION_WEIGHTS", raising=False)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    with pytest.raises(WeightsError, match=r"missing\. Get weights-inception.*torch-fidelity") as e:
        find_inception()
    assert str(folder) in str(e.value)
    assert "EGAN_INCEPTION_WEIGHTS" in str(e.value)
    pytorch_fid, torch_fidelity, named, given = (
        folder / "pt_inception-2015-12-05-6726825d.pth",
        folder / "weights-inception-2015-12-05-6726825d.pth",
        tmp_path / "named.pth",
        tmp_path / "given.pth",
    )
    pytorch_fid.touch()
    assert find_inception() == pytorch_fid
    torch_fidelity.touch()
    assert find_inception() == torch_fidelity
    monkeypatch.setenv("EGAN_INCEPTION_WEIGHTS", str(named))
    with pytest.raises(WeightsError, match=r"\$EGAN_INCEPTION_WEIGHTS, .*named\.pth, is not"):
        find_inception()
    named.touch()
    assert find_inception() == named
    with pytest.raises(WeightsError, match=r"the path given, .*given\.pth, is not a file"):
        find_inception(given)
    given.touch()
    assert find_inception(given) == given


def test_a_file_with_the_published_hash_is_taken(inception_file, monkeypatch):
    sha = hashlib.sha256(inception_file.read_bytes()).hexdigest()
    monkeypatch.setattr(module, "INCEPTION_SHA256", sha)
    assert inception_space(inception_file).dimension == 2048


def test_another_file_is_refused_with_its_hash_and_size(inception_file):
    with pytest.raises(WeightsError, match=r"zeros\.pth is not the published.*95,628,359 bytes"):
        inception_space(inception_file)


@pytest.mark.parametrize("keep", [0, 1000, -1000])
def test_a_cut_file_is_refused_also_without_the_hash(inception_file, tmp_path, keep):
    path = tmp_path / "cut.pth"
    path.write_bytes(inception_file.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"cut\.pth cannot be read"):
        inception_space(path, check_hash=False)


def test_a_file_whose_entries_do_not_fit_is_named(tmp_path):
    torch.save({"fc.bias": torch.zeros(1000)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: the weights do not fit Inception-v3"):
        inception_space(tmp_path / "other.pth", check_hash=False)


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="a list; a state_dict is required"):
        inception_space(tmp_path / "list.pth", check_hash=False)


# ------------------------------------------------------------------------------------------- LPIPS


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


def test_the_state_dict_of_the_package_lpips_is_taken_too(state, file, tmp_path):
    """`net.slice{1..5}.{number}`, and the linear layers twice under their two names."""
    starts, combined = (0, 4, 9, 16, 23), {}
    for name, tensor in state.items():
        if name.startswith("features."):
            number = int(name.split(".")[1])
            part = sum(number >= start for start in starts)
            combined[name.replace("features.", f"net.slice{part}.")] = tensor
    linear = module.published_linear()
    combined |= linear | {name.replace("lin", "lins.", 1): t for name, t in linear.items()}
    combined |= {"scaling_layer.shift": torch.zeros(1, 3, 1, 1)}
    torch.save(combined, tmp_path / "lpips.pth")
    found = lpips_distance(tmp_path / "lpips.pth")
    expected = lpips_distance(file, check_hash=False)
    one, other = draw(2, 3, 32, 32), draw(2, 3, 32, 32, seed=1)
    assert torch.equal(found(one, other), expected(one, other))
    assert found.identity == expected.identity
    torch.save(combined | {"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: its linear layers are not those"):
        lpips_distance(tmp_path / "other.pth")


def test_torchvisions_file_is_known_by_its_hash(file, monkeypatch):
    with pytest.raises(WeightsError, match=r"is not torchvision's vgg16-397923af\.pth"):
        lpips_distance(file)
    monkeypatch.setattr(module, "VGG_SHA256", hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    assert lpips_distance(file).space == "lpips-vgg16"


def test_files_that_are_missing_cut_or_of_another_network_are_named(state, tmp_path):
    with pytest.raises(WeightsError, match=r"vgg16-397923af\.pth from .* --weights PATH"):
        lpips_distance(None)
    with pytest.raises(WeightsError, match="is not a file"):
        lpips_distance(tmp_path / "missing.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(WeightsError, match=r"cut\.pth cannot be read"):
        lpips_distance(tmp_path / "cut.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"list\.pth holds a list; a state_dict is required"):
        lpips_distance(tmp_path / "list.pth")
    wrong = dict(state) | {"features.2.weight": torch.zeros(3)}
    del wrong["features.0.bias"]
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(WeightsError) as error:
        lpips_distance(tmp_path / "wrong.pth", check_hash=False)
    assert "0.bias is missing" in str(error.value)
    assert "2.weight has shape (3,), not (64, 64, 3, 3)" in str(error.value)


def test_over_efficientnet_it_is_near_zero_for_near_images():
    pytest.importorskip("efficientnet_lite_pytorch")
    space = efficientnet_space()
    distance = distance_in(space)
    one = draw(3, 3, 32, 32)
    near, far = (
        distance(one, one + 0.1 * draw(3, 3, 32, 32, seed=1) / 255),
        distance(one, draw(3, 3, 32, 32, seed=2)),
    )
    assert (near > 0).all() and (near < 1e-2 * far).all()
