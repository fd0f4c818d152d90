"""`check_op`: right rules pass every claim; kinks, conventions and refusals; how it is called."""

import pytest
import torch

import adjoint as ad
from adjoint.verify.check import check_op, sample
from tests.verify.rules import A, B, Weighted, Z, failed

# ------------------------------------------------------------------------------- right rules


def test_right_rule_passes_every_claim() -> None:
    samples = [(A, B), (A, A), (A[:, :1], B), (A[0, 0], B), (A[:0], B), (A.T, A.T)]
    report = check_op(Weighted(), *samples, (Z, Z[0]), reference=lambda a, b: a * b * b)
    assert report.ok, str(report)
    assert not report.of('unreliable'), str(report)
    first_order = {'value', 'type', 'structure', 'jvp', 'gradient', 'gradient, again'}
    second = {f'{claim} of order 2' for claim in first_order - {'value'}}
    assert {f.claim for f in report.of('holds')} == first_order | second | {'agreement'}
    report.raise_if_failed()


def test_every_kind_of_variable_is_tried() -> None:
    report = check_op(ad.sin, A)
    assert {f.variables for f in report.findings} == {'untyped', 'typed', 'named'}


def test_formula_is_the_witness_of_value_and_partials() -> None:
    report = check_op(ad.hypot, (A, B))
    assert {'value', 'partials'} <= {f.claim for f in report.of('holds')}


def test_number_operand_is_part_of_the_formula() -> None:
    report = check_op(lambda x: ad.pow(x, 3), A.abs())
    assert {'value', 'partials'} <= {f.claim for f in report.of('holds')}
    assert report.ok


def test_list_of_tensors_and_keywords_are_arguments() -> None:
    report = check_op(ad.cat, sample([A, B[None]], dim=0), reference=torch.cat)
    assert report.ok, str(report)
    assert 'sample 0 ([float64[2, 3], float64[1, 3]], dim=0)' in {f.where for f in report.findings}


def test_float32_is_checked_in_double_precision_and_in_its_own() -> None:
    report = check_op(ad.tanh, A.to(torch.float32))
    assert report.ok, str(report)
    places = {f.claim: f.where for f in report.findings if f.variables == 'untyped'}
    assert places['jvp'].endswith('in double precision')
    assert not places['precision'].endswith('in double precision')
    assert next(f.tolerance for f in report.findings if f.claim == 'jvp') == 1e-8


def test_order_3_is_checked_too() -> None:
    report = check_op(ad.sigmoid, B, order=3)
    assert report.ok, str(report)
    assert 'jvp of order 3' in {f.claim for f in report.of('holds')}


def test_only_the_inputs_that_are_asked_for_are_differentiated() -> None:
    blind = Weighted(lambda a, b: (a, b * 7))
    assert check_op(blind, (A, B), differentiate=[0], order=1).ok
    assert not check_op(blind, (A, B), differentiate=[1], order=1).ok


def test_integer_operand_is_not_differentiated() -> None:
    index = torch.tensor([2, 0, 0])
    report = check_op(ad.index_select, (A, 1, index), reference=torch.index_select)
    assert report.ok, str(report)


def test_integers_from_integers_have_nothing_to_check_but_value_and_type() -> None:
    report = check_op(ad.neg, torch.tensor([1, 2, 3]))
    assert report.ok, str(report)
    assert {'value', 'type'} <= {f.claim for f in report.of('holds')}


def test_builder_that_needs_sizes_is_checked_with_typed_variables() -> None:
    report = check_op(lambda x: x.reshape(x.shape[0] * x.shape[1]) * 2, A)
    assert report.ok, str(report)
    skipped = [f for f in report.of('skipped') if f.claim == 'build']
    assert {f.variables for f in skipped} == {'untyped', 'named'}
    assert any('not known before the run' in f.got for f in skipped)


# ------------------------------------------------------------- kinks, conventions and refusals


def test_kink_is_recognised_and_left_open() -> None:
    report = check_op(ad.relu, torch.tensor([1.0, 0.0], dtype=torch.float64), order=1)
    assert report.ok
    (untyped, _) = report.of('unreliable')
    assert untyped.claim == 'jvp'
    assert 'a kink' in untyped.hint
    assert 'cannot be decided' in str(report)


def test_wrong_rule_is_not_excused_as_a_kink() -> None:
    class Wrong(ad.Unary):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return torch.from_numpy(input_values[0].detach().numpy() ** 3)

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return 2 * x * x

    report = check_op(Wrong(), A, order=1)
    assert failed(report) == {'jvp'}
    assert not report.of('unreliable')


def test_noise_is_no_witness() -> None:
    class Noisy(ad.Unary):
        """A staircase much finer than any step of differences."""

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            (x,) = input_values
            return torch.from_numpy((x + 1e-3 * torch.sin(1e9 * x)).detach().numpy())

        def partial(self, y: ad.Node, x: ad.Node) -> int:
            return 1

    report = check_op(Noisy(), A, order=1)
    assert report.ok
    assert any('two step sizes give differences' in f.hint for f in report.of('unreliable'))


def test_sample_at_a_kink_is_compared_with_torch_only() -> None:
    report = check_op(ad.relu, sample(torch.zeros(2, dtype=torch.float64), smooth=False))
    assert report.ok, str(report)
    assert not report.of('unreliable')
    assert 'the function is not smooth here' in {f.got for f in report.of('skipped')}


def test_conventions_are_exact() -> None:
    at_zero = torch.zeros(2, dtype=torch.float64)
    assert check_op(ad.relu, conventions=[(at_zero, 0.0), (at_zero + 1, torch.ones(2))]).ok
    report = check_op(ad.relu, conventions=[(at_zero, torch.full((2,), 1e-300, dtype=torch.float64))])
    assert failed(report) == {'conventions'}
    assert 'relu' in report.subject
    assert '[0.0, 0.0]' in report.failures[0].where


def test_conventions_of_several_inputs_with_nothing_for_one() -> None:
    tie = torch.tensor([1.0], dtype=torch.float64)
    assert check_op(ad.maximum, conventions=[((tie, tie), (0.5, 0.5))]).ok
    assert check_op(ad.expand_as, conventions=[((tie, tie), (1.0, None))]).ok
    assert not check_op(ad.maximum, conventions=[((tie, tie), (0.5, None))]).ok


def test_infinite_and_nan_gradients_are_conventions_too() -> None:
    zero = torch.tensor([0.0], dtype=torch.float64)
    assert check_op(ad.sqrt, conventions=[(zero, float('inf')), (zero - 1, float('nan'))]).ok
    assert not check_op(ad.sqrt, conventions=[(zero, float('nan'))]).ok


def test_refusals_are_checked() -> None:
    assert check_op(ad.matmul, refusals=[((A, A), ad.ShapeError, 'cannot work')]).ok
    for wrong in (
        ((A, A.T), ad.ShapeError, 'cannot work'),
        ((A, A), ad.ShapeError, 'something else'),
        ((A, A), KeyError, 'cannot work'),
    ):
        assert failed(check_op(ad.matmul, refusals=[wrong])) == {'refusal'}


# ------------------------------------------------------------------------- how it is called


def test_nothing_checked_is_not_ok() -> None:
    report = check_op(ad.sin)
    assert not report.ok
    assert 'nothing could be checked' in str(report)


def test_unknown_tolerance_is_refused() -> None:
    with pytest.raises(ValueError, match='no tolerance for gradiant: choose among value, gradient'):
        check_op(ad.sin, A, tolerances={'gradiant': 1e-3})


def test_tolerance_is_taken() -> None:
    blurred = Weighted(lambda a, b: (a, b * (1 + 1e-7)))
    wider = {'gradient, again': 1e-6, 'jvp': 1e-6}
    assert not check_op(blurred, (A, B), order=1).ok
    assert check_op(blurred, (A, B), order=1, tolerances=wider).ok


def test_position_that_has_no_derivative_is_refused() -> None:
    report = check_op(ad.gather, (A, 1, torch.tensor([[0], [1]])), differentiate=[1])
    assert 'differentiate=[1], and the floating and complex tensors' in str(report)
    assert not report.ok


def test_values_are_never_changed() -> None:
    before = A.clone()
    check_op(ad.exp, A)
    assert torch.equal(A, before)
    assert not A.requires_grad


def test_another_seed_takes_other_numbers() -> None:
    wrong = Weighted(lambda a, b: (a, -b))
    got = {check_op(wrong, (A, B), seed=seed, order=1).failures[0].got for seed in (0, 0, 1)}
    assert len(got) == 2
