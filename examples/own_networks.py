"""Evolve networks of your own: python examples/own_networks.py.

In a config file: `backbone: {name: "own_networks:TwoLayers", width: 64}`, with the folder of this
file on PYTHONPATH. The class's fields are the section's keys.
"""

import torch
from torch import nn

from egan.backbones import Backbone, Networks
from egan.backbones.function import NetworkFunction
from runs import evolve, load_config
from runs.display.progress import progress_for_terminal


def layers(inputs: int, width: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


def initialise(module: nn.Module, stream: torch.Generator) -> None:
    """Fill one module's parameters and buffers from the stream, and from nothing else."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight, generator=stream)
        nn.init.zeros_(module.bias)


class TwoLayers(Backbone, frozen=True):
    """Two layers of SiLU units for points (D,)."""

    width: int = 64

    def build(self, shape: tuple[int, ...]) -> Networks:
        generator = NetworkFunction(lambda: layers(2, self.width, shape[0]), initialise)
        critic = NetworkFunction(lambda: layers(shape[0], self.width, 1), initialise)
        return Networks(generator, critic, latent=2, prior="normal")


if __name__ == "__main__":
    own = {"name": "own_networks:TwoLayers", "width": 32}
    evolve(load_config("gaussians8", backbone=own, generations=2000), None, progress_for_terminal())
