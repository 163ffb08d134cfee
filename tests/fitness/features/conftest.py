"""Weights of the true structure, random, large enough to reach the end."""

import pytest
import torch
from torch import nn

from fitness.features.inception import InceptionV3


@pytest.fixture(scope="session")
def inception_state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        network = InceptionV3()
    network = network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            nn.init.normal_(module.running_mean, 0, 0.1, generator)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator)
    nn.init.normal_(network.fc.weight, 0, 0.02, generator)
    nn.init.normal_(network.fc.bias, 0, 0.02, generator)
    return network.state_dict()
