"""ATen: Fourier transforms."""

from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS']

BUILDERS: Builders = {}
