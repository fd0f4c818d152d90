"""Jacobians, Hessians and known cotangents at graph level."""

from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.ops.basis import basis
from tests.torch_func import hessian, jvp, vjp

X = torch.tensor([[0.3, -1.2, 0.7], [2.0, 0.1, -0.4]], dtype=torch.float64)
W = torch.tensor([0.5, -0.25, 1.5], dtype=torch.float64)


def variables() -> tuple[ad.Node, ad.Node]:
    return ad.Variable('x', (2, 3), torch.float64), ad.Variable('w', (3,), torch.float64)


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('mode', ['forward', 'reverse', None])
def test_jacobians_by_variables_and_by_an_inner_node(mode: Any):
    x, w = variables()
    h = ad.tanh(x * w)
    y = h @ ad.exp(w)
    found = ad.Evaluator(ad.jacobians(y, [x, w, h], mode=mode)).run({x: X, w: W})
    by_x, by_w = torch.func.jacrev(lambda x, w: torch.tanh(x * w) @ torch.exp(w), (0, 1))(X, W)
    by_h = torch.func.jacrev(lambda h: h @ torch.exp(W))(torch.tanh(X * W))
    close(found, [by_x, by_w, by_h])


def test_hessians_have_blocks():
    x, w = variables()
    y = ad.sum(ad.tanh(x * w) ** 2)
    blocks = ad.hessians(y, [x, w])
    found = ad.Evaluator([b for row in blocks for b in row]).run({x: X, w: W})
    expected = hessian(lambda x, w: (torch.tanh(x * w) ** 2).sum(), (0, 1))(X, W)
    close(found, [b for row in expected for b in row])


def test_hessian_products_by_tangents_that_are_nodes_tensors_or_nothing():
    x, w = variables()
    t = ad.Variable('t', (2, 3), torch.float64)
    y = ad.sum(ad.tanh(x * w) ** 2)
    T = X.flip(0)

    def gradient(x: torch.Tensor, w: torch.Tensor) -> Any:
        return torch.func.grad(lambda x, w: (torch.tanh(x * w) ** 2).sum(), (0, 1))(x, w)

    fixed = ad.Evaluator(ad.hessian_products(y, [x, w], [t, None])).run({x: X, w: W, t: T})
    close(fixed, list(jvp(gradient, (X, W), (T, torch.zeros_like(W)))[1]))
    both = ad.Evaluator(ad.hessian_products(y, [x, w], [T, W])).run({x: X, w: W})
    close(both, list(jvp(gradient, (X, W), (T, W))[1]))


def test_what_is_not_connected_has_zeros_of_both_shapes():
    x, w = variables()
    for mode in ('forward', 'reverse'):
        (found,) = ad.Evaluator(ad.jacobians(ad.sin(x), [w], mode=mode)).run({x: X, w: W})
        close(found, torch.zeros(2, 3, 3, dtype=torch.float64))


@pytest.mark.parametrize('size', [0, 1, 3])
def test_jacobians_of_and_by_scalars_and_empty_tensors(size: int):
    x = ad.Variable('x', (size,), torch.float64)
    s = ad.Variable('s', (), torch.float64)
    nodes = [
        *ad.jacobians(ad.sum(x * x), [x], mode='reverse'),
        *ad.jacobians(ad.sin(s) * x, [s], mode='forward'),
        *ad.jacobians(ad.sin(s), [s]),
    ]
    at, p = torch.arange(size, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    close(ad.Evaluator(nodes).run({x: at, s: p}), [2 * at, torch.cos(p) * at, torch.cos(p)])


def test_gradients_with_known_cotangents_are_pullbacks():
    x, w = variables()
    h, z = ad.tanh(x * w), ad.exp(w)
    ct = ad.Variable('ct', (2, 3), torch.float64)
    found = ad.Evaluator(ad.gradients([h, z], [x, w], cotangents=[ct, W])).run({x: X, w: W, ct: X.flip(1)})
    _, pullback = vjp(lambda x, w: (torch.tanh(x * w), torch.exp(w)), X, W)
    close(found, list(pullback((X.flip(1), W))))
    one = ad.Evaluator(ad.gradients(h, [x], cotangents=X)).run({x: X, w: W})
    close(one, [pullback((X, torch.zeros_like(W)))[0]])
    only = ad.gradients([h, z], [x], cotangents=[None, 2.0 * W], unconnected='none')
    assert only == [None]


def test_several_outputs_are_added():
    x, _ = variables()
    found = ad.Evaluator(ad.gradients([ad.sin(x), x, x], [x])).run({x: X})
    close(found, [torch.cos(X) + 2])


@pytest.mark.parametrize(
    ('action', 'kind', 'message'),
    [
        (lambda x, w: ad.gradients(x, [x], cotangents=w), ad.ShapeError, r"'x' is float64\[3\].*same shape"),
        (lambda x, w: ad.gradients(x, [x], cotangents=X.float()), ad.TensorTypeError, r'.to\(torch.float64'),
        (lambda x, w: ad.gradients([x, w], [x], cotangents=X), ad.TensorTypeError, 'there are 2 outputs'),
        (lambda x, w: ad.gradients([x, w], [x], cotangents=[X]), ad.TensorTypeError, 'one for each output'),
        (lambda x, w: ad.gradients(x, [x], cotangents='a'), ad.TensorTypeError, 'must be a tensor or a node'),
        (lambda x, w: ad.jacobians(x, x), ad.TensorTypeError, r'write jacobians\(y, \[x\]\)'),
        (lambda x, w: ad.jacobians(x > 0, [x]), ad.NonDifferentiableError, 'is bool'),
        (lambda x, w: ad.hessian_products(w, [w], []), ad.TensorTypeError, '1 nodes and 0 tangents'),
    ],
)  # fmt: skip
def test_misuse_is_explained(action: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        action(*variables())


@pytest.mark.parametrize('mode', ['forward', 'reverse'])
def test_the_graph_of_a_jacobian_does_not_grow_with_the_sizes(mode: Any):
    def count(n: int) -> int:
        x = ad.Variable('x', (n,), torch.float64)
        return len(ad.topological_sort(ad.jacobians(ad.tanh(ad.cumsum(x * x, 0)), [x], mode=mode)))

    assert count(2) == count(300) < 30


def test_jacobians_need_no_sizes():
    x, w = ad.Variable('x'), ad.Variable('w')
    for mode in ('forward', 'reverse'):
        (found,) = ad.Evaluator(ad.jacobians(ad.tanh(x * w), [w], mode=mode)).run({x: X, w: W})
        close(found, torch.func.jacrev(lambda w: torch.tanh(X * w))(W))


@pytest.mark.parametrize('of', ['rows', 'columns'])
def test_the_hessian_of_a_linear_model_is_products_of_matrices(of: str):
    n, d = 5, 3
    data, w = ad.Variable('data', (n, d), torch.float64), ad.Variable('w', (d,), torch.float64)
    (((H,),)) = ad.hessians(ad.sum(ad.sin(data @ w if of == 'rows' else w @ data.T)), [w])
    at = torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    close(ad.Evaluator([H]).run({data: at, w: W}), [hessian(lambda w: torch.sin(at @ w).sum())(W)])
    products = [node for node in ad.topological_sort([H]) if node.op is ad.matmul]
    # Of data and w, and of all rows of one product with data: no batch of products, no identity matrix.
    assert sorted(len(y.shape) for y in products) == [1, 2]
    assert not any(node.op is basis for node in ad.topological_sort([H]))


@pytest.mark.parametrize('mode', ['forward', 'reverse'])
@pytest.mark.parametrize('executor', ['reference', 'plan'])
@pytest.mark.parametrize('level', ['none', 'bitwise', 'fast'])
def test_the_jacobian_of_a_linear_map_is_its_matrix_in_memory_of_its_own(
    mode: Any, executor: Any, level: Any
):
    matrix, x = ad.Variable('matrix', (2, 3), torch.float64), ad.Variable('x', (3,), torch.float64)
    y = ad.Variable('y', (2,), torch.float64)
    blocks = [*ad.jacobians(matrix @ x, [x], mode=mode), *ad.jacobians(y @ matrix, [y], mode=mode)]
    evaluator = ad.Evaluator(blocks, executor=executor, optimize=level)
    # A product with unit vectors would make nan of the infinite entry's row, and 0.0 of the -0.0.
    at = torch.tensor([[1.0, float('inf'), -0.0], [2.0, 3.0, 4.0]], dtype=torch.float64)
    for _ in range(2):
        by_x, by_y = evaluator.run({matrix: at, x: W, y: W[:2]})
        assert torch.equal(by_x, at)
        assert torch.equal(by_y, at.T)
        assert by_x.signbit()[0, 2]
        by_x.zero_()
        by_y.zero_()
        assert float(at.sum()) == float('inf')
