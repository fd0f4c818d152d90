"""Every op of ours passes the battery."""

import re

import pytest

import adjoint as ad
from adjoint.verify.check import check_op
from adjoint.verify.samples import Arguments
from tests.ops.case import Refusal
from tests.ops.cases import CASES

REFUSALS = [(name, refusal) for name, case in CASES.items() for refusal in case.refusals]


def test_every_op_has_a_case() -> None:
    ops = {name.split('/')[0] for name in CASES}
    assert set(ad.registry()) == ops


def test_every_case_claims_something() -> None:
    assert [n for n, c in CASES.items() if not c.samples and not c.conventions] == []


@pytest.mark.parametrize('name', CASES)
def test_every_claim_holds(name: str) -> None:
    case = CASES[name]
    report = check_op(
        case.build, *case.samples, reference=case.reference, order=case.order, conventions=case.conventions
    )
    assert report.findings
    report.raise_if_failed()
    assert report.of('unreliable') == [], str(report)


@pytest.mark.parametrize(('name', 'refusal'), REFUSALS, ids=[f'{n}-{r[0]}' for n, r in REFUSALS])
def test_what_cannot_work_is_refused_where_it_is_written(name: str, refusal: Refusal) -> None:
    given, kind, pattern = refusal
    arguments = Arguments(given, wide=False)
    with pytest.raises(kind) as caught:
        arguments.call(CASES[name].build, arguments.variables('typed'))
    assert re.search(pattern, str(caught.value)), str(caught.value)
