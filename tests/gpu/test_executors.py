"""Executors, training and memory on a GPU."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch

if not torch.cuda.is_available():
    pytest.skip('needs a CUDA device', allow_module_level=True)

import adjoint as ad
from adjoint.execute.cudagraph import CudaGraphProgram
from adjoint.train.rules import SGD, AdamW
from benchmarks.peak import measured_peak
from benchmarks.workloads import ALL, Workload

EXECUTORS = ('plan', 'compiled', 'cudagraph', 'auto')
# Thousands of tiny ops: eager PyTorch takes minutes for one Jacobian.
WORKLOADS = [workload for workload in ALL if workload.name != 'W10']


def on_gpu(workload: Workload) -> tuple[list[torch.Tensor], list[ad.Node], dict[ad.Node, torch.Tensor]]:
    """What eager PyTorch gives, the nodes, and their values."""
    given = [x.cuda() for x in workload.make()]
    variables, nodes = workload.nodes(given)
    return workload.eager(*given), nodes, dict(zip(variables, given, strict=True))


def assert_close(found: list[torch.Tensor], wanted: list[torch.Tensor], tolerance: float = 1e-4) -> None:
    """Fail unless results are the same but for rounding, relative to the largest entry."""
    for a, b in zip(found, wanted, strict=True):
        assert a.device == b.device
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * float(b.abs().max()) + 1e-30)


@pytest.mark.parametrize('level', ['bitwise', 'fast'])
@pytest.mark.parametrize('executor', ['reference', 'plan', 'cudagraph'])
@pytest.mark.parametrize('workload', WORKLOADS, ids=lambda workload: workload.name)
def test_a_workload_gives_what_eager_pytorch_gives(workload: Workload, executor: str, level: Any) -> None:
    wanted, nodes, values = on_gpu(workload)
    evaluator = ad.Evaluator(nodes, executor=executor, optimize=level)
    for _ in range(3):
        assert_close(evaluator.run(values), wanted, workload.tolerance)
    if executor == 'cudagraph':
        assert evaluator.state(values).startswith('cudagraph of plan'), evaluator.state(values)
        assert 'not recorded' not in evaluator.state(values)


@pytest.mark.parametrize('name', ['W1', 'W3', 'W5', 'W11a'])
def test_a_workload_compiled_gives_what_eager_pytorch_gives(name: str) -> None:
    workload = next(w for w in WORKLOADS if w.name == name)
    wanted, nodes, values = on_gpu(workload)
    evaluator = ad.Evaluator(nodes, executor='compiled', optimize='fast')
    for _ in range(3):
        assert_close(evaluator.run(values), wanted, workload.tolerance)
    assert evaluator.state(values).startswith('compiled'), evaluator.state(values)


def test_auto_goes_over_to_compiled_code_where_it_is_faster() -> None:
    workload = next(w for w in WORKLOADS if w.name == 'W3')
    wanted, nodes, values = on_gpu(workload)
    evaluator = ad.Evaluator(nodes, executor='auto')
    assert_close(evaluator.run(values), wanted)
    assert_close(evaluator.run(values), wanted)
    programs = evaluator._programs_for(values)
    assert programs.program([values[node] for node in programs.task.fed]).wait(120)
    assert_close(evaluator.run(values), wanted)
    assert evaluator.state(values).startswith('compiled'), evaluator.state(values)


def test_recorded_graph_gives_what_the_plan_gives_and_changes_no_earlier_result() -> None:
    x = ad.Variable('x')
    y = ad.sum(ad.tanh(ad.sin(x) * x))
    nodes = [y, *ad.gradients(y, [x]), x]
    evaluator = ad.Evaluator(nodes, executor='cudagraph')
    plan = ad.Evaluator(nodes, executor='plan')
    earlier: list[tuple[list[torch.Tensor], list[torch.Tensor]]] = []
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        value = torch.randn(100, generator=generator).cuda()
        results = evaluator.run({x: value})
        earlier.append((results, [r.clone() for r in results]))
        torch.testing.assert_close(results, plan.run({x: value}), rtol=0, atol=0)
    assert all(torch.equal(a, b) for pair in earlier for a, b in zip(*pair, strict=True))
    assert evaluator.state({x: torch.zeros(100).cuda()}).startswith('cudagraph of plan')


def test_value_on_another_device_is_named() -> None:
    x, rate = ad.Variable('x'), ad.Variable('rate')
    evaluator = ad.Evaluator([x * rate], executor='cudagraph')
    values = {x: torch.ones(3).cuda(), rate: torch.tensor(2.0)}
    evaluator.run(values)
    with pytest.raises(ad.TensorTypeError, match="the value given for 'rate' is on cpu"):
        evaluator.run(values)


def test_what_cannot_be_recorded_runs_as_the_plan() -> None:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([torch.masked_select(x, x > 0) * 2], executor='cudagraph')
    value = torch.tensor([0.0, 1.0, 2.0]).cuda()
    for _ in range(3):
        assert evaluator.run({x: value})[0].tolist() == [2.0, 4.0]
    assert 'not recorded' in evaluator.state({x: value})


@pytest.mark.parametrize('executor', EXECUTORS)
def test_values_on_two_devices_are_named_with_the_way_out(executor: str) -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    evaluator = ad.Evaluator([x @ y], executor=executor)
    with pytest.raises(
        RuntimeError, match=r"they are on cpu and cuda:0: move what is given with value.to\('"
    ):
        evaluator.run({x: torch.ones(3, 3).cuda(), y: torch.ones(3, 3)})


def test_one_evaluator_serves_both_devices() -> None:
    x = ad.Variable('x')
    y = ad.sum(x * ad.exp(x))
    evaluator = ad.Evaluator([y, *ad.gradients(y, [x])])
    value = torch.linspace(-1, 1, 50, dtype=torch.float64)
    for _ in range(2):
        for given in (value, value.cuda()):
            for result in evaluator.run({x: given}):
                assert result.device == given.device
    torch.testing.assert_close(
        [r.cpu() for r in evaluator.run({x: value.cuda()})], evaluator.run({x: value}), rtol=1e-12, atol=1e-12
    )


def perceptron() -> tuple[ad.Node, dict[str, ad.Node], ad.Node, dict[str, torch.Tensor], torch.Tensor]:
    """A loss, its parameters and input, as nodes and as values on the GPU."""
    generator = torch.Generator().manual_seed(0)
    x, w, v = ad.Variable('x'), ad.Variable('w'), ad.Variable('v')
    loss = ad.mean((ad.tanh(x @ w) @ v - ad.sum(x, 1, keepdim=True)) ** 2)
    values = {
        'w': torch.randn(8, 32, generator=generator).mul_(0.3).cuda(),
        'v': torch.randn(32, 1, generator=generator).mul_(0.3).cuda(),
    }
    return loss, {'w': w, 'v': v}, x, values, torch.randn(64, 8, generator=generator).cuda()


def trained(
    executor: str, rule: Callable[[], Any], steps: int = 20
) -> tuple[list[float], list[torch.Tensor]]:
    """The losses of a training that writes over its parameters, and these."""
    loss, parameters, x, values, data = perceptron()
    descent = ad.train_step(loss, parameters, rule(), executor=executor).start(values)
    losses = [float(descent.descend({x: data}, rate=0.05)[0]) for _ in range(steps)]
    return losses, [values['w'], values['v']]


@pytest.mark.parametrize('rule', [SGD, AdamW])
@pytest.mark.parametrize('executor', EXECUTORS)
def test_training_is_that_of_the_reference(executor: str, rule: Callable[[], Any]) -> None:
    losses, parameters = trained(executor, rule)
    wanted, theirs = trained('reference', rule)
    assert losses == pytest.approx(wanted, rel=1e-4)
    assert_close(parameters, theirs)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize('executor', ['plan', 'cudagraph', 'compiled'])
def test_bfloat16_stays_within_its_rounding(executor: str) -> None:
    loss, parameters, x, values, data = perceptron()
    nodes = [loss, *ad.gradients(loss, list(parameters.values()))]
    exact = {x: data, **{parameters[name]: value for name, value in values.items()}}
    wanted = ad.Evaluator(nodes, executor='reference').run(exact)
    evaluator = ad.Evaluator(nodes, executor=executor)
    for _ in range(3):
        found = evaluator.run({node: value.bfloat16() for node, value in exact.items()})
        assert all(r.dtype == torch.bfloat16 for r in found)
        assert_close([r.float() for r in found], wanted, 0.05)


@pytest.mark.parametrize('name', ['W1', 'W2', 'W4', 'W6b', 'W7s', 'W8', 'W9b', 'W11c'])
def test_the_peak_of_a_workload_is_told(name: str) -> None:
    workload = next(w for w in WORKLOADS if w.name == name)
    _, nodes, values = on_gpu(workload)
    evaluator = ad.Evaluator(nodes)
    for _ in range(3):
        evaluator.run(values)
    gc.collect()
    told, measured = evaluator.memory(values).peak_bytes, measured_peak(lambda: evaluator.run(values), 'cuda')
    assert told == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ('shape', 'dim'),
    [
        ((1400, 128), 0), ((50, 28, 128), (0, 1)), ((4096, 1000), 0), ((100000, 7), 0), ((64, 300, 50), 1),
        ((300, 64, 50), (0, 2)), ((1 << 20,), 0), ((2048, 2048), 1), ((3, 5), 0), ((20000, 33), (0, 1)),
    ],
)  # fmt: skip
def test_what_a_sum_takes_inside_is_told(shape: tuple[int, ...], dim: Any, dtype: torch.dtype) -> None:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([ad.sum(x, dim)])
    value = torch.ones(shape, dtype=dtype, device='cuda')
    for _ in range(3):
        evaluator.run({x: value})
    measured = measured_peak(lambda: evaluator.run({x: value}), 'cuda')
    # How far the blocks of threads are is a number for each.
    assert abs(evaluator.memory({x: value}).peak_bytes - measured) <= 1024 + measured // 100


def test_a_memory_budget_is_kept() -> None:
    workload = next(w for w in WORKLOADS if w.name == 'W8')
    wanted, nodes, values = on_gpu(workload)
    free = ad.Evaluator(nodes).memory(values).peak_bytes
    evaluator = ad.Evaluator(nodes, memory_budget=int(0.85 * free))
    for _ in range(3):
        assert_close(evaluator.run(values), wanted)
    assert evaluator.memory(values).recomputed
    assert measured_peak(lambda: evaluator.run(values), 'cuda') <= 0.85 * free * 1.05


def test_a_program_is_recorded_once_for_each_signature() -> None:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([ad.sin(x) * x], executor='cudagraph')
    for size in (3, 5, 3, 5, 3, 5):
        value = torch.arange(float(size)).cuda()
        torch.testing.assert_close(evaluator.run({x: value}), [torch.sin(value) * value])
    programs = evaluator._programs_for({x: torch.zeros(3).cuda()})
    found = [programs.program([torch.zeros(size).cuda()]) for size in (3, 5)]
    assert all(isinstance(program, CudaGraphProgram) for program in found)
    assert found[0] is not found[1]
