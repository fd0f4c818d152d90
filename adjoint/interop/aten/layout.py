"""ATen: shapes, views, copies and creation."""

from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS', 'WRITE_BACK']

BUILDERS: Builders = {}

WRITE_BACK: Builders = {}
