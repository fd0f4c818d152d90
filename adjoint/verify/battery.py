"""The order of the claims: what is checked of one sample, lazily, so that a caller may stop early."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from adjoint.core.errors import AdjointError, TensorTypeError
from adjoint.core.node import Node
from adjoint.verify import claims
from adjoint.verify.blame import single_op
from adjoint.verify.claims import Witness
from adjoint.verify.maps import Derivatives, Map
from adjoint.verify.outcomes import Tolerances, guarded, raised, recorded, skipped
from adjoint.verify.references import formula_value
from adjoint.verify.report import Finding
from adjoint.verify.samples import KINDS, Arguments, Kind, Sample, has_derivative

__all__ = ['Plan', 'check_map', 'check_sample']


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of a check.

    Parameters
    ----------
    build : callable
        From the arguments of a sample, with nodes for tensors, to a node.
    reference : callable, optional
        From the same arguments, with tensors, to the value.
    differentiate : sequence of int, optional
        Which tensors of a sample are differentiated by.
    order : int
        1, or 2 for the claims on the gradient graph too, and so on.
    tolerances : Tolerances
        What differences are allowed.
    kinds : sequence of Kind
        Of the variables that are tried.
    seed : int
        Of the random tangents and cotangents.
    """

    build: Callable[..., Any]
    reference: Callable[..., Any] | None = None
    differentiate: Sequence[int] | None = None
    order: int = 2
    tolerances: Tolerances = field(default_factory=Tolerances)
    kinds: Sequence[Kind] = KINDS
    seed: int = 0

    def map_of(self, given: Sample, arguments: Arguments, kind: Kind, where: str) -> Map:
        """Build the graph of a sample with variables of a kind.

        Raises
        ------
        TensorTypeError
            What was built is no node, or a position is not that of a tensor that can be differentiated.
        """
        variables = arguments.variables(kind)
        output = arguments.call(self.build, variables)
        if not isinstance(output, Node):
            came = type(output).__name__
            msg = f'what is checked must return a node, and returned a {came}: {output!r}'
            raise TensorTypeError(msg)
        able = [i for i, v in enumerate(arguments.values) if has_derivative(v)]
        wanted = able if self.differentiate is None else [*self.differentiate]
        strange = [i for i in wanted if i not in able]
        if strange:
            msg = f'differentiate={wanted}, and the floating and complex tensors of {given} are {able}'
            raise TensorTypeError(msg)
        return Map(
            tuple(variables), tuple(arguments.values), (output,), tuple(wanted), where, kind, given.smooth
        )


def check_sample(plan: Plan, given: Sample, label: str) -> Iterator[Finding]:
    """Yield the findings of all claims on a sample, the quickest first."""
    wide = Arguments(given, wide=True)
    label = f'{label} {given}'
    first: Derivatives | None = None
    for kind in plan.kinds:
        where = label if wide.is_wide else f'{label} in double precision'
        start = Map((), (), (), (), where, kind)
        try:
            of = plan.map_of(given, wide, kind, where)
        except Exception as error:  # noqa: BLE001 what the user builds may raise anything
            yield _not_built(start, error)
            continue
        derivatives = Derivatives(of, plan.seed)
        sound = yield from check_map(
            derivatives, plan.tolerances, plan.order, lambda of=of: _witness(plan, wide, of)
        )
        if sound and first is not None:
            yield from _against_first(derivatives, first, plan.tolerances)
        first = derivatives if sound and first is None else first
    if not wide.is_wide and first is not None:
        yield from _check_own_dtype(plan, given, label, first)


def _not_built(of: Map, error: Exception) -> Finding:
    """Sizes may be needed as numbers, which makes typed variables the only ones that do."""
    if of.kind != 'typed' and isinstance(error, AdjointError):
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return skipped('build', of, f'{of.kind}: {reason}')
    return recorded('build', of, False, expected='a node', got=raised(error))


def _witness(plan: Plan, arguments: Arguments, of: Map) -> Witness:
    """Return what the value should be, or why nothing says so."""
    if plan.reference is not None:
        expected = arguments.call(plan.reference, arguments.values)
        if not isinstance(expected, torch.Tensor):
            expected = torch.as_tensor(expected)
        return expected, torch.ones_like(expected, dtype=torch.bool)
    node = single_op(of)
    if node is not None:
        values = Derivatives(of).run(node.inputs, of.feed())
        by_formula = formula_value(node, values)
        if by_formula is not None:
            return by_formula
    return 'no reference is given, and there is no formula'


def check_map(
    d: Derivatives, tolerances: Tolerances, order: int, witness: Callable[[], Witness] | None = None
) -> Generator[Finding, None, bool]:
    """Yield the findings of the claims on a map, and on its gradients up to an order.

    Returns
    -------
    bool
        Whether the rules return what they owe; if not, the other claims were left out.
    """
    of = d.map
    failed = list(guarded('run', of, lambda: _run(d)))
    if failed:
        yield from failed
        return False
    yield from guarded('type', of, lambda: claims.types(d, d.of_outputs()))
    if witness is not None:
        yield from guarded('value', of, lambda: claims.value(d, tolerances, witness()))
    sound = True
    for finding in guarded('structure', of, lambda: claims.structure(d)):
        sound = sound and finding.ok
        yield finding
    if not sound:
        return False  # what follows would say the same, less clearly
    yield from guarded('gradient, again', of, lambda: claims.again(d, tolerances))
    yield from guarded('gradient', of, lambda: claims.gradient(d, tolerances))
    yield from guarded('partials', of, lambda: claims.partials(d, tolerances))
    yield from guarded('type', of, lambda: claims.types(d, d.of_derivatives()))
    if of.kind != 'named':
        # The numbers are those of the typed graph, which has been compared with differences.
        yield from guarded('jvp', of, lambda: claims.jvp(d, tolerances))
    if order > of.order:
        yield from guarded('gradient of order 2', of, lambda: _next_order(d, tolerances, order))
    return True


def _run(d: Derivatives) -> Iterator[Finding]:
    """Compute the outputs, for the error where that fails."""
    d.outputs  # noqa: B018 computed here
    return iter(())


def _next_order(d: Derivatives, tolerances: Tolerances, order: int) -> Iterator[Finding]:
    following = d.next_order
    if following is not None:
        # Not the same random numbers again: a symmetric accident would hide a mistake.
        yield from check_map(Derivatives(following, d.seed + 2), tolerances, order)


def _against_first(d: Derivatives, first: Derivatives, tolerances: Tolerances) -> Iterator[Finding]:
    yield from guarded('agreement', d.map, lambda: claims.agreement(d, tolerances, first))


def _check_own_dtype(plan: Plan, given: Sample, label: str, wide: Derivatives) -> Iterator[Finding]:
    """Check a sample in its own dtype, where rounding leaves fewer claims."""
    arguments = Arguments(given, wide=False)
    for kind in plan.kinds:
        start = Map((), (), (), (), label, kind)
        try:
            own = Derivatives(plan.map_of(given, arguments, kind, label), plan.seed)
            own.pulled_values  # noqa: B018 computed here, for its errors
        except NotImplementedError as error:
            yield skipped('precision', start, f'torch: {next(iter(str(error).splitlines()), "")}')
            continue
        except Exception as error:  # noqa: BLE001 rules of users
            yield _not_built(start, error)
            continue
        yield from guarded('structure', own.map, lambda own=own: claims.structure(own))
        yield from guarded('type', own.map, lambda own=own: claims.types(own, own.of_derivatives()))
        yield from guarded('precision', own.map, lambda own=own: claims.precision(own, wide, plan.tolerances))
