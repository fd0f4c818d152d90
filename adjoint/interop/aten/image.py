"""ATen: convolutions, pooling, resampling and padding."""

from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS']

BUILDERS: Builders = {}
