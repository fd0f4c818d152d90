"""Claims about single points: declared conventions, and arguments that must be refused."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch

from adjoint.autodiff.gradients import gradients
from adjoint.execute.evaluator import Evaluator
from adjoint.verify.battery import Plan
from adjoint.verify.compare import compare
from adjoint.verify.maps import Map
from adjoint.verify.outcomes import found, guarded, raised, recorded
from adjoint.verify.report import Finding
from adjoint.verify.samples import Arguments, Kind, Sample

__all__ = ['check_convention', 'check_refusal']


def check_convention(plan: Plan, given: Sample, expected: Any) -> Iterator[Finding]:
    """Yield whether the gradient of the sum of the entries is exactly what is declared."""
    wanted = cast('Sequence[Any]', expected) if isinstance(expected, (tuple, list)) else [expected]
    arguments = Arguments(given, wide=False)
    for kind in plan.kinds:
        where = f'{given} = {_values(arguments)}'
        start = Map((), (), (), (), where, kind)

        def check(kind: Any = kind, where: str = where) -> Iterator[Finding]:
            of = plan.map_of(given, arguments, kind, where)
            grads = Evaluator(gradients(of.outputs[0], [of.inputs[i] for i in of.moving])).run(of.feed())
            for i, got, value in zip(of.moving, grads, wanted, strict=True):
                declared = torch.zeros_like(got) if value is None else torch.as_tensor(value).to(got)
                comparison = compare(got, declared.expand_as(of.values[i]), 0.0)
                yield found('conventions', of, comparison, 0.0, of.named(i))

        yield from guarded('conventions', start, check)


def check_refusal(plan: Plan, given: Sample, wanted: type[Exception], pattern: str) -> Iterator[Finding]:
    """Yield whether building or running fails, where types are known with this error and message."""
    arguments = Arguments(given, wide=False)
    kinds: tuple[Kind, ...] = ('untyped', 'typed')
    for kind in kinds:
        start = Map((), (), (), (), str(given), kind)
        expected = f'{wanted.__name__} with a message that matches {pattern!r}'
        try:
            of = plan.map_of(given, arguments, kind, start.where)
            (value,) = Evaluator(of.outputs).run(of.feed())
        except Exception as error:  # noqa: BLE001 whichever it is, its message is compared
            text = raised(error)
            # Without types the failure is torch's own, in its words.
            matches = isinstance(error, wanted) and re.search(pattern, text) is not None
            ok = kind == 'untyped' or matches
            yield recorded('refusal', start, ok, '', expected, text)
        else:
            yield recorded('refusal', start, False, '', expected, f'the value {value}')


def _values(arguments: Arguments) -> str:
    texts: list[object] = [v.tolist() for v in arguments.values]
    return ', '.join(map(str, texts))
