"""Forward mode is as safe behind masks as reverse mode, on the same table."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import adjoint as ad
from tests.autodiff.masked import ENTRYWISE, KINDS, derivatives, variable
from tests.ops.case import t


def total(name: str) -> Callable[[Any], Any]:
    return lambda x: ad.sum(ENTRYWISE[name].build(x))


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ENTRYWISE)
def test_what_is_masked_does_not_move(name: str, kind: str) -> None:
    """The tangent of the sum along a unit vector is an entry of the gradient."""
    case = ENTRYWISE[name]
    at = t(case.at)
    x, along = variable(at, kind), variable(at, kind)
    dy = ad.pushforward(total(name)(x), {x: along})
    assert dy is not None
    run = ad.Evaluator([dy])
    got = [run.run({x: at, along: unit})[0] for unit in torch.eye(len(at), dtype=torch.float64)]
    torch.testing.assert_close(torch.stack(got), t(derivatives(case, 1)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('name', ENTRYWISE)
def test_second_order_forward_over_reverse_and_forward_over_forward(name: str) -> None:
    case = ENTRYWISE[name]
    at = t(case.at)
    curve = torch.diag(t(derivatives(case, 2)))
    ones = torch.ones_like(at)
    torch.testing.assert_close(*ad.hvp(total(name), (at,), (ones,)), curve.sum(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ad.hessian(total(name))(at), curve, rtol=1e-12, atol=1e-12)
    twice = ad.jacfwd(ad.jacfwd(total(name)))(at)
    torch.testing.assert_close(twice, curve, rtol=1e-12, atol=1e-12)
