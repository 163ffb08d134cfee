"""The feature space of the Fréchet Inception distance: Inception-v3 of 2015-12-05.

Szegedy et al., *Rethinking the Inception Architecture*, arXiv 1512.00567, as in the TensorFlow
graph of 5 December 2015 that Heusel et al., arXiv 1706.08500, defined FID on. It differs from later
Inception-v3 networks in four ways, each of which changes scores: average pooling leaves the padding
out of its mean, the last block pools by maximum, there are 1008 logits, and images reach 299 pixels
by TensorFlow 1's bilinear resize. The state's layout is that of the converted weights that
pytorch-fid and torch-fidelity publish, which are one file under two names.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fitness.digest import digest
from fitness.features.base import FeatureSpace, as_rgb
from fitness.features.weights import load_state

SIDE = 299

Size = int | tuple[int, int]


class ConvolutionNormRelu(nn.Module):
    """Convolution without bias, batch normalisation, ReLU: the network's one building stone."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: int, padding: Size) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H', W')."""
        return torch.relu_(self.bn(self.conv(x)))


def convolution(inputs: int, outputs: int, kernel: Size, stride: int = 1) -> ConvolutionNormRelu:
    """Inside the blocks a stride of 1 keeps the size and a stride of 2 goes without padding."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (0, 0) if stride > 1 else (height // 2, width // 2)
    return ConvolutionNormRelu(inputs, outputs, kernel, stride, padding)


# A stage is one or more named layers applied to the same input, their outputs side by side.
Stage = dict[str, nn.Module]


def chain(name: str, inputs: int, *layers: tuple[int, Size] | tuple[int, Size, int]) -> list[Stage]:
    """Convolutions one after another, (outputs, kernel[, stride]) each, numbered when several."""
    stages: list[Stage] = []
    for number, layer in enumerate(layers, start=1):
        label = name if len(layers) == 1 else f"{name}_{number}"
        stages.append({label: convolution(inputs, *layer)})
        inputs = layer[0]
    return stages


class Mixed(nn.Module):
    """An Inception block: several paths of stages over one input, their outputs side by side."""

    def __init__(self, *paths: list[Stage]) -> None:
        super().__init__()
        self.paths = [[tuple(stage) for stage in path] for path in paths]
        for path in paths:
            for stage in path:
                for name, layer in stage.items():
                    self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, sum of the paths' outputs, H', W')."""
        outputs = []
        for path in self.paths:
            y = x
            for stage in path:
                results = [self.get_submodule(name)(y) for name in stage]
                y = results[0] if len(results) == 1 else torch.cat(results, dim=1)
            outputs.append(y)
        return torch.cat(outputs, dim=1)


def average_pool() -> list[Stage]:
    """TensorFlow's average pooling: padding does not count."""
    return [{"pool": nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)}]


def block_a(inputs: int, pooled: int) -> Mixed:
    """35 x 35: 1x1, 5x5 and double 3x3 paths; 224 + `pooled` outputs."""
    return Mixed(
        chain("branch1x1", inputs, (64, 1)),
        chain("branch5x5", inputs, (48, 1), (64, 5)),
        chain("branch3x3dbl", inputs, (64, 1), (96, 3), (96, 3)),
        average_pool() + chain("branch_pool", inputs, (pooled, 1)),
    )


def block_b(inputs: int) -> Mixed:
    """35 x 35 to 17 x 17; 480 + `inputs` outputs."""
    return Mixed(
        chain("branch3x3", inputs, (384, 3, 2)),
        chain("branch3x3dbl", inputs, (64, 1), (96, 3), (96, 3, 2)),
        [{"pool": nn.MaxPool2d(3, stride=2)}],
    )


def block_c(inputs: int, c: int) -> Mixed:
    """17 x 17: 7x7 paths factored into 1x7 and 7x1, `c` channels inside; 768 outputs."""
    row, column = (1, 7), (7, 1)
    return Mixed(
        chain("branch1x1", inputs, (192, 1)),
        chain("branch7x7", inputs, (c, 1), (c, row), (192, column)),
        chain("branch7x7dbl", inputs, (c, 1), (c, column), (c, row), (c, column), (192, row)),
        average_pool() + chain("branch_pool", inputs, (192, 1)),
    )


def block_d(inputs: int) -> Mixed:
    """17 x 17 to 8 x 8; 512 + `inputs` outputs."""
    return Mixed(
        chain("branch3x3", inputs, (192, 1), (320, 3, 2)),
        chain("branch7x7x3", inputs, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
        [{"pool": nn.MaxPool2d(3, stride=2)}],
    )


def block_e(inputs: int, pool: list[Stage]) -> Mixed:
    """8 x 8: paths that fork into 1x3 and 3x1; 2048 outputs."""

    def fork(name: str) -> list[Stage]:
        return [
            {
                f"{name}a": convolution(384, 384, (1, 3)),
                f"{name}b": convolution(384, 384, (3, 1)),
            }
        ]

    narrow = chain("branch3x3_1", inputs, (384, 1))
    wide = chain("branch3x3dbl", inputs, (448, 1), (384, 3))
    return Mixed(
        chain("branch1x1", inputs, (320, 1)),
        narrow + fork("branch3x3_2"),
        wide + fork("branch3x3dbl_3"),
        pool + chain("branch_pool", inputs, (192, 1)),
    )


class InceptionV3(nn.Module):
    """Images (N, 3, 299, 299) in -1..1 to features (N, 2048) and logits (N, 1008)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvolutionNormRelu(3, 32, 3, 2, 0)  # (N, 32, 149, 149)
        self.Conv2d_2a_3x3 = ConvolutionNormRelu(32, 32, 3, 1, 0)  # (N, 32, 147, 147)
        self.Conv2d_2b_3x3 = ConvolutionNormRelu(32, 64, 3, 1, 1)  # (N, 64, 147, 147)
        self.pool_1 = nn.MaxPool2d(3, stride=2)  # (N, 64, 73, 73)
        self.Conv2d_3b_1x1 = ConvolutionNormRelu(64, 80, 1, 1, 0)  # (N, 80, 73, 73)
        self.Conv2d_4a_3x3 = ConvolutionNormRelu(80, 192, 3, 1, 0)  # (N, 192, 71, 71)
        self.pool_2 = nn.MaxPool2d(3, stride=2)  # (N, 192, 35, 35)
        self.Mixed_5b = block_a(192, 32)  # (N, 256, 35, 35)
        self.Mixed_5c = block_a(256, 64)  # (N, 288, 35, 35)
        self.Mixed_5d = block_a(288, 64)  # (N, 288, 35, 35)
        self.Mixed_6a = block_b(288)  # (N, 768, 17, 17)
        self.Mixed_6b = block_c(768, 128)  # (N, 768, 17, 17)
        self.Mixed_6c = block_c(768, 160)  # (N, 768, 17, 17)
        self.Mixed_6d = block_c(768, 160)  # (N, 768, 17, 17)
        self.Mixed_6e = block_c(768, 192)  # (N, 768, 17, 17)
        self.Mixed_7a = block_d(768)  # (N, 1280, 8, 8)
        self.Mixed_7b = block_e(1280, average_pool())  # (N, 2048, 8, 8)
        # The graph of 2015-12-05 pools by maximum here, unlike the paper.
        self.Mixed_7c = block_e(2048, [{"pool": nn.MaxPool2d(3, stride=1, padding=1)}])
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features before the last layer, and logits without its bias, as the score's code has."""
        for name, layer in self.named_children():
            if name != "fc":
                x = layer(x)
        features = x.mean(dim=(2, 3))  # (N, 2048)
        return features, features @ self.fc.weight.T  # (N, 1008)


def resize_like_tensorflow1(images: Tensor, side: int) -> Tensor:
    """Float images (N, C, H, W) to (N, C, side, side) as `tf.image.resize_bilinear` of TF 1 does.

    Output pixel i reads position i * H / side: corners are not aligned, pixel centres not shifted,
    and shrinking does not smooth. Every later resize gives other features.
    """

    def neighbours(length: int) -> tuple[Tensor, Tensor, Tensor]:
        scale = torch.tensor(length / side, device=images.device, dtype=images.dtype)
        position = torch.arange(side, device=images.device, dtype=images.dtype) * scale
        low = position.floor().long()
        return low, (low + 1).clamp(max=length - 1), position - low

    low, high, share = neighbours(images.shape[3])
    left, right = images[:, :, :, low], images[:, :, :, high]
    images = left + (right - left) * share
    low, high, share = neighbours(images.shape[2])
    top, bottom = images[:, :, low], images[:, :, high]
    return top + (bottom - top) * share[:, None]


def load_network(state: Mapping[str, Tensor]) -> InceptionV3:
    """Return the network with a state_dict's weights, in evaluation mode.

    Args:
        state: as pytorch-fid and torch-fidelity publish it.

    Raises:
        WeightsError: its entries do not fit the architecture.
    """
    with torch.device("meta"):  # shapes only: initial values would be thrown away
        network = InceptionV3()
    # Files from before PyTorch 0.4.1 lack the batch counters, which evaluation never reads.
    counters = (name for name in network.state_dict() if name.endswith("num_batches_tracked"))
    load_state(network, {name: torch.tensor(0) for name in counters} | dict(state), "Inception-v3")
    return network


class InceptionSpace(FeatureSpace):
    """The 2048 features of FID and the 1008 logits of the inception score.

    Grey images repeat their channel.

    Args:
        state: the published state_dict; with any other, scores must not be called FID.
        sha256: the hash of the file that it comes from, a part of the space's identity.
        device: where it runs.

    Raises:
        WeightsError: as `load_network`.
    """

    chunk_on_cpu = 8

    def __init__(
        self, state: Mapping[str, Tensor], sha256: str, device: str | torch.device = "cpu"
    ) -> None:
        network = load_network(state).to(device)
        # channels_last doubles the speed on a CPU.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        identity = digest("inception", "resize tf1", sha256)
        super().__init__("inception", 2048, identity, classes=1008, device=device)

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Resize, scale to -1..1 as the graph does, and run the network."""
        x = (resize_like_tensorflow1(as_rgb(images).float(), SIDE) - 128) / 128
        features, logits = self.network(x.contiguous(memory_format=torch.channels_last))
        return features, logits
