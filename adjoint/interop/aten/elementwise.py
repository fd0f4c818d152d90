"""ATen: what works entry by entry."""

from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS']

BUILDERS: Builders = {}
