"""A torch module as a pure function of a flat parameter vector.

The module itself stays on torch's `meta` device: it is the shape of a computation and holds no
weights, so one skeleton serves every genome of a population.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from egan.backbones.growth import Stage
from egan.state import Weights

Initialiser = Callable[[nn.Module, torch.Generator], None]


class NetworkFunction:
    """`module` as a function of `Weights`; `initialise` fills one real copy from a generator."""

    def __init__(self, build: Callable[[], nn.Module], initialise: Initialiser) -> None:
        with torch.device("meta"):
            self.module = build()
        self._initialise = initialise
        self.layout = [(name, tensor.shape) for name, tensor in self.module.named_parameters()]
        self._sizes = [shape.numel() for _, shape in self.layout]
        self.bfloat16 = False  # compute in mixed precision; weights and output stay float32

    @property
    def parameters(self) -> int:
        """Return the number of parameters, P."""
        return sum(self._sizes)

    def initialise(self, generator: torch.Generator) -> Weights:
        """Return new weights drawn from `generator` (on the CPU), as the papers initialise them."""
        module = self.module.to_empty(device="cpu")
        for child in module.modules():
            self._initialise(child, generator)
        params = torch.cat([p.detach().flatten() for p in module.parameters()])
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        self.module = module.to(device="meta")
        return Weights(params, buffers)

    def named(self, params: Tensor) -> dict[str, Tensor]:
        """Return `params` (P,) as named tensors, views into it."""
        parts = torch.split(params, self._sizes)
        return {
            name: part.view(shape) for (name, shape), part in zip(self.layout, parts, strict=True)
        }

    def __call__(
        self,
        weights: Weights,
        *inputs: object,
        stage: Stage | None = None,
        training: bool = True,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the network's output and its buffers after the call; `weights` stays as it is.

        `stage` is how far a network that grows is grown; None for all others.
        In training mode batch normalisation uses the batch's statistics, and the returned buffers
        hold the updated running ones: the caller decides whether they count.
        """
        buffers = {name: buffer.clone() for name, buffer in weights.buffers.items()}
        if self.module.training != training:  # it walks the whole module
            self.module.train(training)
        tensors = {**self.named(weights.params), **buffers}
        options = {} if stage is None else {"stage": stage}
        with torch.autocast(weights.params.device.type, torch.bfloat16, enabled=self.bfloat16):
            output: Tensor = functional_call(
                self.module, tensors, inputs, options, tie_weights=False
            )
        return output.float(), buffers
