"""`check_op`: each kind of mistake is found, placed and named."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.verify.check import check_op
from tests.verify.rules import A, B, Spoil, Weighted, Z, failed, first


@pytest.mark.parametrize(
    ('spoil', 'position', 'hint'),
    [
        (lambda a, b: (-a, b), 0, 'the sign is flipped'),
        (lambda a, b: (a * 2, b), 0, 'everything is 2 times what it should be'),
        (lambda a, b: (a, b * 0.5), 1, 'everything is 0.5 times what it should be'),
        (lambda a, b: (a, b * (1 + 1e-7)), 1, 'everything is 1.0000001 times'),
        (lambda a, b: (a, None), 1, 'a cotangent is dropped'),
        (lambda a, b: (ad.zeros_like(a), b), 0, 'a cotangent is dropped'),
        (lambda a, b: (b, a), 0, 'it is the cotangent of input 1: they are swapped'),
        (lambda a, b: (ad.transpose(a, 0, 1), b), 0, 'it is transposed'),
        (lambda a, b: (a + ad.constant(A[:, :2] * 0 + 0.25) * ad.constant(torch.eye(2)), b), 0, '2 of 4'),
    ],
    ids=['sign', 'double', 'half', 'tiny', 'dropped', 'zeros', 'swapped', 'transposed', 'entries'],
)
def test_wrong_gradient_is_found_and_its_pattern_named(spoil: Spoil, position: int, hint: str) -> None:
    x = A[:, :2]
    report = check_op(Weighted(spoil), (x, x + 3))
    assert first(report, 'gradient, again').subject.startswith(f"{position}, 'x{position}'")
    assert hint in first(report, 'gradient, again').hint
    with pytest.raises(ad.RuleError, match='gradient, again FAILS: sample 0'):
        report.raise_if_failed()


def test_raises_raises_the_report() -> None:
    with pytest.raises(ad.RuleError, match='the sign is flipped'):
        check_op(Weighted(lambda a, b: (a, -b)), (A, B), raises=True)


def test_missing_conjugate_is_found_on_complex_samples_only() -> None:
    class NoConj(ad.Unary):
        kernel = torch.square

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            return [output_grad * 2 * node.inputs[0]]

    assert check_op(NoConj(), A).ok
    report = check_op(NoConj(), Z)
    assert {'jvp', 'gradient, again'} <= failed(report)
    # Ones as cotangents would show it: random ones mix the two parts.
    assert not report.ok


def test_conjugate_pattern_is_named() -> None:
    class NoConj(ad.Linear):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0].conj()

        def adjoint(self, node: ad.Node, ct: ad.Node) -> Sequence[ad.Node | None]:
            return (ct,)

    assert 'a conj is missing' in first(check_op(NoConj(), Z), 'gradient, again').hint


def test_cotangent_that_is_not_summed_is_found() -> None:
    class NoSum(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0] + input_values[1]

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            return [output_grad, output_grad]

    assert check_op(NoSum(), (A, A)).ok
    report = check_op(NoSum(), (A, B))
    failure = first(report, 'structure')
    assert (failure.expected, failure.got) == ('float64[3]', 'float64[2, 3]')
    assert 'sum_to_like(ct, x)' in failure.hint
    assert failed(report) == {'structure'}


def test_cotangent_of_another_dtype_is_found() -> None:
    class Coarse(ad.Unary):
        kernel = torch.neg

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            return [ad.cast(-output_grad, torch.float32)]

    failure = first(check_op(Coarse(), A), 'structure')
    assert (failure.expected, failure.got) == ('float64[2, 3]', 'float32[2, 3]')


@pytest.mark.parametrize(
    ('returned', 'got'),
    [(lambda a, b: [a], '[<Node'), (lambda a, b: [a, 1.0], '1.0')],
    ids=['too few', 'a number'],
)
def test_broken_contract_is_found(returned: Spoil, got: str) -> None:
    report = check_op(Weighted(returned), (A, A))
    assert failed(report) == {'structure'}
    assert got in first(report, 'structure').got


def test_cotangent_of_an_integer_operand_is_found() -> None:
    class Leaky(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0] * input_values[1]

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            n = node.inputs[1]
            return [output_grad * n, ad.ones_like(n)]

    report = check_op(Leaky(), (B, torch.tensor([1, 2, 3])))
    assert failed(report) == {'structure'}
    assert 'nothing flows here' in first(report, 'structure').expected


def test_wrong_pushforward_is_found() -> None:
    def doubled(node: ad.Node, tangents: Any) -> ad.Node | None:
        t = ad.Op.jvp(node.op, node, tangents)
        return None if t is None else t * 2

    assert {'jvp', 'gradient'} <= failed(check_op(Weighted(forward=doubled), (A, B)))
    assert {'jvp', 'gradient'} <= failed(check_op(Weighted(forward=lambda _node, _tangents: None), (A, B)))


def test_pushforward_that_forgets_a_tangent_only_beside_another_is_found() -> None:
    def forgetful(node: ad.Node, tangents: Any) -> ad.Node | None:
        if all(t is not None for t in tangents):
            tangents = [tangents[0], None]
        return ad.Op.jvp(node.op, node, tangents)

    report = check_op(Weighted(forward=forgetful), (A, B), order=1)
    assert failed(report) == {'jvp'}
    assert first(report, 'jvp').subject == 'all inputs together, against one at a time'


def test_gradient_that_is_no_adjoint_is_placed() -> None:
    class Wrong(ad.Linear):
        """Computes outside of torch, so that only forward mode can tell."""

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return torch.from_numpy(input_values[0].detach().numpy() * 3)

        def adjoint(self, node: ad.Node, ct: ad.Node) -> Sequence[ad.Node | None]:
            return (ct * -3,)

    report = check_op(Wrong(), A)
    assert failed(report) == {'gradient'}
    assert first(report, 'gradient').hint == 'the sign is flipped'
    assert first(report, 'gradient').entry is not None


def test_wrong_value_is_found() -> None:
    report = check_op(ad.sin, A, reference=lambda x: torch.sin(x) + 1e-10)
    assert failed(report) == {'value'}
    assert first(report, 'value').difference == pytest.approx(1e-10, rel=1e-3)

    class Coarse(ad.Unary):
        formula = 'exp(x)'

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return torch.exp(input_values[0]) * (1 + 1e-11)

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return y

    assert 'value' in failed(check_op(Coarse(), A))


def test_value_of_another_shape_is_found() -> None:
    failure = first(check_op(ad.sum, (A, 0), reference=lambda x, dim: x.sum(dim, keepdim=True)), 'value')
    assert (failure.expected, failure.got) == ('shape (1, 3)', 'shape (3,)')


def test_wrong_partial_is_found() -> None:
    class Wrong(ad.Unary):
        formula = 'sin(x)'
        kernel = torch.sin

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return ad.cos(x) + 1e-9

    report = check_op(Wrong(), A, order=1)
    assert {'partials', 'gradient, again'} == failed(report)


def test_wrong_type_is_found() -> None:
    class Wrong(ad.Unary):
        kernel = torch.sin

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return ad.cos(x)

        def infer(self, node: ad.Node, input_types: Any) -> Any:
            return ad.TensorType((7,), torch.float64)

    failure = first(check_op(Wrong(), B, order=1), 'type')
    assert (failure.expected, failure.got) == ('float64[7]', 'float64[3]')


def test_wrong_name_of_a_size_is_found() -> None:
    class Wrong(ad.Linear):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0].mT

        def adjoint(self, node: ad.Node, ct: ad.Node) -> Sequence[ad.Node | None]:
            return (ad.transpose(ct, -2, -1),)

        def infer(self, node: ad.Node, input_types: Any) -> Any:
            (known,) = input_types
            named = any(isinstance(s, str) for s in known.shape)
            return ad.TensorType(known.shape if named else known.shape[::-1], known.dtype)

    report = check_op(Wrong(), A, order=1)
    assert first(report, 'type').variables == 'named'
    assert (first(report, 'type').expected, first(report, 'type').got) == ('float64[n2, n3]', 'float64[3, 2]')


def test_rule_that_depends_on_what_is_known_is_found() -> None:
    class Moody(ad.Unary):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return torch.from_numpy(input_values[0].detach().numpy() ** 2)

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            (x,) = node.inputs
            named = x.type is not None and 'n3' in (x.type.shape or ())
            return [output_grad * x * (2.5 if named else 2)]

    report = check_op(Moody(), B, order=1)
    assert failed(report) == {'agreement'}
    assert first(report, 'agreement').variables == 'named'


def test_wrong_second_order_is_found() -> None:
    class Frozen(ad.Unary):
        """Its rule is right and cannot be differentiated again."""

        kernel = torch.exp

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return ad.detach(y)

    assert check_op(Frozen(), A, order=1).ok
    assert all(claim.endswith('of order 2') for claim in failed(check_op(Frozen(), A)))
    assert 'jvp of order 2' in failed(check_op(Frozen(), A))


def test_low_precision_that_is_lost_is_found() -> None:
    class Cancelling(ad.Unary):
        """Right in exact numbers; in float16 all digits are lost."""

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return (input_values[0] + 1000) - 1000

        def partial(self, y: ad.Node, x: ad.Node) -> int:
            return 1

    assert 'precision' in failed(check_op(Cancelling(), A.to(torch.float16), order=1))


def test_rule_that_raises_is_a_finding() -> None:
    class Raises(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return input_values[0] * 2

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            raise ValueError('not this way')

    report = check_op(Raises(), A)
    assert failed(report) == {'structure'}
    assert 'ValueError: not this way' in str(report)


def test_kernel_that_raises_is_a_finding_with_its_note() -> None:
    class Raises(ad.Op):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            raise RuntimeError('no kernel today')

    report = check_op(Raises(), A)
    assert not report.ok
    assert 'no kernel today' in str(report)
    assert 'while computing node' in str(report)


def test_builder_that_returns_no_node_is_a_finding() -> None:
    report = check_op(lambda x: 3.0, A)
    assert failed(report) == {'build'}
    assert 'must return a node, and returned a float: 3.0' in str(report)


def test_builder_that_cannot_take_the_arguments_is_a_finding() -> None:
    report = check_op(ad.matmul, (A, A))
    assert failed(report) == {'build', 'run'}


def test_op_that_computes_outside_of_torch_is_checked_by_differences() -> None:
    class OnHost(ad.Op):
        factor = 2.0

        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return torch.from_numpy(input_values[0].detach().numpy() ** 2)

        def gradient(self, node: ad.Node, output_grad: ad.Node) -> list[ad.Node | None]:
            return [output_grad * node.inputs[0] * self.factor]

    right = check_op(OnHost(), A, order=1)
    assert right.ok
    assert {f.got for f in right.of('skipped') if f.claim == 'gradient, again'} == {'torch records nothing'}
    wrong = OnHost()
    wrong.factor = 2.1
    report = check_op(wrong, A, order=1)
    assert failed(report) == {'jvp'}
    assert first(report, 'jvp').hint == 'everything is 1.05 times what it should be'


def test_op_that_torch_refuses_to_record_is_checked_by_differences() -> None:
    class OnHost(ad.Unary):
        def compute(self, node: ad.Node, input_values: list[torch.Tensor]) -> torch.Tensor:
            return torch.from_numpy(input_values[0].numpy() ** 2)

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return 2 * x

    report = check_op(OnHost(), A, order=1)
    assert report.ok, str(report)
    assert any(f.got.startswith('torch cannot record it') for f in report.of('skipped'))
