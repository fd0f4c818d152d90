"""The kinds of ops, then the ops by what they do. Each states one fact of its derivative."""

from collections.abc import Mapping
from types import MappingProxyType

from adjoint.core.op import Op
from adjoint.ops import (
    activation,
    arithmetic,
    attention,
    basis,
    batch,
    bessel,
    blend,
    channels,
    complex_parts,
    contraction,
    convolution,
    creation,
    ctc,
    cumulative,
    determinant,
    device,
    diagonal,
    distance,
    elimination,
    embedding,
    exponential,
    factorisation,
    flowing,
    gamma,
    gates,
    index,
    linalg,
    linear,
    logic,
    loss,
    masks,
    matrix,
    max_pooling,
    moments,
    normalise,
    ordering,
    padding,
    pooling,
    random,
    ranges,
    reduction,
    remainder,
    resampling,
    scatter,
    scatter_reduce,
    select,
    shape,
    special,
    spectral,
    step,
    tiling,
    torch_names,
    trigonometric,
    window,
)
from adjoint.ops.dispatch import connect

__all__ = ['FAMILIES', 'registry']

# The modules that hold ops, in the order of the documentation.
FAMILIES = (
    arithmetic, remainder, exponential, trigonometric, special, gamma, bessel, complex_parts, activation,
    gates, step, logic, masks, select, blend, reduction, moments, cumulative, ordering, contraction,
    convolution, pooling, max_pooling, resampling, padding, channels, normalise, attention, loss, ctc,
    embedding, matrix, linalg, determinant, factorisation, elimination, distance, spectral, random, ranges,
    shape, tiling, diagonal, window, index, scatter, scatter_reduce, linear, device, batch, creation, basis,
    flowing, torch_names,
)  # fmt: skip

_registry: Mapping[str, Op] = MappingProxyType(
    {
        value.name: value
        for family in FAMILIES
        for value in vars(family).values()
        if isinstance(value, Op) and type(value).__module__ == family.__name__
    }
)

connect(_registry)


def registry() -> Mapping[str, Op]:
    """Return every op of the package, by its public name.

    Examples
    --------
    >>> registry()['sin'].formula
    'sin(x)'
    """
    return _registry
