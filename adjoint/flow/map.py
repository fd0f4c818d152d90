"""The map: a body applied to each example of a batch. It batches the ops that have no rule of their own."""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from adjoint.autodiff.batching.rules import hand_over_map
from adjoint.autodiff.batching.walk import batched
from adjoint.autodiff.bodies import pulled_back, pushed_forward
from adjoint.core.errors import ShapeError
from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.core.tensor_type import TensorType
from adjoint.flow.holder import Holder
from adjoint.flow.stepping import Stepping
from adjoint.ops.batch import spread
from adjoint.ops.body import Body, variable_like
from adjoint.ops.reduction import sum_
from adjoint.ops.several import items, packed, slots

__all__ = ['Map', 'mapped']


class Map(Holder):
    """A body applied to each example of a batch, the results stacked.

    ``attrs['body']`` is on one example; ``attrs['batches']`` tells which operands are batches, along their
    first axis; the others are the same for every example. It runs vectorised where torch can, and example
    by example elsewhere: where ``attrs['vectorises']`` says so, without a try.
    """

    def compute(self, node: Node, input_values: list[torch.Tensor]) -> Any:
        """Return the results for the examples, stacked; a tuple where there are several outputs."""
        body: Body = node.attrs['body']
        batches: tuple[bool, ...] = node.attrs['batches']
        given = [v for v, is_batch in zip(input_values, batches, strict=True) if is_batch]
        sizes = sorted({v.shape[0] for v in given})
        if len(sizes) > 1:
            msg = f'the batches have different sizes, {sizes}: they hold one example each at a time'
            raise ShapeError(f'{msg}\n{node.location}')
        tried = sizes[0] and node.attrs['vectorises']
        found = _vectorised(body, batches, input_values) if tried else None
        if found is None:
            found = _one_by_one(node, body, batches, input_values, sizes[0])
        return self.valued(node, found)

    def infer(self, node: Node, input_types: Sequence[TensorType]) -> TensorType | None:
        """Return the type of the body's results with one more axis in front."""
        batches: tuple[bool, ...] = node.attrs['batches']
        size = None
        for t, is_batch in zip(input_types, batches, strict=True):
            if is_batch and t.shape:
                size = t.shape[0] if size is None else size
        return self.typed(node, [_of_batch(y.type, size) for y in node.attrs['body'].outputs])

    def gradient(self, node: Node, output_grad: Node) -> list[Node | None]:
        """Return the pullback of the body, batched; what is the same for all gets the sum."""
        body: Body = node.attrs['body']
        cts = [output_grad] if self.outputs == 1 else slots(output_grad)
        flowing = [i for i, ct in enumerate(cts) if ct is not None]
        wanted = [i for i, x in enumerate(body.inputs) if x.type is None or x.type.is_differentiable]
        pulled, reached = pulled_back(body, wanted, flowing)
        own = [ct for ct in cts if ct is not None]
        found = _inlined(node, pulled, own)
        totals: list[Node | None] = [None] * len(node.inputs)
        for i, ct in zip(reached, found, strict=True):
            totals[i] = ct if node.attrs['batches'][i] else sum_(ct, 0)
        return totals

    def jvp(self, node: Node, input_tangents: Sequence[Node | None]) -> Node | None:
        """Return the pushforward of the body, batched."""
        moving = [i for i, t in enumerate(input_tangents) if t is not None]
        pushed, reached = pushed_forward(node.attrs['body'], moving)
        is_batch = [node.attrs['batches'][i] for i in moving]
        found = _inlined(node, pushed, [t for t in input_tangents if t is not None], is_batch)
        tangents: list[Node | None] = [None] * self.outputs
        for i, t in zip(reached, found, strict=True):
            tangents[i] = t
        if not reached:
            return None
        return tangents[0] if self.outputs == 1 else packed(tangents)

    def restricted(self, node: Node, used: Collection[int]) -> Node:
        """Return a node that computes only some of the outputs."""
        body: Body = node.attrs['body']
        places = sorted(used)
        own = Body(body.inputs, [body.outputs[i] for i in places])
        return Node(node.inputs, self, {**node.attrs, 'body': own, 'places': tuple(places)})

    def describe(self, node: Node, operands: Sequence[str]) -> str:
        """Return ``map(cholesky)(a)``."""
        names = dict.fromkeys(
            y.op.name if y.op.name != 'item' else y.inputs[0].op.name for y in _outputs(node)
        )
        return f'map({", ".join(names)})({", ".join(operands)})'


def _outputs(node: Node) -> tuple[Node, ...]:
    body: Body = node.attrs['body']
    return body.outputs


def _of_batch(known: TensorType | None, size: int | str | None) -> TensorType | None:
    if known is None or known.shape is None:
        return known
    return known._replace(shape=(size, *known.shape))


def _inlined(
    node: Node, body: Body, further: Sequence[Node], is_batch: Sequence[bool] | None = None
) -> list[Node]:
    """Write a derivative of the body out for the batch; its further inputs are batches unless said."""
    flags = [*node.attrs['batches'], *([True] * len(further) if is_batch is None else is_batch)]
    triples = list(zip(body.inputs, (*node.inputs, *further), flags, strict=True))
    written = body.inline([x if flag else operand for x, operand, flag in triples])
    batches = {x: operand for x, operand, flag in triples if flag}
    found = batched(written, batches, randomness='same')  # one seed, one draw
    like = next(iter(batches.values()))
    return [spread(y, like) if b is None else b for y, b in zip(written, found, strict=True)]


def _vectorises(node: Node) -> bool:
    """Whether torch may have kernels for a batch of everything that a node runs, in its bodies too."""
    reached = [node]
    for own in reached:  # grows on the way
        if not own.op.vectorises:
            return False
        for value in own.attrs.values():
            several: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)  # pyright: ignore[reportUnknownVariableType] of anything
            for held in several:
                if isinstance(held, Body):
                    reached += topological_sort(held.outputs)
    return True


def _vectorised(
    body: Body, batches: Sequence[bool], values: Sequence[torch.Tensor]
) -> list[torch.Tensor] | None:
    """Run the body on the whole batch; None where torch cannot."""

    def run(*examples: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(body.run(examples))

    try:
        found = torch.func.vmap(run, tuple(0 if b else None for b in batches))(*values)
    except (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError):
        # Whatever is wrong with the operands themselves is wrong with one example too.
        return None
    # Some of torch's own rules are not those of the op: index_select with a position without axes.
    fits = all(_fits(r, y) for r, y in zip(found, body.outputs, strict=True))
    return list(found) if fits else None


def _fits(batch: torch.Tensor, y: Node) -> bool:
    known = None if y.type is None else y.type.shape
    if known is None:
        return True
    sizes = zip(known, batch.shape[1:], strict=False)
    return len(known) == batch.ndim - 1 and all(s == n for s, n in sizes if isinstance(s, int))


def _one_by_one(
    node: Node, body: Body, batches: Sequence[bool], values: Sequence[torch.Tensor], size: int
) -> list[torch.Tensor]:
    step = Stepping(body)
    runs = [
        step([v[i] if is_batch else v for v, is_batch in zip(values, batches, strict=True)])
        for i in range(size)
    ]
    if not runs:
        return _of_none(body, batches, values)
    found: list[torch.Tensor] = []
    for results in zip(*runs, strict=True):
        shapes = sorted({tuple(r.shape) for r in results})
        if len(shapes) > 1:
            listed = ', '.join(map(str, shapes[:4]))
            msg = (
                f"'{node}' gives results of different shapes for the examples of the batch, which no tensor "
                f'holds: {listed}. Run it example by example, or write it with masks\n{node.location}'
            )
            raise ShapeError(msg)
        found.append(torch.stack(list(results)))
    return found


def _of_none(body: Body, batches: Sequence[bool], values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the results for no examples: of the types that are known, or those of an example made up."""
    device = values[batches.index(True)].device
    types = [y.type for y in body.outputs]
    if all(t is not None and t.is_static for t in types):
        sizes = [(0, *(s for s in t.shape or () if isinstance(s, int))) for t in types if t is not None]
        dtypes = [t.dtype for t in types if t is not None]
        return [torch.empty(size, dtype=d, device=device) for size, d in zip(sizes, dtypes, strict=True)]
    results = body.run([v.new_ones(v.shape[1:]) if b else v for v, b in zip(values, batches, strict=True)])
    return [r.new_empty((0, *r.shape)) for r in results]


def mapped(node: Node, batches: Sequence[Node | None]) -> Node:
    """Return a node on a batch as a map of its op."""
    inputs = [variable_like(x, x.given_name) for x in node.inputs]
    inner = Node.restored(inputs, node.op, dict(node.attrs), '', node.site, node.type)
    count = node.op.outputs
    body = Body(inputs, [inner] if count == 1 else items(inner))
    operands = [x if b is None else b for x, b in zip(node.inputs, batches, strict=True)]
    attrs = {
        'body': body,
        'batches': tuple(b is not None for b in batches),
        'vectorises': _vectorises(inner),
    }
    return Node(operands, Map(count), attrs)


hand_over_map(mapped)
