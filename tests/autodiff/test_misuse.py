"""Bad arguments of derivatives of nodes: what came, what was wanted, the way out, and the line."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import adjoint as ad

loose: Any = ad  # callers are not type-checked

X = ad.Variable('x', (2,), torch.float64)
Z = ad.Variable('z', (2,), torch.complex128)
ONES = torch.ones(2, dtype=torch.float64)

CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    'output': (
        lambda: loose.gradients(3, [X]),
        r'the output is 3 of type int, and gradients are taken of nodes',
    ),
    'node': (lambda: loose.gradients(X, [3]), r'the node to differentiate by is 3 of type int'),
    'no list': (
        lambda: loose.jacobians(X, X),
        r"jacobians takes a list .* got node 'x': write jacobians\(y, \[x\]\)",
    ),
    'a number': (lambda: loose.hessians(X, 3), r'hessians takes a list of nodes .* got 3 of type int'),
    'unconnected': (
        lambda: loose.gradients(X, [X], unconnected='foo'),
        r"unconnected, of gradients, is .* got 'foo'",
    ),
    'mode': (
        lambda: loose.jacobians(X, [X], mode='foo'),
        r"mode is 'forward', 'reverse' or None, and got 'foo'",
    ),
    'cotangents': (
        lambda: loose.gradients([X, X], [X], cotangents=[ONES]),
        r'there are 2 outputs, and cotangents is',
    ),
    'cotangent': (
        lambda: loose.gradients(X, [X], cotangents='a'),
        r"the cotangent of 'x' is 'a' of type str, and must",
    ),
    'shape': (
        lambda: loose.gradients(X, [X], cotangents=torch.ones(3)),
        r'is float32\[3\].*give it the same shape',
    ),
    'dtype': (
        lambda: loose.gradients(X, [X], cotangents=torch.ones(2)),
        r'convert it with \.to\(torch\.float64\)',
    ),
    'tangents': (lambda: loose.hessian_products(X, [X], [ONES, ONES]), r'there are 1 nodes and 2 tangents'),
    'connection': (
        lambda: loose.explain_connection(3, X),
        r'explain_connection takes two nodes, and got 3 of type int',
    ),
    'complex': (
        lambda: loose.hessians(loose.sum(abs(Z)), [Z]),
        r"'z' is complex128\[2\], .*torch\.complex\(a, b\).*twice",
    ),
    'complex function': (
        lambda: loose.hessian(lambda z: (z * z).real.sum())(torch.ones(2, dtype=torch.complex128)),
        r"'z' is complex128\[2\], and there is no Hessian by complex numbers.*torch\.complex\(a, b\)",
    ),
    'series': (
        lambda: loose.jet(torch.sin, (ONES,), (ONES,)),
        r'series\[0\] is a tuple of the coefficients .*\(x1,\)',
    ),
    'order': (
        lambda: loose.derivative(torch.sin, 'x'),
        r"order, of derivative, is a whole number .* got 'x' of type str",
    ),
}


@pytest.mark.parametrize('name', CALLS)
def test_the_message_names_the_argument_and_the_line(name: str) -> None:
    call, message = CALLS[name]
    with pytest.raises(ad.AdjointError, match=rf'(?s){message}.*test_misuse\.py", line'):
        call()


def test_the_way_out_of_a_complex_hessian_is_one() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])

    def f(z: Any) -> Any:
        return (z * z * z).real.sum()

    (aa, ab), (_, bb) = ad.hessian(lambda a, b: f(torch.complex(a, b)), (0, 1))(a, b)
    # the second derivative of z**3 is 6 z; that of a holomorphic function turns with each i
    torch.testing.assert_close(aa, torch.diag(6 * a))
    torch.testing.assert_close(ab, torch.diag(-6 * b))
    torch.testing.assert_close(bb, torch.diag(-6 * a))
    twice = ad.jacobian(ad.jacobian(lambda z: z**3, holomorphic=True), holomorphic=True)
    z = torch.complex(a, b)
    torch.testing.assert_close(twice(z).sum((1, 2)), 6 * z)
