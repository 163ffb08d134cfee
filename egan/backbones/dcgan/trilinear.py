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


@dataclass(frozen=True)
class Trilinear:
    """The three functions as they are computed; `halved` and so on are differentiable."""

    halve: Bilinear
    double: Bilinear
    correlate: Bilinear

    def halved(self, x: Tensor, w: Tensor) -> Tensor:
        """Return halve(x, w)."""
        return _call(_Halve, self, x, w)

    def doubled(self, y: Tensor, w: Tensor) -> Tensor:
        """Return double(y, w)."""
        return _call(_Double, self, y, w)

    def correlated(self, x: Tensor, y: Tensor) -> Tensor:
        """Return correlate(x, y)."""
        return _call(_Correlate, self, x, y)


def _call(function: type[Function], form: Trilinear, a: Tensor, b: Tensor) -> Tensor:
    return cast(Tensor, function.apply(form, a, b))  # type: ignore[no-untyped-call]


Gradients = tuple[None, Tensor | None, Tensor | None]


class _Halve(Function):
    @staticmethod
    def forward(ctx: Any, form: Trilinear, x: Tensor, w: Tensor) -> Tensor:
        ctx.form = form
        ctx.save_for_backward(x, w)
        return form.halve(x, w)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        (g,), (x, w), (_, by_x, by_w) = gradients, ctx.saved_tensors, ctx.needs_input_grad
        form: Trilinear = ctx.form
        return None, form.doubled(g, w) if by_x else None, form.correlated(x, g) if by_w else None


class _Double(Function):
    @staticmethod
    def forward(ctx: Any, form: Trilinear, y: Tensor, w: Tensor) -> Tensor:
        ctx.form = form
        ctx.save_for_backward(y, w)
        return form.double(y, w)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        (g,), (y, w), (_, by_y, by_w) = gradients, ctx.saved_tensors, ctx.needs_input_grad
        form: Trilinear = ctx.form
        return None, form.halved(g, w) if by_y else None, form.correlated(g, y) if by_w else None


class _Correlate(Function):
    @staticmethod
    def forward(ctx: Any, form: Trilinear, x: Tensor, y: Tensor) -> Tensor:
        ctx.form = form
        ctx.save_for_backward(x, y)
        return form.correlate(x, y)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        (g,), (x, y), (_, by_x, by_y) = gradients, ctx.saved_tensors, ctx.needs_input_grad
        form: Trilinear = ctx.form
        return None, form.doubled(y, g) if by_x else None, form.halved(x, g) if by_y else None
