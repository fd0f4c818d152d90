"""The contract's ops in float16, bfloat16 and float32: the dtypes of torch, and its accuracy.

The bound: a value or gradient differs from the one computed in float64 from the same numbers by at most
eight units of rounding of its dtype, relative to the largest entry. Each rule makes at most about that
many roundings one after the other on operands of order one.
"""

import pytest
import torch

import adjoint as ad
from tests.ops.case import spread
from tests.ops.test_contract import CUT, FORMS, run

UNITS = 8
DTYPES = [torch.float16, torch.bfloat16, torch.float32]
ALL = {name: form[:3] for name, form in (FORMS | CUT).items()}


def within_units(got: torch.Tensor, exact: torch.Tensor) -> bool:
    size = max(1.0, float(exact.abs().max()))
    return bool(((got.double() - exact).abs() <= UNITS * torch.finfo(got.dtype).eps * size).all())


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('form', ALL)
def test_value_and_gradients_keep_the_dtype_and_its_accuracy(form: str, dtype: torch.dtype) -> None:
    build, reference, values = ALL[form]
    rounded = [v.to(dtype) for v in values]
    nodes = [ad.Variable(f'x{n}') for n in range(len(values))]
    y, g = build(*nodes), ad.Variable('g')
    wanted = reference(*rounded)
    ct = spread(*wanted.shape, seed=11).to(dtype)
    outputs = [y, *y.op.gradient(y, g)]
    found = run(outputs, dict(zip([*nodes, g], [*rounded, ct], strict=True)))
    exact = run(outputs, dict(zip([*nodes, g], [v.double() for v in [*rounded, ct]], strict=True)))

    # `greater` in the contract is of the operands' dtype, which its reference in torch has to be told.
    assert found[0].dtype == (dtype if form.startswith('greater') else wanted.dtype)
    assert found[0].shape == wanted.shape
    for value, cotangent in zip(rounded, found[1:], strict=True):
        assert cotangent.dtype == dtype
        assert cotangent.shape == value.shape
    for got, e in zip(found, exact, strict=True):
        assert within_units(got, e), f'{got}\n{e}'


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_constant_of_python_does_not_widen(dtype: torch.dtype) -> None:
    x = ad.Variable('x')
    y = (2.5 * x + 1) / 3 - 0.5 / x
    found = run([y, *ad.gradients(y, [x])], {x: spread(3, low=0.5).to(dtype)})
    assert [f.dtype for f in found] == [dtype, dtype]


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_narrow_operand_beside_a_wide_one_gets_a_narrow_gradient(dtype: torch.dtype) -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    y = x * w
    found = run([y, *ad.gradients(y, [x, w])], {x: spread(2, 3), w: spread(3).to(dtype)})
    assert [f.dtype for f in found] == [torch.float64, torch.float64, dtype]
