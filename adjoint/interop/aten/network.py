"""ATen: activations, losses, normalisation, attention, embedding."""

from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS', 'MUTATIONS']

BUILDERS: Builders = {}

MUTATIONS: Builders = {}
