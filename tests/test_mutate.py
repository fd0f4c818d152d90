"""The mutation run notices what it has to: survivors, equivalents, and a battery that fails unbroken."""

import pytest
import torch

import adjoint as ad
from tests import mutate
from tests.mutation import breaking
from tests.ops.cases import CASES, Case


def run(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    """The exit status, and the lines that were printed."""
    status = mutate.main([*options, '--workers', '1'])
    return status, capsys.readouterr().out.splitlines()


def only(monkeypatch: pytest.MonkeyPatch, name: str, case: Case) -> None:
    """Leave one case in the battery."""
    for other in list(CASES):
        monkeypatch.delitem(CASES, other)
    monkeypatch.setitem(CASES, name, case)


def test_mutants_of_a_right_rule_are_killed(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run(capsys, '--only', 'Sin.', '--verbose')
    assert status == 0
    assert lines[:3] == [
        f'  Sin.partial: {how}: sin: gradient, again'
        for how in ('sign flipped', 'factor 1 + 1e-7', 'dropped')
    ]
    assert lines[3:] == ['killed 3 of 3 mutants']


def test_cotangents_are_swapped_words_left_out_and_nothing_made_to_flow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, lines = run(capsys, '--only', 'MatMulLeft.gradient', '--verbose')
    assert status == 0
    assert lines[-1] == 'killed 9 of 9 mutants'
    broken = {line.split(': matmul_left')[0].strip() for line in lines[:-1]}
    assert {
        'MatMulLeft.gradient pair: swapped',
        'MatMulLeft.gradient conj: left out',
        'MatMulLeft.gradient nothing 2: ones flow',
    } <= broken


def test_survivor_is_reported(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaking, 'FACTOR', 1 + 2e-16)
    status, lines = run(capsys, '--only', 'Sin.')
    assert status == 1
    assert lines == ['killed 2 of 3 mutants', '  ALIVE Sin.partial: factor 1 + 1e-7']


def test_equivalent_mutant_is_listed_and_not_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, 'add/repeated', CASES['add/repeated'])
    status, lines = run(capsys, '--only', 'Add.partials')
    assert status == 0
    assert lines == [
        'killed 6 of 6 mutants',
        '  equivalent, since every result stays the same: Add.partials pair: swapped',
    ]


def test_battery_that_fails_unbroken_stops_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, 'sin', Case(ad.sin, CASES['sin'].samples, torch.cos))
    assert run(capsys, '--only', 'Sin.') == (1, ['the battery fails unbroken: sin'])


def test_rule_that_no_case_uses_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, 'sin', CASES['sin'])
    monkeypatch.setattr(breaking, 'classes', lambda: [type(ad.sin), type(ad.cos)])
    status, lines = run(capsys)
    assert status == 1
    assert lines[-1] == '  used by no case: Cos.partial'


def test_rules_are_whole_again_after_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    before = type(ad.sin).__dict__['partial']
    run(capsys, '--only', 'Sin.')
    assert type(ad.sin).__dict__['partial'] is before


def test_every_rule_is_stated_by_a_class_of_ours() -> None:
    names = [f'{cls.__qualname__}.{fact}' for cls, fact in breaking.rules()]
    assert len(names) == len(set(names))
    assert {'Sin.partial', 'Add.partials', 'Sum.adjoint', 'MatMul.gradient', 'Where.jvp'} <= set(names)
    assert set(mutate.UNUSED) <= set(names)
