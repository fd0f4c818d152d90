"""ATen: random values."""

from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS']

BUILDERS: Builders = {}
