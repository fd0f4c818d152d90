"""The kinds of ops, then the ops by what they do. Each states one fact of its derivative."""

from collections.abc import Mapping
from types import MappingProxyType

from adjoint.core.op import Op
from adjoint.ops import (
    activation,
    arithmetic,
    attention,
    complex_parts,
    contraction,
    convolution,
    creation,
    cumulative,
    determinant,
    distance,
    elimination,
    embedding,
    exponential,
    factorisation,
    index,
    linalg,
    linear,
    logic,
    loss,
    matrix,
    normalise,
    ordering,
    padding,
    pooling,
    random,
    reduction,
    resampling,
    scatter,
    select,
    shape,
    special,
    spectral,
    step,
    torch_names,
    trigonometric,
    window,
)

__all__ = ['FAMILIES', 'registry']

# The modules that hold ops, in the order of the documentation.
FAMILIES = (
    arithmetic, exponential, trigonometric, special, complex_parts, activation, step, logic, select,
    reduction, cumulative, ordering, contraction, convolution, pooling, resampling, padding, normalise,
    attention, loss, embedding, matrix, linalg, determinant, factorisation, elimination, distance, spectral, random, shape, window, index,
    scatter, linear, creation, torch_names,
)  # fmt: skip

_registry: Mapping[str, Op] = MappingProxyType(
    {
        value.name: value
        for family in FAMILIES
        for value in vars(family).values()
        if isinstance(value, Op) and type(value).__module__ == family.__name__
    }
)

torch_names.connect(_registry)


def registry() -> Mapping[str, Op]:
    """Return every op of the package, by its public name.

    Examples
    --------
    >>> registry()['sin'].formula
    'sin(x)'
    """
    return _registry
