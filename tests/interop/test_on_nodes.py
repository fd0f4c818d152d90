"""Functions of torch that have no op of their own, called on nodes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import adjoint as ad


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


FUNCTIONS: list[tuple[Callable[..., Any], tuple[torch.Tensor, ...]]] = [
    (lambda x, w: torch.conv2d(x, w, padding=1), (drawn(1, 2, 4, 4), drawn(3, 2, 3, 3, seed=1))),
    (lambda x: F.pad(x, (1, 2), mode='reflect'), (drawn(1, 2, 5),)),
    (lambda x: F.cross_entropy(x, torch.tensor([0, 2]), label_smoothing=0.1), (drawn(2, 3),)),
    (lambda x: F.gelu(x, approximate='tanh'), (drawn(2, 3),)),
    (lambda a, b: torch.einsum('bi,bj->ij', a, b), (drawn(4, 2), drawn(4, 3, seed=1))),
    (lambda x: torch.linalg.norm(x) * torch.linalg.det(x), (drawn(3, 3),)),
    (lambda x: x.unfold(0, 2, 1) ** 2, (drawn(4),)),
    (lambda q, k: F.scaled_dot_product_attention(q, k, k), (drawn(1, 3, 2), drawn(1, 4, 2, seed=1))),
    (lambda x: torch.fft.fft(x).real ** 2, (drawn(4),)),
    (lambda x: torch.movedim(x, 0, -1) ** 2, (drawn(),)),
    (lambda x: x.mT @ x.T.sort(dim=0).values.mT.sigmoid(), (drawn(3, 3),)),
]


@pytest.mark.parametrize(('function', 'values'), FUNCTIONS)
def test_the_gradient_and_the_tangent_are_those_of_torch(
    function: Callable[..., Any], values: tuple[torch.Tensor, ...]
) -> None:
    def scalar(*operands: Any) -> Any:
        return (torch.cos(function(*operands)) ** 2).sum()

    leaves = [v.clone().requires_grad_() for v in values]
    wanted = torch.autograd.grad(scalar(*leaves), leaves)
    found = ad.grad(scalar, argnums=tuple(range(len(values))))(*values)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-13)


def test_sizes_by_name_stay_names() -> None:
    x = ad.Variable('x', ('batch', 4), torch.float64)
    y = F.pad(x, (1, 1))
    assert str(y.type).startswith('float64[batch, 6]')
    value = drawn(3, 4)
    torch.testing.assert_close(ad.Evaluator([y]).run({x: value})[0], F.pad(value, (1, 1)))


def test_nodes_carry_the_line_of_the_call() -> None:
    x = ad.Variable('x', (4,), torch.float64)
    y = torch.special.multigammaln(x, 2)
    assert {n.location.file for n in ad.topological_sort(y)} == {__file__}
    assert 'multigammaln' in y.location.text


def test_attributes_of_tensors_are_attributes() -> None:
    z = ad.Variable('z', (2, 3), torch.complex128)
    value = torch.complex(drawn(2, 3), drawn(2, 3, seed=1))
    found = ad.Evaluator([z.real, z.imag, z.H]).run({z: value})
    for ours, theirs in zip(found, [value.real, value.imag, value.H], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ('function', 'reason'),
    [
        (F.dropout, 'draws random numbers'),
        (lambda x: x.add_(1), 'writes to its operands'),
        (lambda x: x.numpy(), 'cannot be captured'),
        (lambda x: torch.conv1d(x + ad.Variable('q'), torch.ones(1, 1, 1)), 'the type of .* is not known'),
    ],
)
def test_what_cannot_be_imported_is_refused_with_the_line(
    function: Callable[[ad.Node], Any], reason: str
) -> None:
    x = ad.Variable('x', (2, 1, 4), torch.float64)
    with pytest.raises(ad.UnsupportedOpError, match=rf'(?s)called on a node.*{reason}.*test_on_nodes.py'):
        function(x)


def test_a_multiple_of_a_truth_value_added_to_one_is_one() -> None:
    a, b = ad.Variable('a', (2,), torch.bool), ad.Variable('b', (2,), torch.bool)
    values = {a: torch.tensor([True, False]), b: torch.tensor([False, True])}
    for alpha in (2, 0):
        (found,) = ad.Evaluator([torch.add(a, b, alpha=alpha)]).run(values)
        wanted = torch.add(values[a], values[b], alpha=alpha)
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)


@pytest.mark.parametrize('function', [torch.add, torch.sub])
def test_a_multiple_is_added_in_the_dtype_of_both(function: Callable[..., Any]) -> None:
    def combined(x: Any, y: Any) -> Any:
        return function(x, y, alpha=0.3)

    whole, double, single = torch.tensor([3]), drawn(1), drawn(1, seed=1).float()
    for a, b in ((double, single), (double, whole), (single, double), (single, whole)):
        x, y = ad.Variable('x', (1,), a.dtype), ad.Variable('y', (1,), b.dtype)
        wanted = combined(a, b)
        for found in (*ad.Evaluator([combined(x, y)]).run({x: a, y: b}), ad.from_torch(combined, a, b)(a, b)):
            torch.testing.assert_close(found, wanted, rtol=4 * torch.finfo(wanted.dtype).eps, atol=0)


@pytest.mark.parametrize('function', [torch.max, torch.min])
def test_the_extreme_truth_values_along_an_axis_are_those_of_torch(function: Callable[..., Any]) -> None:
    value = torch.tensor([[False, True, False], [True, False, True]])
    x = ad.Variable('x')
    evaluator = ad.Evaluator(list(function(x, 0)))
    for _ in range(2):  # the second run is that of the plan
        for found, wanted in zip(evaluator.run({x: value}), function(value, 0), strict=True):
            assert torch.equal(found, wanted)


def test_an_unknown_attribute_is_none() -> None:
    x = ad.Variable('x', (2,))
    assert not hasattr(x, 'colour')
    with pytest.raises(ad.NoSuchAttribute, match="no attribute 'colour'"):
        _ = x.colour
