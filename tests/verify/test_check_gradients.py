"""`check_gradients`: graphs and functions at a point, and the rule to blame when they fail."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch

import adjoint as ad
from adjoint.verify.check import check_gradients

A = torch.tensor([[0.3, 0.7, -0.4], [1.2, -2.1, 0.8]], dtype=torch.float64)
B = torch.tensor([0.4, 1.5, -0.6], dtype=torch.float64)


class WrongCube(ad.Unary):
    """x ** 3, with a factor forgotten in its rule."""

    kernel = staticmethod(lambda x: x**3)

    def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
        return x * x


wrong_cube = WrongCube()


def test_graph_is_checked_at_the_values_of_its_variables() -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    y = ad.sum(ad.tanh(x @ w))
    report = check_gradients(y, {x: A, w: A.T})
    assert report.ok, str(report)
    assert {"0, 'x', float64[2, 3]", "1, 'w', float64[3, 2]"} <= {f.subject for f in report.findings}


def test_only_the_wanted_nodes_are_differentiated_by() -> None:
    x, w = ad.Variable('x'), ad.Variable('w')
    y = ad.sum(wrong_cube(x) * w)
    assert check_gradients(y, {x: B, w: B + 1}, [w], order=1).ok
    assert not check_gradients(y, {x: B, w: B + 1}, [x], order=1).ok


def test_inner_node_is_differentiated_by() -> None:
    x = ad.Variable('x')
    inner = wrong_cube(x)
    y = ad.sum(ad.sin(inner) * ad.exp(inner))
    assert check_gradients(y, {x: B}, [inner]).ok
    assert not check_gradients(y, {x: B}).ok


def test_vector_output_is_checked_with_a_random_cotangent() -> None:
    x = ad.Variable('x')
    # The gradient of the sum is right: a rule that is wrong by entry is seen all the same.
    assert check_gradients(ad.softmax(x), {x: A}).ok
    assert not check_gradients(wrong_cube(x) * 2, {x: A}).ok


def test_culprit_is_named_with_its_rule_and_line() -> None:
    x = ad.Variable('x')
    y = ad.mean(ad.exp(wrong_cube(ad.sin(x))) * 3)
    report = check_gradients(y, {x: B}, order=1)
    (culprit,) = report.culprits
    line = inspect.getsourcelines(WrongCube.partial)[1]
    assert f'WrongCube.partial, tests/verify/test_check_gradients.py:{line}' in culprit
    assert 'y = ad.mean(ad.exp(wrong_cube(ad.sin(x))) * 3)' in culprit
    assert 'look at' in str(report)


def test_culprit_of_the_second_order_is_named() -> None:
    class Tail(ad.Unary):
        """Its own rule is right and is written with an op whose rule is not."""

        kernel = staticmethod(lambda x: x**4 / 4)

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return wrong_cube(x)

    x = ad.Variable('x')
    assert check_gradients(Tail()(x), {x: B}, order=1).ok
    (culprit,) = check_gradients(Tail()(x), {x: B}).culprits
    assert culprit.startswith('WrongCube.partial')


def test_right_graph_has_no_culprits() -> None:
    x = ad.Variable('x')
    report = check_gradients(ad.sin(x), {x: B})
    assert report.culprits == []
    assert 'look at' not in str(report)


def test_float32_graph_with_constants_is_checked_in_double_precision() -> None:
    x = ad.Variable('x', (2, 3), torch.float32)
    y = ad.sum(ad.tanh(x @ ad.constant(A.T.to(torch.float32))))
    report = check_gradients(y, {x: A.to(torch.float32)})
    assert report.ok, str(report)
    assert {f.where for f in report.findings} == {'the given values in double precision'}
    assert next(f.tolerance for f in report.findings if f.claim == 'gradient') == 1e-12


def test_graph_that_casts_is_checked_in_its_own_precision() -> None:
    x = ad.Variable('x')
    report = check_gradients(ad.sum(ad.sin(ad.cast(x, torch.float32))), {x: B.to(torch.float32)})
    assert report.ok, str(report)
    assert {f.where for f in report.findings} == {'the given values'}
    assert all((f.tolerance or 0) > 1e-5 for f in report.findings if f.claim == 'gradient')


@pytest.mark.parametrize('dtype', [torch.float32, torch.complex64], ids=str)
def test_wrong_factor_is_found_in_single_precision(dtype: torch.dtype) -> None:
    class Slightly(ad.Unary):
        kernel = torch.exp

        def partial(self, y: ad.Node, x: ad.Node) -> ad.Node:
            return y * (1 + 1e-6)

    x = ad.Variable('x', dtype=dtype)
    value = (torch.complex(A, A.flip(0)) if dtype.is_complex else A).to(dtype)
    assert check_gradients(ad.sum(ad.exp(x) * x), {x: value}).ok
    assert not check_gradients(ad.sum(Slightly()(x) * x), {x: value}).ok


def test_numbers_and_arrays_are_values_as_for_a_run() -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    report = check_gradients(ad.log(x) * y + x**2, {x: 2.0, y: np.array(3.0)})
    assert report.ok, str(report)


def test_values_that_are_not_needed_are_ignored() -> None:
    x, other = ad.Variable('x'), ad.Variable('other')
    assert check_gradients(ad.sin(x), {x: B, other: A}).ok


def test_integer_values_are_inputs_that_are_not_differentiated() -> None:
    x, index = ad.Variable('x'), ad.Variable('index')
    report = check_gradients(ad.sum(ad.getitem(x, index) ** 2), {x: B, index: torch.tensor([0, 0, 2])})
    assert report.ok, str(report)


def test_named_sizes_of_a_users_variables_are_kept() -> None:
    x = ad.Variable('x', ('n', 3), torch.float64)
    assert check_gradients(ad.logsumexp(x, 1), {x: A}).ok


def test_function_is_checked_at_its_arguments() -> None:
    def loss(p: Any, x: Any) -> Any:
        return torch.tanh(x @ p['w']).sum() * p['b']

    for given in ([{'w': B, 'b': B[0]}, A], ({'w': B, 'b': B[0]}, A)):
        report = check_gradients(loss, given)
        assert report.ok, str(report)
    assert 'loss' in report.subject


def test_function_of_one_tensor_is_checked_at_it() -> None:
    assert check_gradients(lambda x: (x.sum() / x.shape[0]).exp(), B).ok
    report = check_gradients(lambda x: wrong_cube(torch.sin(x)), B)
    assert not report.ok
    assert 'WrongCube.partial' in report.culprits[0]


def test_raises_raises_the_report() -> None:
    x = ad.Variable('x')
    with pytest.raises(ad.RuleError, match='gradient, again FAILS'):
        check_gradients(wrong_cube(x), {x: B}, raises=True)
    with pytest.raises(ad.RuleError, match='gradient, again FAILS'):
        check_gradients(wrong_cube, B, raises=True)


def test_larger_graph_is_checked_in_reasonable_time() -> None:
    x, w, v = ad.Variable('x'), ad.Variable('w'), ad.Variable('v')
    generator = torch.Generator().manual_seed(0)
    values = {
        x: torch.randn(16, 8, generator=generator),
        w: torch.randn(8, 8, generator=generator),
        v: torch.randn(8, generator=generator),
    }
    y = x
    for _ in range(10):
        y = ad.layernorm(y + ad.softmax(y @ w) * v, (8,))
    report = check_gradients(ad.mean(y * y * y), values, order=1)
    assert report.ok, str(report)


def test_mixed_up_arguments_are_explained() -> None:
    x = ad.Variable('x')
    with pytest.raises(ad.TensorTypeError, match=r'check_gradients\(y, \{x: tensor\}\)'):
        check_gradients(x, [A])
    with pytest.raises(ad.TensorTypeError, match=r'check_gradients\(f, \[x, y\]\)'):
        check_gradients(torch.sum, {x: A})
    with pytest.raises(ad.TensorTypeError, match=r'check_gradients\(f, \[x, y\]\)'):
        check_gradients(torch.sum, [A], [x])


def test_what_is_missing_or_strange_is_refused() -> None:
    x, y = ad.Variable('x'), ad.Variable('y')
    with pytest.raises(ad.MissingInputError, match='y'):
        check_gradients(x * y, {x: A})
    with pytest.raises(ad.TensorTypeError, match="y is not part of the graph of 'sin"):
        check_gradients(ad.sin(x), {x: A}, [y])
    with pytest.raises(ad.TensorTypeError, match=r"node 'x' is int64\[1\], and has no derivative"):
        check_gradients(x * 2, {x: torch.tensor([1])}, [x])
