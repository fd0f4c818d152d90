"""Solutions of equations, differentiated by what they solve, in every mode and order."""

from typing import Any

import pytest
import torch

import adjoint as ad
from tests.torch_func import hessian, jvp

F64, C128 = torch.float64, torch.complex128
A = torch.tensor([[4.0, 1.0, 0.5], [1.0, 3.0, -0.5], [0.5, -0.5, 2.0]], dtype=F64)
B = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
X0 = torch.zeros(3, dtype=F64)


def close(ours: Any, theirs: Any, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


# The root of tanh(x) + x = A b, whose solver is Newton's; witness: Newton's steps, differentiated by torch.
def residual(x: Any, a: Any, b: Any) -> Any:
    return torch.tanh(x) + x - a @ b


def newton(x: Any, a: Any, b: Any) -> Any:
    for _ in range(60):
        x = x - residual(x, a, b) / (2 - torch.tanh(x) ** 2)
    return x


# A minimum with a closed form: ridge regression; and a fixed point of a contraction.
def ridge(x: Any, a: Any, b: Any) -> Any:
    return ((a @ x - b) ** 2).sum() + (x**2).sum() * 0.5


def ridge_solver(_: Any, a: Any, b: Any) -> Any:
    return torch.linalg.solve(a.mT @ a + 0.5 * torch.eye(3, dtype=F64), a.mT @ b)


def contraction(x: Any, a: Any, b: Any) -> Any:
    return 0.1 * torch.sin(a @ x) + b


def iterate(x: Any, a: Any, b: Any) -> Any:
    for _ in range(80):
        x = contraction(x, a, b)
    return x


KINDS: dict[str, tuple[Any, Any]] = {
    'root': (residual, newton),
    'minimum': (ridge, ridge_solver),
    'fixed point': (contraction, iterate),
}


@pytest.mark.parametrize('kind', KINDS)
def test_derivatives_are_those_of_the_closed_form_or_of_the_steps(kind: Any):
    function, solver = KINDS[kind]
    solved = ad.implicit(function, solver, of=kind)
    close(solved(X0, A, B), solver(X0, A, B))
    for mode in ('forward', 'reverse'):
        ours = ad.jacobian(lambda a, b: solved(X0, a, b), (0, 1), mode=mode)(A, B)
        close(ours, torch.func.jacrev(lambda a, b: solver(X0, a, b), (0, 1))(A, B))
    weights = torch.tensor([1.0, -0.5, 2.0], dtype=F64)
    ours = ad.hessian(lambda b: (solved(X0, A, b) ** 2 * weights).sum())(B)
    close(ours, hessian(lambda b: (solver(X0, A, b) ** 2 * weights).sum())(B), 1e-9)
    twice = ad.grad(lambda a: ad.grad(lambda a: (solved(X0, a, B) ** 2).sum())(a).sum())(A)
    by_torch = hessian(lambda a: (solver(X0, a, B) ** 2).sum())(A)
    close(twice, by_torch.sum((0, 1)), 1e-9)
    pushed = ad.jvp(lambda b: ad.jvp(lambda b: solved(X0, A, b), (b,), (B,))[1], (B,), (X0 + 1,))
    expected = jvp(lambda b: jvp(lambda b: solver(X0, A, b), (b,), (B,))[1], (B,), (X0 + 1,))
    close(pushed, expected, 1e-9)


def test_nothing_flows_to_the_start():
    solved = ad.implicit(residual, newton)
    assert ad.grad(lambda x0: solved(x0, A, B).sum())(X0 + 0.1).tolist() == [0, 0, 0]


def test_structures_of_several_unknowns():
    def equation(x: Any, p: Any) -> Any:
        return {'u': x['u'] ** 2 + x['v'][0] - p['a'], 'v': (x['v'][0] - p['a'] * p['b'],)}

    def solver(_: Any, p: Any) -> Any:
        v = p['a'] * p['b']
        return {'u': torch.sqrt(p['a'] - v), 'v': (v,)}

    x0 = {'u': torch.ones(2, dtype=F64), 'v': (torch.ones(2, dtype=F64),)}
    p = {'a': torch.tensor([4.0, 9.0], dtype=F64), 'b': torch.tensor([0.5, 0.25], dtype=F64)}
    solved = ad.implicit(equation, solver)

    def loss(by: Any) -> Any:
        def scalar(p: Any) -> Any:
            x = by(x0, p)
            return (x['u'] * x['v'][0] ** 2).sum()

        return scalar

    close(ad.grad(loss(solved))(p), torch.func.grad(loss(solver))(p))
    # One of the two unknowns alone.
    close(
        ad.grad(lambda p: solved(x0, p)['v'][0].sum())(p),
        torch.func.grad(lambda p: solver(x0, p)['v'][0].sum())(p),
    )


def test_complex_unknowns_also_of_an_equation_that_is_not_holomorphic():
    z = torch.tensor([1 + 2j, 0.5 - 1j], dtype=C128)

    # x + conj(x) / 2 = z ** 2 has the solution (4 w - 2 conj(w)) / 3 of w = z ** 2.
    def solver(_: Any, z: Any) -> Any:
        return (4 * z**2 - 2 * torch.conj(z**2)) / 3

    solved = ad.implicit(lambda x, z: x + torch.conj(x) / 2 - z**2, solver)

    def loss(by: Any) -> Any:
        return lambda z: torch.real(by(torch.zeros_like(z), z) * (1 + 2j)).sum()

    close(ad.grad(loss(solved))(z), torch.func.grad(loss(solver))(z))


def test_many_unknowns_are_solved_without_a_matrix():
    n = 2000
    b = torch.linspace(-1, 1, n, dtype=F64)

    def equation(x: Any, b: Any) -> Any:
        left = torch.cat([torch.zeros(1, dtype=F64), x[:-1]])
        return 3 * x + torch.sin(left) - b

    def solver(x: Any, b: Any) -> Any:
        for _ in range(100):
            left = torch.cat([torch.zeros(1, dtype=F64), x[:-1]])
            x = (b - torch.sin(left)) / 3
        return x

    solved = ad.implicit(equation, solver)
    x0 = torch.zeros(n, dtype=F64)
    close(
        ad.grad(lambda b: (solved(x0, b) ** 2).sum())(b),
        torch.func.grad(lambda b: (solver(x0, b) ** 2).sum())(b),
    )


def test_a_solution_is_part_of_a_graph():
    a, b = ad.Variable('a'), ad.Variable('b')
    x = ad.implicit(residual, newton)(X0, a, b)
    (by_b,) = ad.gradients(ad.sum(x), [b])
    found = ad.Evaluator([x, by_b]).run({a: A, b: B})
    solution = newton(X0, A, B)
    close(found, [solution, A.mT @ (1 / (2 - torch.tanh(solution) ** 2))])


def test_a_solver_may_use_autograd_of_torch():
    def descend(x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        x = x.clone().requires_grad_()
        optimiser = torch.optim.LBFGS([x], max_iter=100, tolerance_grad=1e-14, tolerance_change=1e-16)

        def closure() -> torch.Tensor:
            optimiser.zero_grad()
            loss = (torch.cosh(x - b)).sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        return x

    solved = ad.implicit(lambda x, b: torch.cosh(x - b).sum(), descend, of='minimum')
    close(ad.jacobian(lambda b: solved(X0, b))(B), torch.eye(3, dtype=F64), 1e-9)


def test_no_unknowns_and_no_derivative_are_no_error():
    empty = torch.zeros(0, dtype=F64)
    solved = ad.implicit(lambda x, b: x - b, lambda x, b: b.clone())
    assert ad.grad(lambda b: solved(empty, b).sum())(empty).shape == (0,)
    fixed = ad.implicit(lambda x, b: x - 1.0, lambda x, b: torch.ones_like(x))
    assert ad.grad(lambda b: fixed(X0, b).sum())(B).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ('action', 'kind', 'message'),
    [
        (
            lambda: ad.implicit(residual, lambda x, a, b: x)(X0, A, B),
            ad.ConvergenceError,
            r'has not solved residual: its residual is 5.2e\+00, allowed 1.5e-08',
        ),
        (
            lambda: ad.implicit(residual, lambda x, a, b: x * float('nan'))(X0, A, B),
            ad.ConvergenceError,
            'its residual is nan',
        ),
        (
            lambda: ad.grad(lambda b: ad.implicit(lambda x, b: x**2 - b, lambda x, b: b.sqrt())(X0, b).sum())(
                torch.zeros(3, dtype=F64)
            ),
            ad.ConvergenceError,
            'singular at the solution',
        ),
        (lambda: ad.implicit(residual, newton, of='maximum'), ad.TensorTypeError, "got 'maximum'"),
        (lambda: ad.implicit(residual, 3), ad.TensorTypeError, '3 of type int'),
        (lambda: ad.implicit(lambda x: x.sum(), lambda x: x)(X0), ad.ShapeError, 'returns what x is'),
        (lambda: ad.implicit(lambda x: x, torch.sin, of='minimum')(X0), ad.ShapeError, 'return a scalar'),
        (lambda: ad.implicit(lambda x: x, lambda x: (x,))(X0), ad.TensorTypeError, 'in the structure of x0'),
        (lambda: ad.implicit(lambda x: x, lambda x: x[0])(X0), ad.ShapeError, 'return x as x0 is'),
        (
            lambda: ad.grad(lambda b: ad.implicit(lambda x: x - b, lambda x: x)(X0).sum())(B),
            ad.TensorTypeError,
            "closes over nodes, 'b'.*pass them as arguments",
        ),
    ],
)  # fmt: skip
def test_misuse_is_explained(action: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        action()
