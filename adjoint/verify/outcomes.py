"""How a claim is put on record: tolerances, findings, and what happens when a rule raises."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch

from adjoint.verify.compare import Comparison
from adjoint.verify.maps import Map
from adjoint.verify.report import Finding

__all__ = ['TOLERANCES', 'Tolerances', 'found', 'guarded', 'raised', 'recorded', 'skipped']

TOLERANCES: Mapping[str, float] = MappingProxyType({
    'value': 1e-12,
    'gradient': 1e-12,
    'gradient, again': 1e-12,
    'partials': 1e-12,
    'agreement': 1e-12,
    'jvp': 1e-8,
    'precision': 16.0,  # in units of the machine epsilon of the dtype
})  # fmt: skip
"""The largest differences, relative to the size of what is compared, in double precision."""

_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Tolerances by claim.

    Parameters
    ----------
    changed : mapping of str to float
        What differs from :data:`TOLERANCES`.
    """

    changed: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        unknown = sorted(set(self.changed) - set(TOLERANCES))
        if unknown:
            msg = f'there is no tolerance for {", ".join(unknown)}: choose among {", ".join(TOLERANCES)}'
            raise ValueError(msg)

    def __getitem__(self, claim: str) -> float:
        return self.changed.get(claim, TOLERANCES[claim])

    def at(self, claim: str, eps: float) -> float:
        """Return the tolerance for values of a machine epsilon; that of differences grows slower."""
        coarser = eps / _EPS
        return self[claim] * (coarser**0.5 if claim == 'jvp' else coarser)


def _named(claim: str, of: Map) -> str:
    return claim if of.order == 1 else f'{claim} of order {of.order}'


def found(
    claim: str,
    of: Map,
    comparison: Comparison,
    tolerance: float,
    subject: str = '',
    hint: str = '',
    *,
    unreliable: bool = False,
) -> Finding:
    """Return the finding of a comparison."""
    name, where, kind = _named(claim, of), of.where, of.kind
    if comparison.ok:
        return Finding(name, 'holds', where, kind, subject, error=comparison.error, tolerance=tolerance)
    return Finding(
        name,
        'unreliable' if unreliable else 'fails',
        where,
        kind,
        subject,
        comparison.entry,
        comparison.expected,
        comparison.got,
        comparison.difference,
        comparison.error,
        tolerance,
        hint,
    )


def recorded(
    claim: str, of: Map, ok: bool, subject: str = '', expected: str = '', got: str = '', hint: str = ''
) -> Finding:
    """Return the finding of something that holds or does not."""
    outcome = 'holds' if ok else 'fails'
    return Finding(_named(claim, of), outcome, of.where, of.kind, subject, None, expected, got, hint=hint)


def skipped(claim: str, of: Map, reason: str) -> Finding:
    """Return the finding of a claim that has no witness."""
    return Finding(_named(claim, of), 'skipped', of.where, of.kind, got=reason)


def guarded(claim: str, of: Map, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a claim; an exception on the way is one that fails."""
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001 a rule of a user may raise anything
        yield recorded(claim, of, False, expected='no error', got=raised(error))


def raised(error: BaseException) -> str:
    """Return an error as text, with its notes."""
    return '\n'.join([f'{type(error).__name__}: {error}', *getattr(error, '__notes__', ())])
