"""ATen: reductions and running reductions."""

from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS']

BUILDERS: Builders = {}
