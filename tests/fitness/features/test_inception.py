import math

import pytest
import torch
from torch.nn import functional as F

from fitness.features.base import WeightsError
from fitness.features.inception import (
    InceptionSpace,
    InceptionV3,
    resize_like_tensorflow1,
)


def images(count=2, side=32, channels=3):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(
        0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator
    )


@pytest.fixture(scope="module")
def space(inception_state) -> InceptionSpace:
    return InceptionSpace(inception_state, "hash")


def test_the_architecture_has_the_published_numbers():
    with torch.device("meta"):
        network = InceptionV3()
    assert len(network.state_dict()) == 566
    # 94 convolutions, and 2048 x 1008 weights and biases at the end
    assert sum(name.endswith("conv.weight") for name in network.state_dict()) == 94
    assert sum(parameter.numel() for parameter in network.parameters()) == 23_850_960


def test_the_layers_carry_the_published_names():
    with torch.device("meta"):
        state = InceptionV3().state_dict()
    for name, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
        "Mixed_7a.branch7x7x3_4.bn.running_var": (192,),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch_pool.bn.num_batches_tracked": (),
        "fc.weight": (1008, 2048),
    }.items():
        assert tuple(state[name].shape) == shape


def test_every_layer_has_the_published_output_shape():
    with torch.device("meta"):
        network = InceptionV3().eval()
        shapes = {}
        for name, layer in network.named_children():
            layer.register_forward_hook(
                lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])})
            )
        features, logits = network(torch.empty(2, 3, 299, 299))
    assert (features.shape, logits.shape) == ((2, 2048), (2, 1008))
    assert shapes == {
        "Conv2d_1a_3x3": (32, 149, 149),
        "Conv2d_2a_3x3": (32, 147, 147),
        "Conv2d_2b_3x3": (64, 147, 147),
        "pool_1": (64, 73, 73),
        "Conv2d_3b_1x1": (80, 73, 73),
        "Conv2d_4a_3x3": (192, 71, 71),
        "pool_2": (192, 35, 35),
        "Mixed_5b": (256, 35, 35),
        "Mixed_5c": (288, 35, 35),
        "Mixed_5d": (288, 35, 35),
        **{f"Mixed_6{letter}": (768, 17, 17) for letter in "abcde"},
        "Mixed_7a": (1280, 8, 8),
        "Mixed_7b": (2048, 8, 8),
        "Mixed_7c": (2048, 8, 8),
    }


@pytest.mark.parametrize(
    ("block", "pool"),
    [
        ("Mixed_5b", lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        ("Mixed_6e", lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        ("Mixed_7b", lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        ("Mixed_7c", lambda x: F.max_pool2d(x, 3, 1, 1)),
    ],
)
def test_a_block_pools_as_the_graph_of_2015_does(space, block, pool):
    layer = space.network.get_submodule(block)
    state = layer.state_dict()
    channels = state["branch_pool.conv.weight"].shape[1]
    x = torch.rand(1, channels, 8, 8, generator=torch.Generator().manual_seed(0)) + 1
    y = F.conv2d(pool(x), state["branch_pool.conv.weight"])
    mean, variance = (state[f"branch_pool.bn.running_{m}"][:, None, None] for m in ("mean", "var"))
    expected = ((y - mean) / (variance + 0.001).sqrt()).relu()
    torch.testing.assert_close(layer(x)[:, -expected.shape[1] :], expected, atol=1e-4, rtol=1e-4)


def test_features_tell_images_apart_and_logits_leave_the_bias_out(space):
    features, logits = space.features_and_logits(images(3))
    assert (features.shape, logits.shape) == ((3, 2048), (3, 1008))
    assert features.std(dim=0).mean() > 0.01 * features.mean()
    torch.testing.assert_close(logits, features @ space.network.fc.weight.T)


def test_grey_images_are_images_with_equal_channels(space):
    grey = images(channels=1)
    torch.testing.assert_close(space(grey), space(grey.expand(-1, 3, -1, -1).contiguous()))


def test_how_images_are_batched_does_not_matter(space, monkeypatch):
    monkeypatch.setattr(space, "chunk_on_cpu", 2)
    batch = images(3)
    torch.testing.assert_close(
        space(batch), torch.cat([space(one[None]) for one in batch]), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize(("height", "width", "side"), [(8, 11, 16), (32, 20, 13), (5, 5, 5)])
def test_resizing_reads_position_i_times_scale(height, width, side):
    image = images(1, 40)[:, :, :height, :width].double()
    found = resize_like_tensorflow1(image, side)
    for i in range(side):
        for j in range(side):
            y, x = i * height / side, j * width / side
            top, left = math.floor(y), math.floor(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            above = image[0, :, top, left] * (1 - x + left) + image[0, :, top, right] * (x - left)
            below = image[0, :, bottom, left] * (1 - x + left) + image[0, :, bottom, right] * (
                x - left
            )
            expected = above * (1 - y + top) + below * (y - top)
            torch.testing.assert_close(found[0, :, i, j], expected)


def test_entries_that_do_not_fit_are_named(inception_state):
    state = dict(inception_state)
    del state["fc.weight"]
    state["fc.bias"] = torch.zeros(1000)
    state["AuxLogits.fc.bias"] = torch.zeros(1000)
    with pytest.raises(WeightsError) as error:
        InceptionSpace(state, "hash")
    for part in ("fc.weight is missing", "AuxLogits.fc.bias is not part", "not (1008,)"):
        assert part in str(error.value)


def test_a_state_without_batch_counters_is_taken(inception_state):
    state = {k: v for k, v in inception_state.items() if "num_batches" not in k}
    assert InceptionSpace(state, "hash").network.fc.weight.shape == (1008, 2048)


def test_images_that_are_neither_grey_nor_rgb_are_refused(space):
    with pytest.raises(ValueError, match="4 channels"):
        space(images(channels=4))
