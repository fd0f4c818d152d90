"""Every op with its gradients on a GPU: the values of the processor, and the same bits in every executor."""

import pytest
import torch

if not torch.cuda.is_available():
    pytest.skip('needs a CUDA device', allow_module_level=True)

from collections.abc import Iterator
from contextlib import nullcontext

import adjoint as ad
from adjoint.execute.cudagraph import CudaGraph
from adjoint.verify.samples import Sample
from tests.execute.agreement import POISONED, same
from tests.execute.test_battery_by_node import graph_of, runs
from tests.ops.case import Case
from tests.ops.cases import CASES

# Each device draws its own numbers.
DRAWN = [name for name in CASES if name.startswith(('drawn_', 'rrelu_noise', 'dropout_mask'))]
# A vector of these is right with any sign, or phase.
DIRECTIONS = ('eigh/vectors', 'svd/vectors', 'qr/directions', 'eig/vectors')

# Relative to the largest entry: what the kernels of two devices may differ by.
TOLERANCES = {
    torch.float64: 1e-9, torch.complex128: 1e-9, torch.float32: 2e-4, torch.complex64: 2e-4,
    torch.float16: 2e-2, torch.bfloat16: 1e-1,
}  # fmt: skip

Feed = dict[ad.Node, torch.Tensor]


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    """Have kernels add in the same order each time, so that bits can be compared."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before)


def graphs(case: Case) -> Iterator[tuple[list[ad.Node], Feed, Feed]]:
    """The samples of an op with their gradients; their values on the processor and on the GPU."""
    for given in [*case.samples, *(sample for sample, _ in case.conventions)]:
        yield from moved(case, given)


def moved(case: Case, given: Sample) -> Iterator[tuple[list[ad.Node], Feed, Feed]]:
    """One of them."""
    nodes, values = graph_of(case, given)
    if runs(nodes, values):
        yield nodes, values, {node: value.cuda() for node, value in values.items()}


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether a result of the GPU is that of the processor but for rounding."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    a = a.cpu()
    if a.dtype not in TOLERANCES:
        return torch.equal(a, b)
    wide = torch.complex128 if b.is_complex() else torch.float64
    tolerance, a, b = TOLERANCES[a.dtype], a.to(wide), b.to(wide)
    finite = b[b.isfinite()].abs()
    largest = float(finite.max()) if finite.numel() else 1.0
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance * max(largest, 1.0), equal_nan=True)


def reference(nodes: list[ad.Node], values: Feed) -> list[torch.Tensor]:
    """What the reference gives on a GPU; what a sample makes of no input is made there too."""
    try:
        return ad.Evaluator(nodes, executor='reference').run(values)
    except (RuntimeError, ad.AdjointError) as error:
        if 'same device' not in str(error) and 'on cpu' not in str(error):
            raise
    with torch.device('cuda'):
        return ad.Evaluator(nodes, executor='reference').run(values)


@pytest.mark.parametrize('name', [name for name in CASES if name not in {*DRAWN, *DIRECTIONS}])
def test_an_op_and_its_gradients_have_the_values_of_the_processor(name: str) -> None:
    for nodes, values, on_gpu in graphs(CASES[name]):
        wanted = ad.Evaluator(nodes, executor='reference').run(values)
        for node, found, theirs in zip(nodes, reference(nodes, on_gpu), wanted, strict=True):
            assert close(found, theirs), f'{node}: {found} instead of {theirs}'


@pytest.mark.parametrize('name', CASES)
def test_every_executor_gives_the_bits_of_the_reference(name: str) -> None:
    for nodes, _, values in graphs(CASES[name]):
        try:
            place = nullcontext()
            wanted = ad.Evaluator(nodes, executor='reference').run(values)
        except (RuntimeError, ad.AdjointError):
            place = torch.device('cuda')
            with place:
                wanted = ad.Evaluator(nodes, executor='reference').run(values)
        before = {node: value.clone() for node, value in values.items()}
        for executor in (POISONED, CudaGraph(POISONED)):
            evaluator = ad.Evaluator(nodes, executor=executor)
            with place:
                results = [evaluator.run(values) for _ in range(3)]
            for run in results:
                for node, found, theirs in zip(nodes, run, wanted, strict=True):
                    assert same(found, theirs), f'{evaluator.state(values)}, {node}: {found}, not {theirs}'
        assert all(same(value, before[node]) for node, value in values.items())
