"""ATen: what neural networks are made of: products, activations, normalisation, attention, losses."""

from adjoint.interop.aten import activations, attention, losses, normalisation, products, recurrent
from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS', 'MUTATIONS']

BUILDERS: Builders = {
    **products.BUILDERS,
    **activations.BUILDERS,
    **normalisation.BUILDERS,
    **attention.BUILDERS,
    **losses.BUILDERS,
    **recurrent.BUILDERS,
}

# The new values of what an overload writes into its arguments, by their names.
MUTATIONS: Builders = {**normalisation.MUTATIONS, **activations.MUTATIONS}
