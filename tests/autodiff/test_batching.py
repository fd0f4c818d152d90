"""Batches of graphs: what is batched, what is left alone, and what a batch of a map is."""

import copy
import pickle
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint import Node
from adjoint.autodiff.batching.bodies import batched_body
from adjoint.ops.body import Body
from adjoint.ops.ordering import whole_median
from adjoint.ops.random import dropout_mask


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def run(node: Node | None, values: dict[Node, torch.Tensor]) -> torch.Tensor:
    assert node is not None
    return ad.Evaluator([node]).run(values)[0]


def test_what_depends_on_no_batch_is_left_alone():
    x, w, xs = ad.Variable('x', (2,)), ad.Variable('w', (2,)), ad.Variable('xs', (3, 2))
    shared = ad.exp(w)
    y = x * shared
    ys, none = ad.batched([y, shared], {x: xs})
    assert none is None
    assert ys is not None
    assert ys.inputs == [xs, shared]


def test_an_inner_node_can_have_a_batch():
    x, hs = ad.Variable('x', (2,)), ad.Variable('hs', (3, 2))
    h = ad.exp(x)
    assert str(ad.batched(ad.sin(h), {h: hs})) == 'sin(hs)'


def test_nodes_of_a_batch_carry_the_line_of_the_example():
    x, xs = ad.Variable('x', (2,)), ad.Variable('xs', (3, 2))
    y = ad.sin(x)
    ys = ad.batched(y, {x: xs})
    assert ys is not None
    assert ys.location.line == y.location.line


@pytest.mark.parametrize('shape', [None, ('n', 2), (None, 2), (3, 2)])
def test_types_may_be_known_or_not(shape: Any):
    x = ad.Variable('x', None if shape is None else shape[1:])
    xs = ad.Variable('xs', shape)
    y = ad.sum(ad.softmax(x, 0) * ad.reshape(x, (2,)))
    value = draw(3, 2)
    wanted = (torch.softmax(value, 1) * value).sum(1)
    torch.testing.assert_close(run(ad.batched(y, {x: xs}), {xs: value}), wanted)


def test_a_chain_of_any_length():
    x, xs = ad.Variable('x', ()), ad.Variable('xs', (2,))
    y = x
    for _ in range(100_000):
        y = ad.neg(y)
    ys = ad.batched(y, {x: xs})
    assert run(ys, {xs: torch.tensor([1.0, 2.0])}).tolist() == [1.0, 2.0]


# -- maps -------------------------------------------------------------------------------------------


class Rotate(ad.Op):
    """An op of a user's, with nothing but what the contract asks for."""

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        x, angle = input_values
        assert x.ndim == 1  # of one example only
        return torch.stack([x[0] * angle.cos() - x[1] * angle.sin(), x[0] * angle.sin() + x[1] * angle.cos()])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        x, angle = node.inputs
        turned = rotate(x, angle + torch.pi / 2)
        return [rotate(output_grad, -angle), ad.sum(output_grad * turned)]


rotate = Rotate()


@pytest.mark.filterwarnings('ignore:.torch.jit.script')
def test_an_op_without_a_rule_is_applied_to_each_example():
    x, angle = ad.Variable('x', (2,), torch.float64), ad.Variable('angle', (), torch.float64)
    xs = ad.Variable('xs', (3, 2), torch.float64)
    ys = ad.batched(rotate(x, angle), {x: xs})
    assert str(ys) == 'map(rotate)(xs, angle)'
    values = {xs: draw(3, 2), angle: torch.tensor(0.5, dtype=torch.float64)}

    def reference(xs: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        c, s = angle.cos(), angle.sin()
        return xs @ torch.stack([torch.stack([c, s]), torch.stack([-s, c])])

    assert ys is not None
    torch.testing.assert_close(run(ys, values), reference(*values.values()))
    # Both modes and the second order, with what is the same for all examples among the operands.
    total = (ys**2 * ad.sin(ys)).sum()
    grads = ad.gradients(total, [xs, angle])
    seconds = ad.gradients(grads[0].sum() + grads[1] ** 2, [xs, angle])

    def scalar(xs: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        y = reference(xs, angle)
        return (y**2 * y.sin()).sum()

    def of_gradient(xs: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        by_x, by_angle = torch.func.grad(scalar, (0, 1))(xs, angle)
        return by_x.sum() + by_angle**2

    given = tuple(values.values())
    wanted = [*torch.func.grad(scalar, (0, 1))(*given), *torch.func.grad(of_gradient, (0, 1))(*given)]
    torch.testing.assert_close(ad.Evaluator([*grads, *seconds]).run(values), wanted)
    pushed = ad.pushforward(ys, {angle: ad.ones_like(angle)})
    ahead = torch.stack([torch.func.jacfwd(reference, 1)(*given)])[0]
    torch.testing.assert_close(run(pushed, values), ahead)


def test_a_map_of_a_map():
    x, xs, xss = (ad.Variable('x', s, torch.float64) for s in [(5,), (2, 5), (3, 2, 5)])
    inner = ad.batched(whole_median(x), {x: xs})
    assert inner is not None
    outer = ad.batched(inner, {xs: xss})
    value = draw(3, 2, 5)
    torch.testing.assert_close(run(outer, {xss: value}), value.median(-1).values)


def test_an_op_of_several_outputs_is_mapped_and_batched():
    x, xs = ad.Variable('x', (3, 3), torch.float64), ad.Variable('xs', (2, 3, 3), torch.float64)
    u, s, vh = ad.registry()['svd'](x)
    ys = ad.batched(ad.matmul(u * s, vh), {x: xs})
    torch.testing.assert_close(run(ys, {xs: draw(2, 3, 3)}), draw(2, 3, 3))


def test_a_map_is_copied_and_pickled():
    x, xs = ad.Variable('x', (3,)), ad.Variable('xs', (2, 3))
    ys = ad.batched(whole_median(x), {x: xs})
    for same in (copy.deepcopy([xs, ys]), pickle.loads(pickle.dumps([xs, ys]))):
        assert run(same[1], {same[0]: torch.eye(3)[:2]}).tolist() == [0.0, 0.0]


def test_batches_of_a_map_have_one_size():
    x, y, xs, ys = (ad.Variable(n) for n in ('x', 'y', 'xs', 'ys'))
    found = ad.batched(rotate(x, y), {x: xs, y: ys})
    with pytest.raises(ad.ShapeError, match=r'different sizes, \[2, 3\]'):
        run(found, {xs: draw(3, 2), ys: draw(2)})


# -- bodies -----------------------------------------------------------------------------------------


def test_a_body_on_a_batch():
    x, w, xs = (ad.Variable('x', s, torch.float64) for s in [(2,), (2,), (3, 2)])
    body, reached = batched_body(Body([x, w], [x * w, w + 1, x]), [xs, None], wanted=[1])
    assert reached == (0, 1, 2)
    product, shared, same = body.run([draw(3, 2), draw(2, seed=1)])
    torch.testing.assert_close(product, draw(3, 2) * draw(2, seed=1))
    torch.testing.assert_close(shared, (draw(2, seed=1) + 1).expand(3, 2))
    torch.testing.assert_close(same, draw(3, 2))


def test_what_bodies_draw_is_drawn_as_it_is_said():
    def f(x: Any) -> Any:
        y, _ = ad.scan(lambda y, x: (y + x * dropout_mask(x, seed=1), x), ad.zeros_like(x[0]), x)
        return y

    x = torch.ones(2, 3, 9)
    first, second = ad.vmap(f, randomness='same')(x)
    assert first.tolist() == second.tolist()
    assert 0.0 in first
    with pytest.raises(ad.UnsupportedOpError, match='draws random values'):
        ad.vmap(f)(x)


def test_what_a_map_draws_is_not_drawn_for_each():
    class Noisy(ad.Op):
        def compute(self, node: Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            (y,) = node.attrs['body'].run(input_values)
            return y

    x, xs = ad.Variable('x', (2,)), ad.Variable('xs', (3, 2))
    body = Body([x], [x * dropout_mask(x)])
    held = Node([x], Noisy(), {'body': body})
    with pytest.raises(ad.UnsupportedOpError, match='cannot be drawn for each'):
        ad.batched(held, {x: xs}, randomness='different')


def test_control_flow_on_a_batch():
    def f(x: Any) -> Any:
        return ad.cond(x.sum() > 0, ad.sin, ad.exp, x)

    value = draw(4, 3)
    wanted = torch.where(value.sum(1, keepdim=True) > 0, value.sin(), value.exp())
    torch.testing.assert_close(ad.vmap(f)(value), wanted)


# -- Jacobians --------------------------------------------------------------------------------------


def test_the_size_of_a_jacobian_graph_does_not_grow_with_what_it_is_of():
    def nodes(n: int) -> int:
        x = ad.Variable('x', (n,), torch.float64)
        (found,) = ad.jacobians(ad.softmax(x * ad.sin(x), 0), [x], mode='reverse')
        return len(ad.topological_sort([found]))

    assert nodes(3) == nodes(300)
