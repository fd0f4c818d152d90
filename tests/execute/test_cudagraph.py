"""The executor for a GPU: what can be told without one, and what it gives where there is one."""

import pytest
import torch

import adjoint as ad

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
def test_without_a_gpu_it_says_so() -> None:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([x * 2], executor='cudagraph')
    evaluator.run({x: torch.ones(2)})  # the reference's: seen once
    with pytest.raises(ad.TensorTypeError, match=r"^no CUDA device: executor='cudagraph' runs on a GPU only"):
        evaluator.run({x: torch.ones(2)})


@needs_a_gpu
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


@needs_a_gpu
def test_value_on_another_device_is_named() -> None:
    x, rate = ad.Variable('x'), ad.Variable('rate')
    evaluator = ad.Evaluator([x * rate], executor='cudagraph')
    values = {x: torch.ones(3).cuda(), rate: torch.tensor(2.0)}
    evaluator.run(values)
    with pytest.raises(ad.TensorTypeError, match="the value given for 'rate' is on cpu"):
        evaluator.run(values)


@needs_a_gpu
def test_what_cannot_be_recorded_runs_as_the_plan() -> None:
    x = ad.Variable('x')
    evaluator = ad.Evaluator([ad.nonzero(x) * 2], executor='cudagraph')
    value = torch.tensor([0.0, 1.0, 2.0]).cuda()
    for _ in range(3):
        assert evaluator.run({x: value})[0].tolist() == [[2], [4]]
    assert 'not recorded' in evaluator.state({x: value})
