"""Batches of solutions and of ops of plain functions; batches in chunks."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch

import adjoint as ad
from adjoint.flow.linear_solve import LinearSolver
from tests import torch_func
from tests.ops.case import spread

F64, C128 = torch.float64, torch.complex128


def close(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


# -- roots ------------------------------------------------------------------------------------------------

A = torch.tensor([[4.0, 1.0, 0.5], [1.0, 3.0, -0.5], [0.5, -0.5, 2.0]], dtype=F64)


def residual(x: Any, b: Any) -> Any:
    return torch.tanh(x) + A @ x - b


def newton(x: Any, b: Any) -> Any:
    for _ in range(40):
        slope = torch.diag(1 / torch.cosh(x) ** 2) + A
        x = x - torch.linalg.solve(slope, residual(x, b))
    return x


solved = ad.implicit(residual, newton)


def ours(b: Any) -> Any:
    return solved(torch.zeros(3, dtype=F64), b)


def theirs(b: Any) -> Any:
    return newton(torch.zeros(3, dtype=F64), b)


MODES: dict[str, Any] = {
    'vmap': lambda t, f: t.vmap(f),
    'vmap(grad)': lambda t, f: t.vmap(t.grad(lambda b: f(b)[1] * f(b).sum())),
    'vmap(jacrev)': lambda t, f: t.vmap(t.jacrev(f)),
    'vmap(jacfwd)': lambda t, f: t.vmap(t.jacfwd(f)),
    'grad(vmap)': lambda t, f: t.grad(lambda bs: (t.vmap(f)(bs) ** 2).sum()),
    'jacrev(vmap)': lambda t, f: t.jacrev(t.vmap(f)),
    'vmap(hessian)': lambda t, f: t.vmap(t.hessian(lambda b: f(b).sum())),
    'grad(vmap(jacrev))': lambda t, f: t.grad(lambda bs: (t.vmap(t.jacrev(f))(bs) ** 2).sum()),
}


class Each:
    """The transforms of torch, a batch example by example: its vmap of jacfwd is wrong for Newton's steps."""

    grad, hessian = torch_func.grad, torch_func.hessian
    jacfwd, jacrev = torch_func.jacfwd, torch_func.jacrev

    @staticmethod
    def vmap(f: Any) -> Any:
        return lambda xs: torch.stack([f(x) for x in xs])


@pytest.mark.parametrize('mode', MODES)
def test_vmap_of_a_solution_composes_with_derivatives(mode: str):
    bs = spread(4, 3)
    close(MODES[mode](ad, ours)(bs), MODES[mode](Each, theirs)(bs))


def test_vmap_of_a_solution_nests():
    bs = spread(2, 3, 4)
    nested = lambda t, f: t.vmap(t.vmap(t.jacrev(f)), 2, 1)  # noqa: E731
    close(nested(ad, ours)(bs), nested(torch_func, theirs)(bs))


def systems(node: ad.Node) -> list[int]:
    """How many axes count examples, of each linear system behind a node."""
    solvers = [n.attrs['solver'] for n in ad.topological_sort(node) if n.op.name == 'root']
    return [s.batch_axes for s in solvers if isinstance(s, LinearSolver)]


def test_linear_systems_of_all_examples_are_solved_at_once():
    (g,) = [ad.vmap(ad.grad(lambda b: ours(b).sum())).graph(spread(4, 3)).outputs]
    assert systems(g) == [1]
    # The matrices are written out by as many runs of the body as one example has unknowns.
    runs: list[int] = []

    class Counted(ad.ops.kinds.Unary):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            runs.append(1)
            return input_values[0].clone()

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return counted(ad.ones_like(x))

    counted = Counted()
    root = ad.implicit(lambda x, b: counted(x) * 2 - b, lambda x, b: b / 2)
    slope = ad.vmap(ad.grad(lambda b: root(torch.zeros(3, dtype=F64), b).sum()))
    counts = []
    for examples in (4, 40):
        slope(spread(examples, 3))
        runs.clear()
        close(slope(spread(examples, 3)), torch.full((examples, 3), 0.5, dtype=F64))
        counts.append(len(runs) - examples)  # the solution itself is checked for each
    assert counts[0] == counts[1]


def test_several_and_complex_unknowns_on_a_batch():
    def equations(x: Any, a: Any, z: Any) -> Any:
        u, v = x
        return 2 * u + torch.conj(u) * 0.5 - z * a, v * a + v**3 - torch.real(z)

    def solver(_: Any, a: Any, z: Any) -> Any:
        w = z * a
        u = torch.complex(w.real / 2.5, w.imag / 1.5)
        v = torch.zeros_like(a)
        for _ in range(60):
            v = v - (v * a + v**3 - z.real) / (a + 3 * v**2)
        return u, v

    def f(t: Any) -> Any:
        start = (torch.zeros((), dtype=C128), torch.zeros((), dtype=F64))
        own = ad.implicit(equations, solver) if t is ad else solver

        def loss(a: Any, z: Any) -> Any:
            u, v = own(start, a, z)
            return torch.real(u * torch.conj(u)) + v * v * a

        return t.vmap(t.grad(loss, (0, 1)), (0, None)), t.vmap(t.grad(loss, (0, 1)))

    a, z = spread(4).abs() + 1, torch.complex(spread(4, seed=1), spread(4, seed=2))
    for mine, other, own in zip(f(ad), f(torch_func), (z[0], z), strict=True):
        close(mine(a, own), other(a, own))


def test_a_batch_of_many_unknowns_goes_without_a_matrix(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr('adjoint.flow.linear_solve._DENSE', 2)
    bs = spread(4, 3)
    close(ad.vmap(ad.jacrev(ours))(bs), torch_func.vmap(torch_func.jacrev(theirs))(bs))


def test_a_singular_example_is_an_error_only_if_its_derivative_is_asked_for():
    root = ad.implicit(lambda x, b: x * x - b, lambda x, b: torch.sqrt(b))
    start = torch.tensor(1.0, dtype=F64)
    slope = ad.vmap(ad.grad(lambda b, w: w * root(start, b)), (0, 0))
    bs = torch.tensor([4.0, 0.0, 1.0], dtype=F64)
    close(slope(bs, torch.tensor([1.0, 0.0, 2.0], dtype=F64)), torch.tensor([0.25, 0.0, 1.0], dtype=F64))
    with pytest.raises(ad.ConvergenceError, match='with 1 unknowns for each of 3 examples, was not solved'):
        slope(bs, torch.ones(3, dtype=F64))


def test_the_solver_is_called_once_for_each_example():
    calls: list[int] = []

    def counting(x: Any, b: Any) -> Any:
        calls.append(1)
        return newton(x, b)

    root = ad.implicit(residual, counting)
    ad.vmap(lambda b: root(torch.zeros(3, dtype=F64), b))(spread(5, 3))
    assert len(calls) == 5


# -- ops of plain functions -------------------------------------------------------------------------------


def _centred(x: torch.Tensor, *, dim: int = 0) -> torch.Tensor:
    assert not torch._C._functorch.is_batchedtensor(x)  # pyright: ignore[reportPrivateImportUsage]
    return x - x.mean(dim, keepdim=True)


_gradient = lambda ct, y, x, dim: ct - ad.mean(ct, dim, keepdim=True)  # noqa: E731
OPS: dict[str, Any] = {
    'axes': ad.custom_op(_centred, gradient=_gradient, axes=('dim',)),
    'batch': ad.custom_op(
        _centred, gradient=_gradient, batch=lambda bs, x, dim: bs[0] - ad.mean(bs[0], dim + 1, keepdim=True)
    ),
    'map': ad.custom_op(
        lambda x, *, dim=0: torch.from_numpy(x.numpy() - x.numpy().mean(dim, keepdims=True)),
        gradient=_gradient,
    ),
}


@pytest.mark.parametrize('kind', OPS)
@pytest.mark.parametrize('dim', [0, 1])
def test_vmap_of_a_plain_function_composes_with_derivatives(kind: str, dim: int):
    x, op = spread(4, 2, 3), OPS[kind]
    for made in (
        lambda t, f: t.vmap(f),
        lambda t, f: t.vmap(t.grad(lambda x: (f(x) ** 3).sum())),
        lambda t, f: t.grad(lambda x: (t.vmap(f)(x) ** 3).sum()),
        lambda t, f: t.vmap(t.hessian(lambda x: (f(x) ** 3).sum())),
        lambda t, f: t.vmap(t.vmap(lambda x: f(x.reshape(1, 2) if dim else x.reshape(2, 1)), 1)),
    ):
        own = made(ad, lambda x: op(x, dim=dim))(x)
        close(own, made(torch_func, lambda x: x - x.mean(dim, keepdim=True))(x))


def test_a_rule_takes_the_place_of_a_map():
    xs = ad.Variable('xs', (4, 2), F64)
    x = ad.Variable('x', (2,), F64)
    names = {
        kind: [n.op.name for n in ad.topological_sort(ad.batched(op(x), {x: xs}))][1:]
        for kind, op in OPS.items()
    }
    assert names == {'axes': ['_centred'], 'batch': ['mean', 'sub'], 'map': ['map']}


def _polar(x: torch.Tensor, y: torch.Tensor) -> Any:
    return torch.from_numpy(np.hypot(x.numpy(), y.numpy())), torch.atan2(y, x)


def test_a_batch_of_several_outputs():
    def batch(bs: Any, x: Any, y: Any) -> Any:
        a, b = (own if given is None else given for own, given in zip((x, y), bs, strict=True))
        return ad.hypot(a, b), ad.atan2(b, a)

    polar = ad.custom_op(
        _polar,
        gradient=lambda cts, ys, x, y: (
            cts[0] * x / ys[0] - cts[1] * y / ys[0] ** 2, cts[0] * y / ys[0] + cts[1] * x / ys[0] ** 2
        ),
        batch=batch,
        outputs=2,
    )  # fmt: skip
    x, y = spread(5), torch.tensor(0.75, dtype=F64)
    f = lambda polar: lambda x, y: polar(x, y)[0] * torch.sin(polar(x, y)[1])  # noqa: E731
    plain = f(lambda x, y: (torch.hypot(x, y), torch.atan2(y, x)))
    mine, others = (
        [t.vmap(t.grad(own, (0, 1)), (0, None))(x, y), t.vmap(own, (0, None))(x, y)]
        for t, own in ((ad, f(polar)), (torch_func, plain))
    )
    close(mine, others)


def test_what_a_rule_owes_is_checked():
    with pytest.raises(ad.TensorTypeError, match='got two: batch and axes'):
        ad.custom_op(torch.sin, axes=(), batch=lambda bs, x: bs[0])
    wrong = ad.custom_op(lambda x: x * 1.0, batch=lambda bs, x: 3)
    with pytest.raises(ad.RuleError, match=r'(?s)batch of .* returned 3 of type int, and owes 1 as nodes'):
        ad.vmap(wrong)(spread(2))


# -- chunks -----------------------------------------------------------------------------------------------


def loss(w: Any, x: Any) -> Any:
    return torch.sum(torch.tanh(x @ w) ** 2)


@pytest.mark.parametrize('chunk_size', [1, 2, 3, 4, 7, 8, 100])
@pytest.mark.parametrize('in_axes', [(None, 0), (None, 1), (0, 0)])
def test_chunks_give_what_the_whole_batch_gives(chunk_size: int, in_axes: Any):
    w = spread(7, 3, 2, seed=1) if in_axes[0] == 0 else spread(3, 2, seed=1)
    x = spread(3, 7) if in_axes[1] else spread(7, 3)
    for made in (
        lambda t, **o: t.vmap(loss, in_axes, **o),
        lambda t, **o: t.vmap(t.grad(loss, (0, 1)), in_axes, **o),
        lambda t, **o: t.grad(lambda w, x: (t.vmap(loss, in_axes, **o)(w, x) ** 2).sum(), (0, 1)),
        lambda t, **o: t.hessian(lambda w, x: t.vmap(loss, in_axes, **o)(w, x).prod()),
    ):
        wanted = made(torch_func, chunk_size=chunk_size)(w, x)
        close(made(ad, chunk_size=chunk_size)(w, x), wanted)


def test_chunks_of_structures_of_what_is_the_same_for_all_and_of_batches_of_chunks():
    def f(x: Any, y: Any) -> Any:
        return {'a': x['p'] * y, 'b': y + 1, 'c': x['q'].sum()}

    x, y = {'p': spread(2, 5), 'q': spread(5, 2)}, spread(3)
    got = ad.vmap(f, ({'p': 1, 'q': 0}, None), {'a': 1, 'b': None, 'c': 0}, chunk_size=2)
    wanted = ad.vmap(f, ({'p': 1, 'q': 0}, None), {'a': 1, 'b': None, 'c': 0})
    y2 = spread(2)
    close(got(x, y2), wanted(x, y2))

    def nested(**options: Any) -> Any:
        inner = lambda a: ad.vmap(lambda b: torch.sin(a * b), chunk_size=2)(y)  # noqa: E731
        return ad.vmap(inner, **options)(spread(5))

    close(nested(chunk_size=3), torch.sin(spread(5)[:, None] * y))
    close(nested(), torch.sin(spread(5)[:, None] * y))


def test_chunks_are_steps_of_a_loop():
    graph = ad.vmap(ad.grad(loss), (None, 0), chunk_size=4).graph(spread(3, 2), spread(16, 3))
    names = [n.op.name for n in ad.topological_sort(graph.outputs)]
    assert names.count('scan') == 1
    assert 'tanh' not in names
    again = pickle.loads(pickle.dumps(graph.outputs))
    assert [n.op.name for n in ad.topological_sort(again)] == names


@pytest.mark.parametrize(
    ('call', 'error', 'message'),
    [
        (lambda: ad.vmap(torch.sin, chunk_size=0), ad.TensorTypeError, 'chunk_size is how many .* got 0'),
        (lambda: ad.vmap(torch.sin, chunk_size=True), ad.TensorTypeError, 'got True'),
        (lambda: ad.vmap(torch.sin, chunk_size=2, randomness='different'), ad.UnsupportedOpError,
         'each chunk would draw the same'),
        (lambda: ad.vmap(torch.sin, chunk_size=2)(ad.Variable('x', ('n',))), ad.ShapeError,
         r'(?s)no known number of examples.*leave chunk_size out.*test_rules_of_batches'),
    ],
)  # fmt: skip
def test_chunks_that_cannot_be_are_refused(call: Any, error: Any, message: str):
    with pytest.raises(error, match=message):
        call()
