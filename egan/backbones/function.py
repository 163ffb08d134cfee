"""A torch module as a pure function of a flat parameter vector.

The module stays on torch's `meta` device and holds no weights: it only describes a computation, so
one module serves every genome of a population.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from egan.backbones.dcgan.convolutions import Layer
from egan.backbones.progressive.growth import Stage
from egan.state import Weights
from egan.tensor_tree import copies, copy

Initialiser = Callable[[nn.Module, torch.Generator], None]


class NetworkFunction:
    """`module` as a function of `Weights`; `initialise` fills a real copy from a generator.

    `direct` says that the module uses weights of two or more dimensions only as operands of
    products, so that they may be cast and laid out for these beforehand.
    """

    def __init__(
        self, build: Callable[[], nn.Module], initialise: Initialiser, direct: bool = False
    ) -> None:
        with torch.device("meta"):
            self.module = build()
        self._initialise = initialise
        self.layout = [(name, tensor.shape) for name, tensor in self.module.named_parameters()]
        self._sizes = [shape.numel() for _, shape in self.layout]
        self._parameters = [_slot(self.module, name) for name, _ in self.layout]
        self._buffers = {name: _slot(self.module, name) for name, _ in self.module.named_buffers()}
        self.bfloat16 = False
        self._direct = direct

    def compute_in(self, precision: str) -> None:
        """Choose the arithmetic of calls: `execution.precision`. Weights and output stay float32.

        tf32 is a setting of the whole process; DCGAN's layers have their own ways.
        """
        self.bfloat16 = precision == "bfloat16"
        for layer in self.module.modules():
            if isinstance(layer, Layer):
                layer.precision = precision

    @property
    def parameters(self) -> int:
        """Return the number of parameters, P."""
        return sum(self._sizes)

    def initialise(self, generator: torch.Generator) -> Weights:
        """Return new weights drawn from `generator` (on the CPU), as the papers initialise them."""
        # Filled like a call's, since `to_empty` of a module on `meta` imports a symbolic compiler.
        slots = [*self._parameters, *self._buffers.values()]
        own = [torch.empty(table[key].shape, dtype=table[key].dtype) for table, key in slots]
        with torch.no_grad(), _filled(slots, own):
            for child in self.module.modules():
                self._initialise(child, generator)
        count = len(self._parameters)
        params = torch.cat([parameter.flatten() for parameter in own[:count]])
        buffers = dict(zip(self._buffers, own[count:], strict=True))
        return Weights(params, buffers)

    def named(self, params: Tensor) -> dict[str, Tensor]:
        """Return `params` (P,) as named tensors, views into it."""
        names = (name for name, _ in self.layout)
        return dict(zip(names, self.places(params), strict=True))

    def operands(self, params: Tensor) -> Iterator[Tensor]:
        """Yield the parameters for a module on a GPU: views, or copies that products read fastest.

        Otherwise each convolution transposes its weight again, and another kernel casts it.
        """
        for view in self.places(params):
            if not self._direct or view.dim() < 2:
                yield view
                continue
            images = view.dim() == 4
            yield view.to(
                torch.bfloat16 if self.bfloat16 else view.dtype,
                memory_format=torch.channels_last if images else torch.preserve_format,
            )

    def places(self, params: Tensor) -> list[Tensor]:
        """Return the parameters as views into `params` (P,)."""
        parts = torch.split(params, self._sizes)
        return [part.view(shape) for (_, shape), part in zip(self.layout, parts, strict=True)]

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
        own = copies(list(weights.buffers.values()))
        buffers = dict(zip(weights.buffers, own, strict=True))
        if self.module.training != training:  # it walks the whole module
            self.module.train(training)
        slots = self._parameters + [self._buffers[name] for name in buffers]
        options = {} if stage is None else {"stage": stage}
        device = weights.params.device.type
        with (
            torch.autocast(device, torch.bfloat16) if self.bfloat16 else nullcontext(),
            _filled(slots, [*_unpacked(weights.params, self), *buffers.values()]),
        ):
            output: Tensor = self.module(*inputs, **options)
        return output.float(), buffers


class _Unpack(Function):
    """On a GPU: a flat vector as a network's parameters; backward, their gradients as one vector.

    Torch's own views and casts would do the same, but with a backward pass for each of them. Here
    one copy puts a gradient into its place, whatever its layout and type.
    """

    @staticmethod
    def forward(ctx: Any, params: Tensor, function: NetworkFunction) -> tuple[Tensor, ...]:
        """Return the parameters."""
        ctx.set_materialize_grads(False)
        ctx.function, ctx.flat = function, params.detach()
        return tuple(function.operands(params))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None]:
        """Return the gradient (P,)."""
        flat = torch.empty_like(ctx.flat)
        vectors: list[tuple[Tensor, Tensor]] = []  # small, so copied together
        for place, gradient in zip(ctx.function.places(flat), gradients, strict=True):
            if gradient is None:  # of a parameter that the output does not depend on
                place.zero_()
            elif place.dim() == 1:
                vectors.append((gradient, place))
            else:
                place.copy_(gradient)
        copy([gradient for gradient, _ in vectors], [place for _, place in vectors])
        return flat, None


def _unpacked(params: Tensor, function: NetworkFunction) -> Sequence[Tensor]:
    if not params.is_cuda:  # where torch's own views cost less than a function of Python
        return function.places(params)
    return _Unpack.apply(params, function)  # type: ignore[no-any-return, no-untyped-call]


Slot = tuple[dict[str, Tensor], str]  # the table of a submodule that holds a tensor, and its key


def _slot(module: nn.Module, name: str) -> Slot:
    path, _, key = name.rpartition(".")
    owner = module.get_submodule(path)
    table = owner._parameters if key in owner._parameters else owner._buffers
    return table, key  # type: ignore[return-value]


@contextmanager
def _filled(slots: Sequence[Slot], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Put tensors into a module's slots for one call.

    It does what `torch.func.functional_call` does, without looking up every name in every call,
    which took longer than the arithmetic of a small network.
    """
    own = [table[key] for table, key in slots]
    try:
        for (table, key), tensor in zip(slots, tensors, strict=True):
            table[key] = tensor
        yield
    finally:
        for (table, key), tensor in zip(slots, own, strict=True):
            table[key] = tensor
