"""The battery itself: right rules pass, and each kind of mistake is found, named and explained."""

from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.verify.check import check_gradients, check_op, sample

A = torch.tensor([[0.3, 0.7, -0.4], [1.2, -2.1, 0.8]], dtype=torch.float64)
B = torch.tensor([0.4, 1.5, -0.6], dtype=torch.float64)
Z = torch.complex(A, A.flip(0) + 0.5)


class Weighted(ad.Op):
    """a * b * b, with a rule that a test may spoil."""

    def __init__(self, spoil: Any = None, forward: Any = None) -> None:
        self.spoil = spoil or (lambda a, b: (a, b))
        self.forward = forward

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return a * b * b

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        a, b = node.inputs
        by_a = output_grad * ad.conj(b) * ad.conj(b)
        by_b = output_grad * 2 * ad.conj(a) * ad.conj(b)
        return list(self.spoil(ad.sum_to_like(by_a, a), ad.sum_to_like(by_b, b)))

    def jvp(self, node: ad.Node, input_tangents: Any) -> ad.Node | None:
        if self.forward is not None:
            return self.forward(node, input_tangents)
        return super().jvp(node, input_tangents)


def test_a_right_rule_passes_every_claim() -> None:
    samples = [sample(A, B), sample(A, A), sample(A[:, :1], B), sample(A[0, 0], B), sample(A[:0], B)]
    report = check_op(Weighted(), *samples, sample(Z, Z[0]), reference=lambda a, b: a * b * b)
    assert report.ok, str(report)
    claims = {f.claim for f in report.findings}
    assert claims == {
        'value', 'type', 'structure', 'jvp', 'gradient', 'gradient, again', 'second order',
    }  # fmt: skip
    report.raise_if_failed()


@pytest.mark.parametrize(
    ('spoil', 'claim', 'hint'),
    [
        (lambda a, b: (-a, b), 'gradient, again', 'the sign is flipped'),
        (lambda a, b: (a * 2, b), 'gradient, again', 'twice as large'),
        (lambda a, b: (a, b * 0.5), 'gradient, again', 'half as large'),
        (lambda a, b: (a, b * (1 + 1e-7)), 'gradient, again', '1.0000001 times'),
        (lambda a, b: (a, None), 'gradient, again', 'a cotangent was dropped'),
        (lambda a, b: (b, a), 'gradient, again', ''),
    ],
    ids=['sign', 'double', 'half', 'tiny factor', 'dropped', 'swapped'],
)
def test_a_wrong_gradient_is_found_and_its_pattern_named(spoil: Any, claim: str, hint: str) -> None:
    report = check_op(Weighted(spoil), sample(A, A + 3))
    assert not report.ok
    failure = next(f for f in report.failures if f.claim == claim)
    assert hint in failure.hint
    with pytest.raises(ad.RuleError, match='gradient, again: FAILS at sample 0'):
        report.raise_if_failed()


def test_a_report_shows_claim_input_entry_expected_and_got() -> None:
    text = str(check_op(Weighted(lambda a, b: (a, -b)), sample(A, A + 3), order=1))
    assert 'test_check.py' in text
    assert 'gradient, again: FAILS at sample 0 (float64[2, 3], float64[2, 3]), untyped, ' in text
    assert 'cotangent of input 1' in text
    assert 'entry     [' in text
    assert 'expected  ' in text
    assert 'got       ' in text
    assert 'hint      the sign is flipped' in text
    assert max(len(line) for line in text.splitlines()) < 130


def test_a_missing_conjugate_is_found() -> None:
    class NoConj(ad.Unary):
        kernel = torch.square

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            return [output_grad * 2 * node.inputs[0]]

    assert check_op(NoConj(), sample(A)).ok
    report = check_op(NoConj(), sample(Z))
    assert {f.claim for f in report.failures} >= {'jvp', 'gradient, again'}


def test_a_cotangent_that_is_not_summed_is_found() -> None:
    class NoSum(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0] + input_values[1]

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            return [output_grad, output_grad]

    same = check_op(NoSum(), sample(A, A))
    assert same.ok, str(same)
    report = check_op(NoSum(), sample(A, B))
    assert not report.ok
    assert 'sum_to_like(g, x)' in str(report)


def test_a_wrong_pushforward_is_found() -> None:
    def doubled(node: ad.Node, tangents: Any) -> ad.Node | None:
        t = ad.Op.jvp(node.op, node, tangents)
        return None if t is None else t * 2

    failed = {f.claim for f in check_op(Weighted(forward=doubled), sample(A, B)).failures}
    assert {'jvp', 'gradient'} <= failed


def test_a_flow_in_one_mode_only_is_found() -> None:
    report = check_op(Weighted(forward=lambda node, tangents: None), sample(A, B))
    assert 'structure' in {f.claim for f in report.failures}


def test_a_wrong_value_partial_and_type_are_found() -> None:
    class Wrong(ad.Unary):
        formula = 'sin(x)'
        kernel = torch.sin

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return ad.cos(x) + 1e-9

        def infer(self, node: ad.Node, input_types: Any) -> Any:
            return ad.TensorType((7,), torch.float64)

    failed = {f.claim for f in check_op(Wrong(), sample(A), order=1).failures}
    assert {'partials', 'type'} <= failed
    off = check_op(ad.sin, sample(A), reference=lambda x: torch.sin(x) + 1e-10)
    assert {f.claim for f in off.failures} == {'value'}


def test_a_wrong_second_order_is_found() -> None:
    class Frozen(ad.Unary):
        """Its rule is right and cannot be differentiated again."""

        kernel = torch.exp

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return ad.detach(y)

    report = check_op(Frozen(), sample(A))
    assert {f.claim for f in report.failures} == {'second order'}
    assert check_op(Frozen(), sample(A), order=1).ok


def test_conventions_are_exact() -> None:
    at_zero = sample(torch.zeros(2, dtype=torch.float64))
    zero, half = torch.zeros(2), torch.full((2,), 0.5)
    assert check_op(ad.relu, conventions=[(at_zero, [zero])]).ok
    report = check_op(ad.relu, conventions=[(at_zero, [half])])
    assert [f.claim for f in report.failures] == ['conventions'] * 2


def test_refusals_are_checked() -> None:
    assert check_op(ad.matmul, refusals=[(sample(A, A), ad.ShapeError, 'cannot work')]).ok
    for wrong in (
        (sample(A, A.T), ad.ShapeError, 'cannot work'),
        (sample(A, A), ad.ShapeError, 'something else'),
        (sample(A, A), KeyError, 'cannot work'),
    ):
        report = check_op(ad.matmul, refusals=[wrong])
        assert [f.claim for f in report.failures] == ['refusal']


def test_a_kink_is_recognised() -> None:
    report = check_op(ad.relu, sample(torch.zeros(2, dtype=torch.float64)), order=1)
    assert any('a kink or pole is near' in f.hint for f in report.failures)
    assert check_op(ad.relu, sample(torch.zeros(2, dtype=torch.float64), smooth=False)).ok


def test_a_rule_that_raises_is_a_finding() -> None:
    class Raises(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0] * 2

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            raise ValueError('not this way')

    report = check_op(Raises(), sample(A))
    assert {f.claim for f in report.failures} == {'runs'}
    assert 'ValueError: not this way' in str(report)


def test_nothing_checked_is_not_ok() -> None:
    report = check_op(ad.sin)
    assert not report.ok
    assert 'nothing was checked' in str(report)


def test_an_op_that_computes_outside_of_torch_is_checked_by_differences() -> None:
    class OnHost(ad.Op):
        factor = 2.0

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return torch.from_numpy(input_values[0].detach().numpy() ** 2)

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            return [output_grad * node.inputs[0] * self.factor]

    assert check_op(OnHost(), sample(A), order=1).ok
    wrong = OnHost()
    wrong.factor = 2.1
    assert {f.claim for f in check_op(wrong, sample(A), order=1).failures} == {'jvp'}


def test_a_graph_is_checked_at_the_values_of_its_variables() -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    y = ad.sum(ad.tanh(x @ w))
    values = {x: A, w: A.T.contiguous()}
    assert check_gradients(y, values).ok
    assert check_gradients(y, values, [w]).ok
    spoiled = ad.sum(Weighted(lambda a, b: (a, -b))(x, x))
    report = check_gradients(spoiled, {x: A})
    assert 'gradient, again' in {f.claim for f in report.failures}


def test_a_function_is_checked_at_its_arguments() -> None:
    report = check_gradients(lambda p, x: torch.tanh(x @ p['w']).sum() * p['b'], [{'w': B, 'b': B[0]}, A])
    assert report.ok, str(report)


@pytest.mark.parametrize('dtype', [torch.float32, torch.complex64], ids=str)
def test_coarser_dtypes_are_checked_with_wider_tolerances(dtype: torch.dtype) -> None:
    x = ad.Variable('x', dtype=dtype)
    value = (Z if dtype.is_complex else A).to(dtype)
    assert check_gradients(ad.sum(ad.sin(x) * x), {x: value}).ok
    wrong = ad.sum(Weighted(lambda a, b: (a, b * 1.01))(x, x))
    assert not check_gradients(wrong, {x: value}).ok


def test_mixed_up_arguments_are_explained() -> None:
    x = ad.Variable('x')
    with pytest.raises(ad.TensorTypeError, match=r'check_gradients\(y, \{x: tensor\}\)'):
        check_gradients(x, [A])
    with pytest.raises(ad.TensorTypeError, match=r'check_gradients\(f, \[x, y\]\)'):
        check_gradients(torch.sum, {x: A})
