"""A layer of stride 2, its transpose and the gradient of its weights: each other's derivatives.

<y, halve(x, w)> is linear in the images x, in the weights w and in the smaller images y. Its
gradients by the three are

    by y: halve(x, w)        by x: double(y, w)        by w: correlate(x, y)

so the derivatives of each function are the two others, of any order, however each is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor
from torch.autograd import Function

Bilinear = Callable[[Tensor, Tensor], Tensor]
Derivative = Callable[[Tensor, Tensor, Tensor], Tensor]  # of the gradient and both operands


@dataclass(frozen=True)
class Trilinear:
    """The three functions as they are computed; `halved` and so on are differentiable."""

    halve: Bilinear
    double: Bilinear
    correlate: Bilinear

    def halved(self, x: Tensor, w: Tensor) -> Tensor:
        """Return halve(x, w)."""
        by_x, by_w = lambda g, x, w: self.doubled(g, w), lambda g, x, w: self.correlated(x, g)
        return _call(self.halve, by_x, by_w, x, w)

    def doubled(self, y: Tensor, w: Tensor) -> Tensor:
        """Return double(y, w)."""
        by_y, by_w = lambda g, y, w: self.halved(g, w), lambda g, y, w: self.correlated(g, y)
        return _call(self.double, by_y, by_w, y, w)

    def correlated(self, x: Tensor, y: Tensor) -> Tensor:
        """Return correlate(x, y)."""
        by_x, by_y = lambda g, x, y: self.doubled(y, g), lambda g, x, y: self.halved(x, g)
        return _call(self.correlate, by_x, by_y, x, y)


class _Bilinear(Function):
    """A function of two tensors, with a function for each derivative."""

    @staticmethod
    def forward(
        ctx: Any, compute: Bilinear, by_a: Derivative, by_b: Derivative, a: Tensor, b: Tensor
    ) -> Tensor:
        ctx.by_a, ctx.by_b = by_a, by_b
        ctx.save_for_backward(a, b)
        return compute(a, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (a, b), (*_, of_a, of_b) = gradients, ctx.saved_tensors, ctx.needs_input_grad
        by_a, by_b = ctx.by_a(g, a, b) if of_a else None, ctx.by_b(g, a, b) if of_b else None
        return None, None, None, by_a, by_b


def _call(compute: Bilinear, by_a: Derivative, by_b: Derivative, a: Tensor, b: Tensor) -> Tensor:
    return cast(Tensor, _Bilinear.apply(compute, by_a, by_b, a, b))  # type: ignore[no-untyped-call]
