"""Ops with several outputs: reverse, forward, and higher orders through the node that picks one."""

from collections.abc import Sequence

import pytest
import torch

import adjoint as ad
from adjoint import Node, TensorType
from adjoint.ops.several import items, packed, slots
from tests.ops.case import spread


class SumAndProduct(ad.Op):
    """``a + b`` and ``a * b``."""

    outputs = 2

    def __call__(self, a: Node, b: Node) -> tuple[Node, ...]:  # type: ignore[override]
        return items(Node([a, b], self))

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = input_values
        return a + b, a * b

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        a, b = node.inputs
        ct_sum, ct_product = slots(output_grad)
        to_a = None if ct_product is None else ct_product * b
        to_b = None if ct_product is None else ct_product * a
        if ct_sum is None:
            return [to_a, to_b]
        return [ct_sum if x is None else ct_sum + x for x in (to_a, to_b)]


class WithJvp(SumAndProduct):
    """The same, with a pushforward of its own."""

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        a, b = node.inputs
        s, t = (ad.zeros_like(x) if v is None else v for x, v in zip((a, b), input_tangents, strict=True))
        return packed([s + t, a * t + b * s])


OPS = [SumAndProduct(), WithJvp()]
SAMPLE = (spread(2, 3), spread(2, 3, seed=1))


@pytest.mark.parametrize('op', OPS, ids=['default jvp', 'own jvp'])
@pytest.mark.parametrize(
    'pick',
    [lambda s, p: s, lambda s, p: p, lambda s, p: s * ad.sin(p), lambda s, p: p + p * s],
    ids=['sum', 'product', 'both', 'twice'],
)
def test_all_claims_hold_through_the_outputs(op: SumAndProduct, pick: ad.Op) -> None:
    report = ad.check_op(lambda a, b: pick(*op(a, b)), SAMPLE)
    report.raise_if_failed()


def test_types_of_the_outputs_are_known() -> None:
    a = ad.Variable('a', ('n', 3), torch.float64)
    s, p = OPS[0](a, ad.Variable('b', ('n', 3), torch.float64))
    assert s.type == p.type == a.type
    whole = s.inputs[0].type
    assert whole == TensorType(items=(a.type, a.type))
    assert str(whole) == '(float64[n, 3], float64[n, 3])'


def test_picking_from_a_tuple_is_written_as_an_index() -> None:
    s, p = OPS[0](ad.Variable('a'), ad.Variable('b'))
    assert (str(s), str(p)) == ('sum_and_product[0]', 'sum_and_product[1]')
