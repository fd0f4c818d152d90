"""The overloads of ATen, each as what builds it with ops of ours."""

from types import MappingProxyType

from adjoint.interop.aten import (
    creation,
    elementwise,
    image,
    indexing,
    layout,
    linalg,
    network,
    randomness,
    reduction,
    spectral,
    writes,
)
from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS', 'MUTATIONS', 'WRITE_BACK']

BUILDERS: Builders = MappingProxyType(
    {
        **elementwise.BUILDERS,
        **reduction.BUILDERS,
        **linalg.BUILDERS,
        **image.BUILDERS,
        **spectral.BUILDERS,
        **network.BUILDERS,
        **randomness.BUILDERS,
        **indexing.BUILDERS,
        **layout.BUILDERS,
        **creation.BUILDERS,
    }
)

# What an overload writes into its arguments, by their names, beside what it returns.
MUTATIONS: Builders = MappingProxyType(network.MUTATIONS)

# For a view: from the base and the new value of the view to the base with that part replaced.
WRITE_BACK: Builders = MappingProxyType(writes.WRITE_BACK)
