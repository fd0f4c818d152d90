"""The coefficients of every op of the battery, against pushforwards of pushforwards along the same path."""

import math

import pytest
import torch

import adjoint as ad
from adjoint.verify.samples import Arguments, Kind, has_derivative, random_like
from tests.ops.cases import CASES


def nested(outputs: list[ad.Node], t: ad.Node, order: int) -> list[list[ad.Node | None]]:
    """The derivatives by ``t`` of each output, over the factorials."""
    found: list[list[ad.Node | None]] = [[] for _ in outputs]
    level: list[ad.Node | None] = list(outputs)
    for k in range(1, order + 1):
        flowing = [y for y in level if y is not None]
        moved = iter(ad.pushforward(flowing, {t: ad.ones_like(t)}))
        level = [None if y is None else next(moved) for y in level]
        for own, y in zip(found, level, strict=True):
            own.append(None if y is None else y / math.factorial(k))
    return found


def outputs_of(called: object) -> list[ad.Node]:
    nodes = [called] if isinstance(called, ad.Node) else list(called)
    return [y for y in nodes if y.type is None or y.type.is_differentiable]


def compare(name: str, kind: Kind, highest: int) -> None:
    case = CASES[name]
    generator = torch.Generator().manual_seed(3)
    for given in case.samples:
        if not given.smooth:
            continue
        arguments = Arguments(given, wide=True)
        xs = arguments.variables(kind)
        values = dict(zip(xs, arguments.values, strict=True))
        moving = [x for x in xs if has_derivative(values[x])]
        if not moving:
            continue
        order = highest if case.order > 1 else 1
        series: dict[ad.Node, list[ad.Node | None]] = {}
        t = ad.Variable('t', (), torch.float64)
        paths: dict[ad.Node, ad.Node] = {}
        for i, x in enumerate(moving):
            first, second = (random_like(values[x], generator) / 8 for _ in range(2))
            # One operand has a gap in its series.
            own = [ad.constant(first), ad.constant(second)] if i != 1 else [None, ad.constant(second)]
            series[x] = own
            terms = [c * t**k for k, c in enumerate(own, start=1) if c is not None]
            paths[x] = sum(terms, start=x)
        try:
            plain = outputs_of(arguments.call(case.build, xs))
        except (ad.TensorTypeError, ad.ShapeError):
            continue  # an attr holds sizes, or needs a known type
        along = outputs_of(arguments.call(case.build, [paths.get(x, x) for x in xs]))
        got = ad.taylor(plain, series, order)
        expected = nested(along, t, order)
        feed = {**values, t: torch.zeros((), dtype=torch.float64)}
        ys = ad.Evaluator(plain).run(feed)
        for y, own, wanted in zip(ys, got, expected, strict=True):
            for k, (c, w) in enumerate(zip(own, wanted, strict=True), start=1):
                assert y.is_floating_point() or y.is_complex() or (c is None and w is None)
                if c is None and w is None:
                    continue
                a = torch.zeros_like(y) if c is None else ad.Evaluator([c]).run(feed)[0]
                b = torch.zeros_like(y) if w is None else ad.Evaluator([w]).run(feed)[0].expand(y.shape)
                assert (a.shape, a.dtype) == (y.shape, y.dtype), (given, k)
                scale = max(1.0, float(b.abs().max()) if b.numel() else 0.0)
                assert torch.allclose(a, b.to(y.dtype), rtol=0, atol=1e-10 * scale, equal_nan=True), (
                    given, k, a, b,
                )  # fmt: skip


@pytest.mark.parametrize('name', CASES)
def test_coefficients_are_those_of_nested_pushforwards(name: str) -> None:
    compare(name, 'typed', 4)


@pytest.mark.parametrize('name', CASES)
def test_coefficients_need_no_types(name: str) -> None:
    compare(name, 'untyped', 2)
