"""The kinds of ops, in one place for whoever writes an op: each asks for one fact of the derivative."""

from adjoint.ops.contraction import Multilinear
from adjoint.ops.creation import Creation
from adjoint.ops.elementwise import Binary, Elementwise, Partial, Step, Unary
from adjoint.ops.linear import Linear
from adjoint.ops.normalise import Fused
from adjoint.ops.reduction import Reduction

__all__ = [
    'Binary', 'Creation', 'Elementwise', 'Fused', 'Linear', 'Multilinear', 'Partial', 'Reduction', 'Step',
    'Unary',
]  # fmt: skip
