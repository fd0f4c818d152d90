"""What plain capture of a program would silently lose: cut regions, custom backwards, writes in place."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import adjoint as ad
from tests.interop.compare import agrees_with_torch
from tests.ops.case import spread

X = spread(3, 2)


class Tripled(torch.autograd.Function):
    """Twice ``x``, with a backward that is not its derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * x * 3


class OfItsValue(torch.autograd.Function):
    """The exponential, with a backward that uses the saved value, set up apart."""

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return x.exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        del inputs
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> torch.Tensor:
        (y,) = ctx.saved_tensors
        return grads[0] * y


class TwoValues(torch.autograd.Function):
    """A product and a sum, beside a position that nothing flows through."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor, scale: float) -> Any:
        ctx.save_for_backward(a, b)
        ctx.scale = scale
        where = a.argmax()
        ctx.mark_non_differentiable(where)
        return a * b * scale, a + b, where

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        a, b = ctx.saved_tensors
        product, total, _ = grads
        return product * b * ctx.scale + total, product * a * ctx.scale + 5 * total, None


class Once(torch.autograd.Function):
    """A square whose backward says that it has no derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Any) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride] the decorator's type
        (x,) = ctx.saved_tensors
        return grads[0] * 2 * x


class WritesItsInput(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> torch.Tensor:
        del ctx
        return grads[0] * 2


def without_grad(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        y = x * 2
    return y * x


@torch.no_grad()
def _silent(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def decorated(x: torch.Tensor) -> torch.Tensor:
    return _silent(x) * x


def grad_again_inside(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        y = x * 2
        with torch.enable_grad():
            z = x * x
    return y * z


def detached(x: torch.Tensor) -> torch.Tensor:
    return (x * 2).detach() * x


def data_of(x: torch.Tensor) -> torch.Tensor:
    return (x * 2).data * x


def straight_through(x: torch.Tensor) -> torch.Tensor:
    return (x + (x.round() - x).detach()) * x


def custom(x: torch.Tensor) -> torch.Tensor:
    return Tripled.apply(x) * x


def custom_of_its_value(x: torch.Tensor) -> torch.Tensor:
    return OfItsValue.apply(x * x)


def custom_of_two(x: torch.Tensor) -> torch.Tensor:
    product, total, _ = TwoValues.apply(x, x * x, 1.5)
    return product * total


def custom_of_two_used_once(x: torch.Tensor) -> torch.Tensor:
    return TwoValues.apply(x, x.sin(), 1.5)[1]


def checkpointed(x: torch.Tensor) -> torch.Tensor:
    return checkpoint(lambda z: z.sin() * z, x, use_reentrant=False)


def checkpointed_reentrant(x: torch.Tensor) -> torch.Tensor:
    return checkpoint(lambda z: z.sin() * z, x, use_reentrant=True)


def gradient_inside(x: torch.Tensor) -> torch.Tensor:
    z = x.detach().requires_grad_()
    (g,) = torch.autograd.grad((z**3).sum(), z)
    return g * x


def gradient_inside_kept(x: torch.Tensor) -> torch.Tensor:
    (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    return g * x


def gradient_inside_dropped(x: torch.Tensor) -> torch.Tensor:
    (g,) = torch.autograd.grad((x**3).sum(), x)
    return g * x


def written(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y[0].mul_(3)
    y.add_(x)
    return y * y


def written_through_views(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    column, first = y[:, 1], y[0]
    column.mul_(x[:, 0])
    first.add_(column[1])
    y.view(-1)[2:4] *= 2
    return y.t().contiguous() * first.sum()


def assigned(x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros(4, 2, dtype=x.dtype)
    y[1:] = x * x
    y[0, 0] = x[0, 0]
    y[2, :] = 7.0
    return y


def masked_assignment(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y[x > 0.5] = 0.0
    return y * x


def accumulated(x: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=x.dtype)
    for row in x:
        total += row.prod()
    return total


def written_without_grad(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    with torch.no_grad():
        y.add_(y)
    return y * x


def written_through_a_detached_alias(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y.detach().mul_(3)
    return y.sum()


def unsqueezed_in_place(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y.unsqueeze_(0)
    y.mul_(x)
    return y.squeeze_(0).t_()


KEPT: list[Callable[[torch.Tensor], torch.Tensor]] = [
    without_grad, decorated, grad_again_inside, detached, data_of, straight_through, custom,
    custom_of_its_value, custom_of_two, custom_of_two_used_once, checkpointed, gradient_inside,
    gradient_inside_kept, gradient_inside_dropped, written, written_through_views, assigned,
    masked_assignment, accumulated, written_without_grad, written_through_a_detached_alias,
    unsqueezed_in_place,
]  # fmt: skip


@pytest.mark.parametrize('function', KEPT, ids=lambda f: f.__name__)
def test_meaning_is_kept(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    agrees_with_torch(function, X)


def test_one_tensor_given_twice_is_two_inputs() -> None:
    layer = torch.nn.Linear(2, 3, dtype=torch.float64)
    graph = ad.from_torch(lambda x, y: x.sin() * y, X, X)
    by_x, by_y = ad.Evaluator(ad.gradients(graph.outputs, graph.variables)).run(graph.feed(X, 2 * X))
    torch.testing.assert_close(by_x, X.cos() * 2 * X)
    torch.testing.assert_close(by_y, X.sin())
    weight = layer.weight.detach()
    functional = ad.from_torch(lambda x, w, v: x @ (w * v).t(), X, layer.weight, layer.weight)
    (by_w,) = ad.Evaluator(ad.gradients(functional.outputs, functional.variables[1:2])).run(
        functional.feed(X, weight, 3 * weight)
    )
    torch.testing.assert_close(by_w, X.sum(0) * 3 * weight)


def test_reentrant_checkpoint_is_the_plain_call() -> None:
    def plain(x: torch.Tensor) -> torch.Tensor:
        return x.sin() * x

    graph = ad.from_torch(checkpointed_reentrant, X)
    (g,) = ad.gradients(graph.outputs, graph.variables)
    x = X.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(plain(x).sum(), x)
    (got,) = ad.Evaluator([g]).run(graph.feed(X))
    torch.testing.assert_close(got, wanted, rtol=1e-14, atol=0)


def test_second_derivative_of_a_once_differentiable_function_is_refused() -> None:
    graph = ad.from_torch(lambda x: Once.apply(x), X)
    (g,) = ad.gradients(graph.outputs, graph.variables)
    (got,) = ad.Evaluator([g]).run(graph.feed(X))
    torch.testing.assert_close(got, 2 * X)
    with pytest.raises(ad.NonDifferentiableError, match='once_differentiable'):
        ad.gradients(g, graph.variables)


def of_torch_func(x: torch.Tensor) -> torch.Tensor:
    return torch.func.grad(lambda z: (z**3).sum())(x) * x


def vmapped(x: torch.Tensor) -> torch.Tensor:
    return torch.func.vmap(lambda z: (z**3).sum())(x)


def pushed(x: torch.Tensor) -> torch.Tensor:
    return torch.func.jvp(lambda z: z**3, (x,), (x,))[1]


def hooked(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y.register_hook(lambda g: g * 5)
    return y * x


def backward_inside(x: torch.Tensor) -> torch.Tensor:
    z = x.detach().requires_grad_()
    (z * z).sum().backward()
    return x * 2


def saved_output_inside(x: torch.Tensor) -> torch.Tensor:
    (g,) = torch.autograd.grad(x.tanh().sum(), x, create_graph=True)
    return g * x


def branching(x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.sum() > 0 else x


def dirty(x: torch.Tensor) -> torch.Tensor:
    return WritesItsInput.apply(x.clone())


REFUSED: list[tuple[Callable[[torch.Tensor], torch.Tensor], str]] = [
    (of_torch_func, 'torch.func'),
    (vmapped, 'torch.func'),
    (pushed, 'torch.func'),
    (hooked, 'hook on a gradient'),
    (backward_inside, r'backward\(\)'),
    (saved_output_inside, 'lost track of a tensor'),
    (branching, 'depends on the value of a tensor'),
    (dirty, 'mark_dirty'),
]


@pytest.mark.filterwarnings('ignore:.*torch.jit.script:DeprecationWarning')  # of torch.func.jvp
@pytest.mark.parametrize(('function', 'message'), REFUSED, ids=[f.__name__ for f, _ in REFUSED])
def test_what_would_lose_its_meaning_is_refused_by_name(
    function: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    with pytest.raises(ad.UnsupportedOpError, match=message) as caught:
        ad.from_torch(function, X.clone().requires_grad_())
    assert 'test_meaning.py' in str(caught.value)
