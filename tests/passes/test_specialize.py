from collections.abc import Sequence

import pytest
import torch

import adjoint as ad
from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.core.tensor_type import TensorType
from adjoint.passes.pipeline import optimize
from adjoint.passes.specialize import specialized

CPU = torch.device('cpu')


def of(*shape: int, dtype: torch.dtype = torch.float64) -> TensorType:
    return TensorType(shape, dtype, CPU)


def likes(nodes: Sequence[Node]) -> list[str]:
    """The ops that fit one tensor to another."""
    return [
        n.op.name for n in ad.topological_sort(nodes) if 'like' in n.op.name or n.op.name.startswith('un')
    ]


def test_gradient_of_an_untyped_graph_becomes_that_of_a_typed_one():
    x, w, b = (ad.Variable(n) for n in 'xwb')
    loss = ad.mean(ad.softmax(ad.relu(x @ w + b)) ** 2, (0, 1))
    nodes = [loss, *ad.gradients(loss, [w, b])]
    types = {x: of(5, 3), w: of(3, 4), b: of(4)}
    assert likes(nodes)
    known = specialized(nodes, types)
    made = optimize(known.nodes, 'bitwise', final=True)
    assert all(n.type is not None and n.type.is_static for n in ad.topological_sort(made))
    assert not likes(made)
    feed = {v: torch.randn(t.shape, dtype=t.dtype) for v, t in types.items()}
    want = ad.Evaluator(nodes).run(feed)
    got = ad.Evaluator(made).run({known.variables[v]: value for v, value in feed.items()})
    assert all(torch.equal(a, b) for a, b in zip(want, got, strict=True))


def test_sizes_by_name_become_numbers():
    x = ad.Variable('x', ('n', 3), torch.float64)
    known = specialized([ad.sin(x)], {x: of(7, 3)})
    assert known.nodes[0].type == of(7, 3)


def test_a_name_with_two_sizes_is_an_error():
    x, y = ad.Variable('x', ('n',)), ad.Variable('y', ('n',))
    with pytest.raises(ShapeError, match=r"'n' is 3 elsewhere, and 4 in 'y'"):
        specialized([x, y], {x: of(3), y: of(4)})


def test_operands_that_do_not_fit_show_the_line():
    x, y = ad.Variable('x'), ad.Variable('y')
    z = x @ y
    with pytest.raises(ShapeError, match=r'matmul cannot work.*\n.*\n.*\n.*test_specialize.py"'):
        specialized([z], {x: of(3, 4), y: of(3, 4)})


def test_inner_node_may_be_given():
    x = ad.Variable('x')
    h = ad.sin(x)
    y = ad.exp(h)
    known = specialized([y], {h: of(2)})
    (value,) = ad.Evaluator(known.nodes).run({known.variables[h]: torch.zeros(2, dtype=torch.float64)})
    assert value.tolist() == [1, 1]


def test_graph_whose_types_are_known_stays():
    x = ad.Variable('x', (3,), torch.float64, CPU)
    y = ad.sin(x)
    assert specialized([y], {x: of(3)}) == ([y], {x: x})


def test_names_and_lines_are_kept():
    x = ad.Variable('x')
    y = ad.Node([x], ad.sin, name='wave')
    (made,) = specialized([y], {x: of(3)}).nodes
    assert (made.name, made.location) == ('wave', y.location)


def test_imported_program_with_named_sizes():
    class Halves(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(x.shape[0] * 2, -1) * x.shape[0]

    batch = torch.export.Dim('batch', min=2)
    graph = ad.from_torch(Halves(), torch.ones(4, 6), dynamic_shapes=({0: batch},))
    (x,) = graph.variables
    known = specialized(graph.nodes(), {x: of(5, 6, dtype=torch.float32)})
    assert known.nodes[0].type == of(10, 3, dtype=torch.float32)
