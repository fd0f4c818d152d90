"""The memory that is told before a run is what the run takes, and the costs are what formulas say."""

from collections.abc import Sequence

import pytest
import torch

import adjoint as ad
from adjoint.execute.cost import Cost, Rates
from adjoint.execute.memory import in_words
from adjoint.ops.attention import attention
from benchmarks.peak import measured_peak
from benchmarks.workloads import ALL, Workload

FLOAT = torch.float32


def told_and_measured(nodes: list[ad.Node], values: dict[ad.Node, torch.Tensor]) -> tuple[int, int]:
    """The peak that is told, and the one of a run that is not the first."""
    evaluator = ad.Evaluator(nodes, executor='plan')
    told = evaluator.memory(values).peak_bytes
    for _ in range(2):
        evaluator.run(values)
    return told, measured_peak(lambda: evaluator.run(values))


@pytest.mark.parametrize('workload', ALL, ids=lambda workload: workload.name)
def test_the_peak_of_a_workload_is_told_within_two_percent(workload: Workload) -> None:
    given = workload.make()
    variables, nodes = workload.nodes(given)
    told, measured = told_and_measured(nodes, dict(zip(variables, given, strict=True)))
    assert told == pytest.approx(measured, rel=0.02)


def test_what_is_alive_adds_up_to_the_peak_and_is_named_by_its_line() -> None:
    x = ad.Variable('x', (1000,), FLOAT)
    kept = ad.exp(x)
    large = ad.cat([x] * 8)
    memory = ad.Evaluator([kept * ad.sum(ad.logsumexp(large, 0))]).memory()
    assert [(str(a.node), a.bytes, a.is_workspace) for a in memory.alive_at_peak[:2]] == [
        (str(large), 32000, False),
        (memory.alive_at_peak[1].node.name, 32000, True),
    ]
    assert (
        sum(a.bytes for a in memory.alive_at_peak)
        == memory.peak_bytes
        == max(step.peak_bytes for step in memory.steps)
    )
    assert memory.alive_at_peak[0].line == large.location.short
    assert 'test_memory.py' in str(memory)


def test_results_and_given_values_are_told_apart() -> None:
    x = ad.Variable('x', (100,), torch.float64)
    memory = ad.Evaluator([ad.sin(x), x]).memory()
    assert (memory.given_bytes, memory.result_bytes, memory.peak_bytes) == (800, 800, 800)


def test_arithmetic_is_that_of_the_formulas() -> None:
    a, b = ad.Variable('a', (30, 50), FLOAT), ad.Variable('b', (50, 20), FLOAT)
    y = ad.relu(a @ b)
    by_node = {str(step.node): step.cost for step in ad.Evaluator([ad.sum(y)]).memory().steps}
    assert by_node['matmul(a, b)'] == Cost(2 * 30 * 50 * 20, 4 * (30 * 50 + 50 * 20 + 30 * 20), 1)
    assert by_node['relu(matmul)'].flops == 30 * 20
    assert by_node['sum(relu)'] == Cost(600, 4 * 601, 1)


def test_arithmetic_of_a_convolution_and_its_derivatives() -> None:
    x, w = ad.Variable('x', (2, 3, 10, 10), FLOAT), ad.Variable('w', (4, 3, 3, 3), FLOAT)
    y = torch.nn.functional.conv2d(x, w)
    forward = 2 * 2 * 4 * 8 * 8 * 3 * 3 * 3
    assert ad.Evaluator([y]).memory().flops == forward
    grads = ad.gradients(ad.sum(y * y), [x, w])
    steps = ad.Evaluator(grads).memory().steps
    assert (
        sum(step.cost.flops for step in steps if step.node.op.name.startswith('convolution')) == 3 * forward
    )


@pytest.mark.parametrize('length', [64, 500, 1024])
@pytest.mark.parametrize('is_causal', [False, True])
def test_attention_and_its_derivative_keep_no_scores(length: int, is_causal: bool) -> None:
    given = torch.randn(4, 1, 3, length, 16, generator=torch.Generator().manual_seed(0))
    q, k, v, ct = (ad.Variable(name, tuple(given.shape[1:]), FLOAT) for name in ('q', 'k', 'v', 'ct'))
    y = ad.Node([q, k, v], attention, {'is_causal': is_causal, 'scale': None, 'enable_gqa': False})
    nodes = [y, *ad.gradients([y], [q, k, v], cotangents=[ct])]
    told, measured = told_and_measured(nodes, dict(zip((q, k, v, ct), given, strict=True)))
    assert told == pytest.approx(measured, rel=0.02)
    assert measured < 4 * 3 * length * length or length < 500
    forward = 2 * 2 * 3 * length * length * 16
    assert ad.Evaluator([y]).memory().flops == forward
    # Products: for the three gradients, for the weights again, and for their cotangents.
    assert ad.Evaluator(nodes).memory().flops == forward + 5 * forward // 2


def test_views_cost_nothing() -> None:
    x = ad.Variable('x', (30, 50), FLOAT)
    memory = ad.Evaluator([ad.transpose(x, 0, 1)[:3]]).memory()
    assert (memory.peak_bytes, memory.flops, memory.bytes) == (0, 0, 0)


def test_a_roofline_is_the_longer_of_the_two() -> None:
    rates = Rates(flops=100.0, bytes=10.0, call=0.5)
    assert rates.seconds(Cost(flops=200, bytes=5, calls=1)) == pytest.approx(2.5)
    assert rates.seconds(Cost(flops=200, bytes=50, calls=2)) == pytest.approx(6)


def test_time_is_shared_out_over_lines() -> None:
    a = ad.Variable('a', (300, 300), FLOAT)
    product = a @ a
    y = ad.sum(product)
    shares = ad.Evaluator([y]).memory().by_line()
    assert list(shares) == [product.location.short, y.location.short]
    assert sum(share for _, share in shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    'given',
    [
        ((4, 3), torch.float64),
        ad.TensorType((4, 3), torch.float64),
        torch.zeros(4, 3, dtype=torch.float64),
    ],
    ids=['pair', 'type', 'tensor'],
)
def test_a_variable_is_told_by_a_pair_a_type_or_a_tensor(given: object) -> None:
    x = ad.Variable('x')
    assert ad.Evaluator([ad.sin(x)]).memory({x: given}).peak_bytes == 96


def test_a_shape_alone_completes_a_declared_dtype() -> None:
    x = ad.Variable('x', dtype=torch.float64)
    assert ad.Evaluator([ad.sin(x)]).memory({x: (4, 3)}).peak_bytes == 96


def test_sizes_by_name_are_given_numbers() -> None:
    x = ad.Variable('x', ('n', 3), FLOAT)
    y = ad.Variable('y', ('n',), FLOAT)
    evaluator = ad.Evaluator([ad.sin(x) * ad.sum(y)])
    assert evaluator.memory(sizes={'n': 5}).result_bytes == 60
    assert evaluator.memory({x: (7, 3), y: (7,)}).result_bytes == 84
    with pytest.raises(ad.ShapeError, match="'n' is 7"):
        evaluator.memory({x: (7, 3), y: (8,)})


def test_a_size_that_no_variable_of_the_run_names_is_given_a_number_too() -> None:
    graph = ad.from_torch(
        lambda x, w: w.exp().expand(x.shape[0], 3).sin(),
        torch.ones(4, 3), torch.ones(3), dynamic_shapes=({0: 'n'}, None),
    )  # fmt: skip
    x, w = graph.variables
    evaluator = ad.Evaluator([graph.outputs])
    assert x not in ad.topological_sort(graph.outputs)
    assert evaluator.memory(sizes={'n': 5}).result_bytes == 60
    assert evaluator.memory({x: (7, 3)}).given_bytes == evaluator.memory(sizes={'n': 7}).given_bytes + 84
    assert evaluator.run({x: torch.ones(2, 3), w: torch.zeros(3)})[0].shape == (2, 3)
    with pytest.raises(ad.MissingInputError, match="no value says what the size 'n' is"):
        evaluator.memory()


def test_an_inner_node_can_be_given() -> None:
    x = ad.Variable('x')
    y = ad.exp(x)
    memory = ad.Evaluator([ad.sin(y)]).memory({y: ((10,), FLOAT)})
    assert [str(step.node) for step in memory.steps] == ['sin(exp(x))']


def test_a_variable_of_which_nothing_is_known_is_refused_with_the_way_out() -> None:
    x = ad.Variable('x')
    with pytest.raises(
        ad.TensorTypeError, match=r"depends on the shape and dtype of 'x', and it has no type"
    ):
        ad.Evaluator([ad.sin(x)]).memory()
    with pytest.raises(ad.TensorTypeError, match='should be a shape'):
        ad.Evaluator([ad.sin(x)]).memory({x: torch.float32})


def test_a_size_that_depends_on_values_is_refused_at_its_line() -> None:
    x = ad.Variable('x', (10,), FLOAT)
    with pytest.raises(ad.UnsupportedOpError, match=r'depends on values(.|\n)*test_memory\.py'):
        ad.Evaluator([torch.nonzero(x)]).memory()


def test_an_op_that_asks_for_data_is_counted_by_its_type() -> None:
    class Asks(ad.Op):
        def infer(self, node: ad.Node, input_types: Sequence[ad.TensorType]) -> ad.TensorType:
            return input_types[0]

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            (a,) = input_values
            return a * float(a.sum())

    x = ad.Variable('x', (10,), FLOAT)
    y = Asks()(x)
    memory = ad.Evaluator([y]).memory()
    assert memory.peak_bytes == 40
    assert [str(node) for node in memory.assumed] == [str(y)]
    assert 'by the types alone' in str(memory)


def test_nothing_is_computed() -> None:
    class Counts(ad.Op):
        seen = 0

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            (a,) = input_values
            Counts.seen += type(a) is torch.Tensor and a.device.type != 'meta'
            return a + 1

    x = ad.Variable('x', (10,), FLOAT)
    ad.Evaluator([Counts()(x)]).memory()
    assert Counts.seen == 0


def test_bytes_in_words() -> None:
    assert [in_words(n) for n in (0, 1023, 1536, 2**31)] == ['0 B', '1023 B', '1.50 KiB', '2.00 GiB']


@pytest.mark.parametrize('steps', [40, 200, 333])
def test_the_memory_of_a_long_loop_is_told_from_short_ones(steps: int) -> None:
    w = ad.Variable('w', (16, 16), FLOAT)
    start, xs = ad.Variable('start', (8, 16), FLOAT), ad.Variable('xs', (steps, 8, 16), FLOAT)
    last, every = ad.scan(lambda h, x: (ad.tanh(h @ w + x),) * 2, start, xs)
    loss = ad.sum(last * last) + ad.sum(every)
    nodes = [loss, *ad.gradients(loss, [w, xs])]
    values = {x: torch.zeros(x.shape) for x in (w, start, xs)}
    told, measured = told_and_measured(nodes, values)
    assert told == pytest.approx(measured, rel=0.05)
    forwards = next(s for s in ad.Evaluator(nodes).memory().steps if s.node.op.name == 'scan')
    assert forwards.cost.flops == steps * (2 * 8 * 16 * 16 + 2 * 8 * 16)
