"""The overloads of ATen, each as what builds it with ops of ours."""

from types import MappingProxyType

from adjoint.interop.aten import (
    elementwise,
    image,
    indexing,
    layout,
    linalg,
    network,
    randomness,
    reduction,
    spectral,
)
from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS']

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
    }
)
