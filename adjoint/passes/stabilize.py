"""Stabilising rewrites: the same value without overflow, underflow or cancellation."""

from adjoint.passes.rewrite import Family
from adjoint.passes.stable_differences import COMPLEMENTS, DIFFERENCES
from adjoint.passes.stable_gradients import QUOTIENTS
from adjoint.passes.stable_logs import LOGARITHMS

__all__ = ['COMPLEMENT', 'STABILIZE']

STABILIZE = Family(
    'stabilize',
    'Logarithms, exponentials, differences and roots that overflow, underflow or cancel are written as the '
    'functions that do not.',
    (*LOGARITHMS, *DIFFERENCES, *QUOTIENTS),
)

# Not in a graph that is only run: the rules of derivatives say `1 - y * y`, which costs nothing, and is as
# good as the value that it is multiplied with.
COMPLEMENT = Family(
    'complement',
    'Differences from 1 that vanish are written as functions of their own.',
    COMPLEMENTS,
)
