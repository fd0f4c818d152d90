"""The reference evaluator: inputs, their checks, inner values, memory, failures."""

import weakref

import numpy as np
import pytest
import torch

import adjoint as ad


def test_values_come_in_the_order_of_the_nodes_for_any_shapes_and_dtypes() -> None:
    x, y = ad.Variable('x'), ad.Variable(name='y')
    evaluator = ad.Evaluator(eval_nodes=[x * y, x + y, x, x])
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64):
        for shape in ((), (3,), (2, 3), (0, 3)):
            a, b = torch.ones(shape, dtype=dtype), torch.full(shape, 2, dtype=dtype)
            product, total, same, again = evaluator.run({x: a, y: b})
            assert torch.equal(product, a * b)
            assert torch.equal(total, a + b)
            assert same is again is a
            assert product.dtype == dtype


def test_every_missing_input_is_named_with_its_line() -> None:
    x, y, z = ad.Variable('x'), ad.Variable('y', shape=(2, 'n')), ad.Variable('z')
    with pytest.raises(ad.MissingInputError, match='2 variables have no value') as caught:
        ad.Evaluator([x * y + z]).run({z: torch.ones(())})
    message = str(caught.value)
    assert "'x'\n" in message
    assert "'y': any[2, n]" in message
    assert message.count('test_evaluator.py') == 2
    with pytest.raises(ValueError, match='no value'):
        ad.Evaluator([x]).run({})


def test_keys_that_are_not_needed_are_ignored() -> None:
    x, unused = ad.Variable('x'), ad.Variable('unused', shape=(3,))
    (value,) = ad.Evaluator([x + 1]).run({x: torch.ones(()), unused: torch.ones(7)})
    assert value == 2


def test_a_value_for_an_inner_node_cuts_the_graph_there() -> None:
    x = ad.Variable('x')
    inner = ad.log(x)
    y = inner * 2
    evaluator = ad.Evaluator([y])
    assert evaluator.run({inner: torch.tensor(5.0)})[0] == 10
    assert evaluator.run({x: torch.tensor(1.0)})[0] == 0
    assert ad.Evaluator([inner]).run({inner: torch.tensor(3.0)})[0] == 3


def test_arrays_and_numbers_are_converted_and_lists_are_refused() -> None:
    x = ad.Variable('x')
    typed = ad.Variable('t', shape=(), dtype=torch.float64)
    run = ad.Evaluator([x * 2]).run
    assert run({x: np.array([1.0, 2.0])})[0].dtype == torch.float64
    assert run({x: 3})[0] == 6
    assert ad.Evaluator([typed]).run({typed: 3})[0].dtype == torch.float64
    for given in ([1.0, 2.0], (1.0,)):
        with pytest.raises(ad.TensorTypeError, match=r"given for 'x' is a (list|tuple).*torch.tensor\("):
            run({x: given})
    with pytest.raises(ad.TensorTypeError, match='is a str, and must be a torch tensor'):
        run({x: 'a'})


@pytest.mark.parametrize(
    ('value', 'kind', 'message'),
    [
        (torch.ones(3, 4), ad.ShapeError, r'float32\[3, 4\] and its type float32\[2, n\]: axis 0 has size 3'),
        (torch.ones(2), ad.ShapeError, 'it has 1 axes instead of 2'),
        (torch.ones(2, 3).double(), ad.TensorTypeError, r'convert it with value.to\(torch.float32\)'),
    ],
)
def test_a_value_that_does_not_fit_its_variable(value: torch.Tensor, kind: type, message: str) -> None:
    x = ad.Variable('x', shape=(2, 'n'), dtype=torch.float32)
    with pytest.raises(kind, match=message) as caught:
        ad.Evaluator([x]).run({x: value})
    assert 'test_evaluator.py' in str(caught.value)


def test_a_named_size_is_one_size_over_all_inputs() -> None:
    x, y = ad.Variable('x', shape=('n', 3)), ad.Variable('y', shape=('n',))
    evaluator = ad.Evaluator([ad.sum(x, 1) * y])
    for n in (1, 4):
        assert evaluator.run({x: torch.ones(n, 3), y: torch.ones(n)})[0].shape == (n,)
    with pytest.raises(ad.ShapeError, match="axis 0 has size 5, and 'n' is 4 in 'x'"):
        evaluator.run({x: torch.ones(4, 3), y: torch.ones(5)})


def test_a_device_that_was_declared_is_checked() -> None:
    x = ad.Variable('x', device='meta')
    with pytest.raises(ad.TensorTypeError, match=r"move it with value.to\('meta'\)"):
        ad.Evaluator([x]).run({x: torch.ones(2)})


def test_a_kernel_that_fails_keeps_its_type_and_tells_where() -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    product = ad.sin(x) @ y
    with pytest.raises(RuntimeError, match='cannot be multiplied') as caught:
        ad.Evaluator([ad.sum(product)]).run({x: torch.ones(2, 3), y: torch.ones(2, 3)})
    (note,) = caught.value.__notes__
    assert "while computing node 'matmul(sin, y)', op matmul" in note
    assert 'input 0: float32[2, 3]    sin(x)' in note
    assert 'product = ad.sin(x) @ y' in note


@pytest.mark.parametrize(
    ('action', 'message'),
    [
        (lambda x: ad.Evaluator(x), r'write Evaluator\(\[y\]\)'),
        (lambda x: ad.Evaluator(['x']), "got 'x' of type str"),
        (lambda x: ad.Evaluator([x]).run({'x': 1.0}), r'keys are nodes: write run\(\{x: tensor\}\)'),
        (lambda x: ad.Evaluator([x]).run([1.0]), 'takes a dictionary'),
    ],
)
def test_misuse_is_explained(action: object, message: str) -> None:
    with pytest.raises(ad.TensorTypeError, match=message):
        action(ad.Variable('x'))


def test_the_placeholder_neither_computes_nor_differentiates() -> None:
    x = ad.Variable('x')
    with pytest.raises(RuntimeError, match='has no value of its own'):
        x.op.compute(x, [])
    with pytest.raises(RuntimeError, match='no inputs'):
        x.op.gradient(x, ad.ones_like(x))


def test_nothing_is_recorded_for_torch_autograd_and_inputs_are_left_alone() -> None:
    x = ad.Variable('x')
    value = torch.ones(3, requires_grad=True)
    (y,) = ad.Evaluator([ad.exp(x) * x]).run({x: value})
    assert not y.requires_grad
    assert value.grad is None
    assert torch.equal(value, torch.ones(3))


def test_values_are_freed_after_their_last_use() -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    peak = 0

    class Watch(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            nonlocal peak
            value = input_values[0] + 1
            alive.append(weakref.ref(value))
            peak = max(peak, sum(r() is not None for r in alive))
            return value

    watch = Watch()
    x = ad.Variable('x')
    y = x
    for _ in range(20):
        y = watch(y)
    assert ad.Evaluator([y]).run({x: torch.zeros(2)})[0].tolist() == [20, 20]
    assert peak <= 3


@pytest.mark.parametrize('executor', ['reference', 'plan', 'compiled'])
def test_results_that_are_apart_stay_apart_after_rewrites(executor: str) -> None:
    x = ad.Variable('x')
    apart = [
        ad.sin(x), ad.sin(x), x * 1.0, (x * 1.0)[0], ad.where(x > 0, x, x), ad.flip(ad.flip(x, 0), 0),
        ad.cumsum(x, 0), ad.cumsum(x, 0), ad.cat([x, x]).T, ad.cat([x, x]).T,
    ]  # fmt: skip
    evaluator = ad.Evaluator([*apart, apart[0], x], executor=executor)
    value = torch.zeros(2, 3)
    for _ in range(3):
        found = evaluator.run({x: value})
        for i, result in enumerate(found[: len(apart)], 1):
            result.fill_(i)
        assert [y.unique().tolist() for y in found] == [*[[i] for i in range(1, len(apart) + 1)], [1], [0]]
        assert found[-1] is value


def test_a_view_that_was_one_before_rewrites_is_not_copied() -> None:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([ad.transpose(x, 0, 1), x[0], ad.reshape(x * 1.0, 3, 2)])
    program = evaluator.program({x: torch.zeros(2, 3)})
    assert program.count('clone') == 1


@pytest.mark.parametrize('executor', ['reference', 'plan', 'compiled'])
def test_operands_on_two_devices_are_named_with_the_way_out(executor: str) -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    evaluator = ad.Evaluator([ad.sin(x) * 2 + y], executor=executor)
    with pytest.raises(RuntimeError) as caught:
        evaluator.run({x: torch.ones(3), y: torch.ones(3, device='meta')})
    (note,) = caught.value.__notes__
    assert note.startswith("while computing node 'add(mul, y)'")
    assert "they are on cpu and meta: move what is given with value.to('meta')" in note
    assert '+ y]' in note
