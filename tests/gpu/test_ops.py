"""Every op with its gradients on a GPU: the values of the processor, and the same bits in every executor."""

import pytest
import torch

if not torch.cuda.is_available():
    pytest.skip('needs a CUDA device', allow_module_level=True)

import warnings
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import adjoint as ad
from adjoint.core.rebuild import rebuilt
from adjoint.execute.cudagraph import CudaGraph
from tests.execute.agreement import POISONED, same
from tests.execute.test_battery_by_node import graph_of, runs
from tests.ops.case import Case
from tests.ops.cases import CASES

# Each device draws its own numbers.
DRAWN = [name for name in CASES if name.startswith(('drawn_', 'rrelu_noise', 'dropout_mask'))]
# A vector of these is right with any sign, or phase.
DIRECTIONS = ('eigh/vectors', 'svd/vectors', 'qr/directions', 'eig/vectors')
# Here the kernels of torch for a GPU compute in single precision what they give in double.
SINGLE = {'hardswish': 1e-6, 'logspace': 1e-6}

# What adds to a place in any order, as kernels of torch for a GPU do, without saying so.
UNORDERED = {'interpolate', 'interpolate_backward', 'grid_sampler', 'grid_sampler/orders'}

# Relative to the largest entry: what the kernels of two devices may differ by.
TOLERANCES = {
    torch.float64: 1e-9, torch.complex128: 1e-9, torch.float32: 2e-4, torch.complex64: 2e-4,
    torch.float16: 2e-2, torch.bfloat16: 1e-1,
}  # fmt: skip

Feed = dict[ad.Node, torch.Tensor]


@contextmanager
def repeatable() -> Generator[None]:
    """Have kernels add in the same order each time, where they can, so that bits can be compared."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(False)


def graphs(case: Case) -> Iterator[tuple[list[ad.Node], Feed, Feed]]:
    """The samples of an op with their gradients; their values on the processor and on the GPU."""
    for given in [*case.samples, *(sample for sample, _ in case.conventions)]:
        nodes, values = graph_of(case, given)
        if runs(nodes, values):
            yield nodes, values, {node: value.cuda() for node, value in values.items()}


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 0.0) -> bool:
    """Whether a result of the GPU is that of the processor but for rounding."""
    b = b.cpu()
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    a = a.cpu()
    if a.dtype not in TOLERANCES:
        return torch.equal(a, b)
    wide = torch.complex128 if b.is_complex() else torch.float64
    tolerance, a, b = max(TOLERANCES[a.dtype], tolerance), a.to(wide), b.to(wide)
    finite = b[b.isfinite()].abs()
    largest = float(finite.max()) if finite.numel() else 1.0
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance * max(largest, 1.0), equal_nan=True)


def placed(nodes: list[ad.Node], values: Feed) -> tuple[list[ad.Node], AbstractContextManager[Any]]:
    """Return a graph that runs on a GPU, and where: what a sample makes of no input is made there too."""
    held = [x for x in ad.topological_sort(nodes) if isinstance(x.attrs.get('constant'), torch.Tensor)]
    there = {
        x: ad.constant(x.attrs['constant'].cuda())
        for x in held
        if x.attrs['constant'].ndim and x not in values
    }
    nodes = rebuilt(nodes, there) if there else nodes
    try:
        ad.Evaluator(nodes, executor='reference').run(values)
    except (RuntimeError, ad.AdjointError) as error:
        if 'same device' not in str(error) and 'on cpu' not in str(error):
            raise
        return nodes, torch.device('cuda')
    return nodes, nullcontext()


@pytest.mark.parametrize('name', [name for name in CASES if name not in {*DRAWN, *DIRECTIONS}])
def test_an_op_and_its_gradients_have_the_values_of_the_processor(name: str) -> None:
    for nodes, values, on_gpu in graphs(CASES[name]):
        wanted = ad.Evaluator(nodes, executor='reference').run(values)
        there, place = placed(nodes, on_gpu)
        with place:
            results = ad.Evaluator(there, executor='reference').run(on_gpu)
        for node, found, theirs in zip(nodes, results, wanted, strict=True):
            assert close(found, theirs, SINGLE.get(name, 0.0)), f'{node}: {found} instead of {theirs}'


@pytest.mark.parametrize('name', [name for name in CASES if name != 'drawn_permutation'])
def test_every_executor_gives_the_bits_of_the_reference(name: str) -> None:
    for given, _, values in graphs(CASES[name]):
        nodes, place = placed(given, values)
        before = {node: value.clone() for node, value in values.items()}
        executors = {'reference': 'reference', 'plan': POISONED, 'cudagraph': CudaGraph(POISONED)}
        evaluators = {key: ad.Evaluator(nodes, executor=each) for key, each in executors.items()}
        with repeatable(), place:
            try:
                runs = {key: [each.run(values) for _ in range(3)] for key, each in evaluators.items()}
            except IndexError:
                # Torch's way to add in the same order does not know tensors without axes.
                torch.use_deterministic_algorithms(False)
                runs = {key: [each.run(values) for _ in range(3)] for key, each in evaluators.items()}
        first, *others = runs['reference']
        is_repeated = all(same(a, b) for other in others for a, b in zip(other, first, strict=True))
        agrees = same if is_repeated and name not in UNORDERED else close
        for key, results in runs.items():
            for run in results:
                for node, found, theirs in zip(nodes, run, first, strict=True):
                    assert agrees(found, theirs), f'{key}, {node}: {found}, not {theirs}'
        assert all(same(value, before[node]) for node, value in values.items())
