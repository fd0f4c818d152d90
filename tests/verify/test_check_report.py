"""The words of a report: findings, the table, and the patterns that are recognised."""

import pytest
import torch

import adjoint as ad
from adjoint.verify.check import check_op
from adjoint.verify.compare import compare, recognised
from adjoint.verify.report import WIDTH, Finding, Report


class Wrong(ad.Op):
    """a * b, with a sign and a factor wrong."""

    def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
        a, b = input_values
        return a * b

    def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
        a, b = node.inputs
        return [-output_grad * b, output_grad * a * 2]


A = torch.tensor([[0.5, 2.0], [1.0, -1.0]], dtype=torch.float64)


def test_failure_shows_claim_sample_input_entry_expected_got_error_and_hint() -> None:
    text = str(check_op(Wrong(), (A, A), order=1))
    block = text[text.index('gradient, again FAILS') :].split('\n\n', maxsplit=1)[0]
    lines = block.splitlines()
    assert lines[0] == 'gradient, again FAILS: sample 0 (float64[2, 2], float64[2, 2])'
    labels = [line[2:14].strip() for line in lines[1:]]
    assert labels == ['variables', 'at', 'entry', 'expected', 'got', 'difference', 'error', 'hint']
    assert 'untyped, typed, named' in lines[1]
    assert lines[2].endswith("0, 'x0', float64[2, 2]")
    assert lines[7].endswith('2 of its size, allowed 1e-12')
    assert lines[8].endswith('the sign is flipped')


def test_report_says_where_the_rule_stands() -> None:
    report = check_op(Wrong(), (A, A), order=1)
    assert report.rule.startswith('Wrong.gradient, tests/verify/test_check_report.py:')
    assert report.rule in str(report)


@pytest.mark.parametrize(
    ('op', 'rule'),
    [(ad.sin, 'Sin.partial, '), (ad.relu, 'ReLU.partial, '), (ad.add_by_const, 'Add.partials, '),
     (ad.sum, 'Sum.adjoint, '), (ad.softmax, 'Softmax.gradient, '), (ad.reshape, '_Reshaping.adjoint, ')],
    ids=lambda value: getattr(value, 'name', ''),
)  # fmt: skip
def test_rule_is_the_fact_that_the_op_states(op: ad.Op, rule: str) -> None:
    assert check_op(op).rule.startswith(rule)


def test_report_is_plain_text_of_narrow_lines() -> None:
    class Verbose(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0] * 1

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            raise ValueError('word ' * 60 + '\n    ' + 'x' * 300)

    for report in (check_op(Wrong(), (A, A)), check_op(Verbose(), A)):
        assert max(len(line) for line in str(report).splitlines()) <= WIDTH < 100
        assert '\x1b' not in str(report)


def test_table_has_a_line_for_each_claim() -> None:
    text = str(check_op(Wrong(), (A, A), order=1))
    assert text.splitlines()[0] == 'op wrong: 10 of 41 checks FAIL'
    assert '  gradient, again                0 of 6    hold   largest error 2.0e+00, allowed 1.0e-12' in text
    assert '  structure                     12 of 12   hold' in text
    assert 'value                          3 not checked: no reference is given' in text


def test_same_failure_with_all_kinds_of_variables_is_shown_once() -> None:
    text = str(check_op(Wrong(), (A, A), order=1))
    assert text.count('gradient, again FAILS') == 2  # one for each input
    assert text.count('jvp FAILS') == 2


def test_many_failures_are_counted_and_not_all_shown() -> None:
    findings = [Finding('value', 'fails', f'sample {i}') for i in range(20)]
    text = str(Report('op x', findings=findings))
    assert text.count('FAILS') == 12
    assert text.endswith('and 8 more')


def test_report_without_failures_raises_nothing() -> None:
    check_op(ad.sin, A).raise_if_failed()


def test_unreliable_findings_do_not_fail_but_do_not_hold_either() -> None:
    open_ = Finding('jvp', 'unreliable', 'sample 0')
    held = Finding('value', 'holds', 'sample 0')
    assert not Report('op x', findings=[open_]).ok
    assert Report('op x', findings=[open_, held]).ok
    assert '1 checks hold, 1 cannot be decided' in str(Report('op x', findings=[open_, held]))
    assert open_.ok
    assert not Finding('jvp', 'fails', '').ok


def test_finding_prints_a_scalars_entry_as_the_only_one() -> None:
    finding = Finding('value', 'fails', 'here', entry=(), expected='1.0', got='2.0')
    assert 'entry       the only one' in str(finding)


# --------------------------------------------------------------------------------- comparisons


def t(*values: complex) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.complex128 if complex in map(type, values) else torch.float64)


def test_error_is_relative_to_the_largest_entry() -> None:
    found = compare(t(100.0, 1.5), t(100.0, 1.0), 1e-3)
    assert (found.ok, found.error, found.difference, found.entry) == (False, 0.005, 0.5, (1,))
    assert (found.expected, found.got) == ('1.0', '1.5')
    assert compare(t(100.0, 1.05), t(100.0, 1.0), 1e-3).ok


def test_floor_is_the_least_size() -> None:
    assert not compare(t(2e-17), t(1e-17), 1e-12).ok
    assert compare(t(2e-17), t(1e-17), 1e-12, floor=1.0).ok


def test_nothing_expected_is_compared_as_it_is() -> None:
    assert compare(t(0.0), t(0.0), 0.0).ok
    assert not compare(t(1e-9), t(0.0), 1e-12).ok


@pytest.mark.parametrize('special', [float('nan'), float('inf'), -float('inf')])
def test_special_values_have_to_match(special: float) -> None:
    assert compare(t(special, 1.0), t(special, 1.0), 0.0).ok
    assert not compare(t(special, 1.0), t(2.0, 1.0), 1e9).ok
    assert not compare(t(2.0, 1.0), t(special, 1.0), 1e9).ok
    assert not compare(t(special, 1.0), t(special, 2.0), 1e-3).ok


def test_infinities_of_different_sign_differ() -> None:
    assert not compare(t(float('inf')), t(-float('inf')), 1e9).ok


def test_shapes_have_to_match() -> None:
    found = compare(torch.zeros(2, 1), torch.zeros(2), 1.0)
    assert (found.ok, found.expected, found.got) == (False, 'shape (2,)', 'shape (2, 1)')


def test_empty_tensors_are_equal() -> None:
    assert compare(torch.zeros(0, 3), torch.zeros(0, 3), 0.0).ok


@pytest.mark.parametrize(
    ('got', 'expected', 'hint'),
    [
        (t(-1.0, 2.0), t(1.0, -2.0), 'the sign is flipped'),
        (t(0.0, 0.0), t(1.0, 2.0), 'it is zero: a cotangent is dropped, or the rule says that nothing flows'),
        (t(1.0, 2.0), t(0.0, 0.0), 'nothing should flow here'),
        (t(1 - 2j, 3j), t(1 + 2j, -3j), 'it is the complex conjugate: a conj is missing, or one too many'),
        (A.T, A, 'it is transposed'),
        (t(2.0, 4.0), t(1.0, 2.0), 'everything is 2 times what it should be'),
        (t(1j, -2.0 + 0j), t(1.0 + 0j, 2j), 'everything is 0+1j times what it should be'),
        (t(1 + 1e-7, 2 + 2e-7), t(1.0, 2.0), 'everything is 1.0000001 times what it should be'),
        (t(3.0), t(1.0), 'everything is 3 times what it should be'),
        (t(0.25), t(1.0), 'everything is 0.25 times what it should be'),
        (t(0.7), t(1.0), ''),
        (t(1.0, 2.0, 4.0), t(1.0, 2.0, 3.0), '1 of 3 entries are wrong'),
        (t(0.3, 1.1), t(1.0, 0.2), ''),
        (t(float('nan'), 1.0), t(1.0, 2.0), ''),
        (torch.zeros(3, 2), torch.zeros(2, 3), 'it is transposed'),
        (torch.zeros(4, 1), torch.zeros(2, 3), ''),
    ],
)  # fmt: skip
def test_pattern_of_a_mistake_is_named(got: torch.Tensor, expected: torch.Tensor, hint: str) -> None:
    assert recognised(got, expected) == hint


@pytest.mark.parametrize('shape', [(3,), (1, 3), (2, 1), ()])
def test_missing_sum_is_named(shape: tuple[int, ...]) -> None:
    assert 'sum_to_like(ct, x)' in recognised(torch.ones(2, 3), torch.ones(shape))
