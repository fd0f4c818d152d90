"""What transforms say of wrong arguments, and what failures, nesting and other threads leave behind."""

import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import adjoint as ad
from adjoint.core.source import ambient_site

X = torch.tensor([1.0, 2.0])
ANY: Any = ad

MISUSES: dict[str, tuple[Callable[[], Any], str]] = {
    'no function': (lambda: ad.grad(ANY), 'a function is differentiated'),
    'argnums by name': (lambda: ANY.grad(torch.sum, 'x'), "argnums is the position .* got 'x'"),
    'argnums that are truth values': (lambda: ad.jacobian(torch.sin, True), 'argnums is the position'),
    'argnums beyond': (lambda: ad.hessian(torch.sum, 3)(X), 'none at argnum 3'),
    'only keywords': (lambda: ad.grad(lambda x: x.sum())(x=X), '0 positional arguments'),
    'an integer': (lambda: ad.grad(torch.sum)(torch.tensor(3)), 'which has no derivative'),
    'no scalar': (lambda: ad.grad(torch.sin)(X), 'must return a scalar'),
    'nothing returned': (lambda: ad.grad(lambda x: None)(X), 'must return one scalar'),
    'no pair': (lambda: ad.grad(torch.sum, has_aux=True)(X), 'must return .value, auxiliary.'),
    'a string returned': (lambda: ad.jacobian(lambda x: 'x')(X), 'must return tensors'),
    'a tangent of another shape': (lambda: ad.jvp(torch.sin, (X,), (torch.ones(3),)), 'same shape'),
    'a tangent of another dtype': (lambda: ad.hvp(torch.sum, (X,), (X.double(),)), 'convert it'),
    'no tangent': (lambda: ad.jvp(torch.sin, (X,), ()), '1 primals and 0 tangents'),
    'primals alone': (lambda: ad.jvp(torch.sin, (X,)), 'primals and tangents, or neither'),
    'a cotangent of another shape': (lambda: ad.vjp(torch.sin, X)[1](torch.ones(3)), 'same shape'),
    'a cotangent too many': (lambda: ad.vjp(torch.sin, X)[1](X, X), 'takes the structure'),
    'batches of two sizes': (lambda: ad.vmap(torch.add)(X, torch.ones(3)), 'different numbers of examples'),
    'no batch': (lambda: ad.vmap(torch.sin, in_axes=None)(X), 'no argument'),
    'no such axis': (lambda: ad.vmap(torch.sin, in_axes=3)(X), 'no axis 3'),
    'unknown randomness': (lambda: ANY.vmap(torch.sin, randomness='some'), 'randomness is one of'),
    'unknown mode': (lambda: ANY.jacobian(torch.sin, mode='both')(X), 'mode is'),
    'what cannot be hashed': (lambda: ad.grad(lambda x, _: x.sum())(X, {1}), 'neither a tensor nor hashable'),
    'a bound that is no number': (lambda: ANY.clip_gradient(X, 'x'), 'takes real numbers'),
}  # fmt: skip


@pytest.mark.parametrize('name', MISUSES)
def test_misuse_is_said_with_the_line(name: str):
    wrong, message = MISUSES[name]
    with pytest.raises(ad.AdjointError, match=message) as caught:
        wrong()
    assert str(caught.value).count('test_misuse.py') == 1


def test_an_exception_in_the_function_leaves_nothing_behind():
    def fails(*_: Any) -> Any:
        raise KeyError('no')

    calls: list[Callable[[], Any]] = [
        lambda: ad.grad(fails)(X),
        lambda: ad.vmap(fails)(X),
        lambda: ad.checkpoint(fails)(X),
        lambda: ad.cond(torch.tensor(True), fails, fails, X),
        lambda: ad.scan(fails, X, X),
        lambda: ad.grad(lambda x: ad.vmap(ad.hessian(fails))(x).sum())(X),
    ]
    for call in calls:
        with pytest.raises(KeyError):
            call()
        assert ambient_site() is None
    torch.testing.assert_close(ad.grad(lambda x: (x * x).sum())(X), 2 * X)


# Each is x * d/dy (x + y), which is x, or x * d/dy (x * y), which is x**2: who confounds the two
# perturbations gets 2 and 4x.
def _by_jvp(f: Callable[[Any], Any], x: Any) -> Any:
    return ad.jvp(f, (x,), (ad.ones_like(x) if isinstance(x, ad.Node) else torch.ones_like(x),))[1]


DERIVATIVES: dict[str, Callable[[Callable[[Any], Any], Any], Any]] = {
    'grad': lambda f, x: ad.grad(f)(x),
    'jvp': _by_jvp,
    'vjp': lambda f, x: ad.vjp(f, x)[1](1.0)[0],
    'linearize': lambda f, x: ad.linearize(f, x)[1](1.0),
    'jacfwd': lambda f, x: ad.jacfwd(f)(x),
    'derivative': lambda f, x: ad.derivative(f)(x),
    'vmap of grad': lambda f, x: ad.vmap(ad.grad(f))(ad.ones_like(x).reshape(1) * x).sum(),
}


@pytest.mark.parametrize('inner', DERIVATIVES)
@pytest.mark.parametrize('outer', [name for name in DERIVATIVES if name != 'vmap of grad'])
def test_perturbations_are_not_confounded(outer: str, inner: str):
    over, under = DERIVATIVES[outer], DERIVATIVES[inner]
    x = torch.tensor(3.0)
    assert over(lambda x: x * under(lambda y: x + y, torch.tensor(1.0)), x).item() == 1
    assert over(lambda x: x * under(lambda y: x * y, x), x).item() == 6
    assert over(lambda x: under(lambda y: x**2 * y**3, x), x).item() == 3 * 4 * 27


def test_threads_share_transforms():
    gradient = ad.grad(lambda x: torch.sin(x * x).sum())
    examples = ad.vmap(gradient)
    counts = ad.vmap(lambda x: torch.histc(x, 4, 0, 1))
    failures: list[BaseException] = []

    def work(own: int) -> None:
        try:
            for k in range(15):
                x = torch.rand((own * 7 + k) % 5 + 1, 2)
                torch.testing.assert_close(examples(x), torch.cos(x * x) * 2 * x)
                torch.testing.assert_close(gradient(x[0]), torch.cos(x[0] ** 2) * 2 * x[0])
                assert counts(x).sum() == x.numel()
        except BaseException as error:  # noqa: BLE001 the thread would keep it to itself
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_maps_leave_the_warnings_of_the_process_alone(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError('filters of warnings belong to the process')

    monkeypatch.setattr(warnings, 'catch_warnings', refuse)
    counted = ad.vmap(lambda x: torch.histc(x, 2, 0, 1))
    twice = ad.vmap(counted)
    wanted = torch.tensor([[[1.0, 1.0], [2.0, 0.0]]])
    assert torch.equal(twice(torch.tensor([[[0.1, 0.9], [0.2, 0.3]]])), wanted)


def test_a_sequence_for_all_is_searched_at_once():
    positions = ad.vmap(lambda x: torch.searchsorted(torch.tensor([0.0, 1.0, 2.0]), x))
    xs = torch.tensor([[0.5, 3.0], [-1.0, 1.5]])
    assert torch.equal(positions(xs), torch.tensor([[1, 3], [0, 2]]))
    assert positions.graph(xs).outputs.op.name == 'searchsorted'


def test_second_derivatives_between_scalars_that_are_not_connected_are_zero():
    ((xx, xy), (yx, yy)) = ad.hessian(lambda x, y: x * y * y, (0, 1))(torch.tensor(2.0), torch.tensor(3.0))
    assert (xx.item(), xy.item(), yx.item(), yy.item()) == (0, 6, 6, 4)
