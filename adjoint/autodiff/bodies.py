"""Derivatives of bodies as bodies: what the rules of ops that hold a graph are made of."""

from collections.abc import Sequence

from adjoint.autodiff.forward import pushforward
from adjoint.autodiff.reverse import cotangents
from adjoint.core.node import Node
from adjoint.ops.body import Body, variable_like

__all__ = ['pulled_back', 'pushed_forward']


def pulled_back(body: Body, wanted: Sequence[int], flowing: Sequence[int]) -> tuple[Body, tuple[int, ...]]:
    """Return the pullback of a body.

    Parameters
    ----------
    body : Body
        What is pulled back through.
    wanted : sequence of int
        Positions of the inputs whose cotangents are wanted.
    flowing : sequence of int
        Positions of the outputs that have cotangents.

    Returns
    -------
    body : Body
        Its inputs are those of the given one, then one cotangent for each flowing output; its outputs are
        the cotangents of the wanted inputs that something flows to.
    reached : tuple of int
        The positions of those inputs.
    """
    cts = [variable_like(body.outputs[i], f'ct{i}') for i in flowing]
    seeds: dict[Node, Node] = {}
    for i, ct in zip(flowing, cts, strict=True):
        y = body.outputs[i]
        seeds[y] = seeds[y] + ct if y in seeds else ct
    found = cotangents(seeds, [body.inputs[i] for i in wanted])
    reached = tuple(i for i, ct in zip(wanted, found, strict=True) if ct is not None)
    return Body([*body.inputs, *cts], [ct for ct in found if ct is not None]), reached


def pushed_forward(body: Body, moving: Sequence[int]) -> tuple[Body, tuple[int, ...]]:
    """Return the pushforward of a body.

    Parameters
    ----------
    body : Body
        What is pushed through.
    moving : sequence of int
        Positions of the inputs that have tangents.

    Returns
    -------
    body : Body
        Its inputs are those of the given one, then one tangent for each moving input; its outputs are the
        tangents of the outputs that something flows to.
    reached : tuple of int
        The positions of those outputs.
    """
    ts = [variable_like(body.inputs[i], f't{i}') for i in moving]
    found = pushforward(body.outputs, {body.inputs[i]: t for i, t in zip(moving, ts, strict=True)})
    reached = tuple(i for i, t in enumerate(found) if t is not None)
    return Body([*body.inputs, *ts], [t for t in found if t is not None]), reached
