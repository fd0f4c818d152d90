"""What the passes do to a graph, pass by pass, as text."""

from collections.abc import Iterable, Mapping

from adjoint.core.node import Node
from adjoint.core.order import topological_sort
from adjoint.passes.pipeline import Level, Step, optimized
from adjoint.view.naming import labelled
from adjoint.view.text import to_text

__all__ = ['explain_passes']


def explain_passes(
    nodes: Node | Iterable[Node] | Mapping[str, Node],
    level: Level = 'default',
    *,
    keep: Iterable[Node] = (),
    final: bool = False,
    programs: bool = True,
) -> str:
    """Write down what each pass does to a graph: how many nodes it leaves, and the program after it.

    Parameters
    ----------
    nodes : Node, iterable of Node, or mapping of str to Node
        The outputs.
    level, keep, final
        As for :func:`optimize`.
    programs : bool
        Whether to write the program before, and after each pass; otherwise the counts alone.

    Returns
    -------
    str
        Each pass that changed something, with its rewrites.

    Examples
    --------
    >>> import torch, adjoint as ad
    >>> x = ad.Variable('x', shape=(3,), dtype=torch.float64)
    >>> print(explain_passes(ad.log(1 + ad.exp(-(-x)))))
    # as given: 6 nodes
    x: float64[3]
    v1 = -x
    v2 = -v1
    v3 = exp(v2)
    v4 = 1 + v3
    v5 = log(v4)   # output
    <BLANKLINE>
    # stabilize+complement: 6 nodes -> 4, log_of_one_plus_exp
    x: float64[3]
    v1 = -x
    v2 = -v1
    v3 = softplus(v2)   # output
    <BLANKLINE>
    # likes+views+simplify+scales: 4 nodes -> 2, 1 applied
    x: float64[3]
    v1 = softplus(x)   # output
    """
    pairs = labelled(nodes)
    outputs = [node for _, node in pairs]
    parts = [_part(f'as given: {len(topological_sort(outputs))} nodes', nodes, programs=programs)]
    before = outputs
    for step in optimized(outputs, level, keep=keep, final=final).steps:
        after = step.nodes
        if isinstance(nodes, Mapping):
            shown = dict(zip((label for label, _ in pairs), after, strict=True))
        else:
            shown = after[0] if isinstance(nodes, Node) else after
        sizes = f'{len(topological_sort(before))} nodes -> {len(topological_sort(after))}'
        parts.append(_part(f'{step.name}: {sizes}, {_done(step)}', shown, programs=programs))
        before = after
    return ('\n\n' if programs else '\n').join(parts)


def _part(title: str, nodes: Node | Iterable[Node] | Mapping[str, Node], *, programs: bool) -> str:
    return f'# {title}\n{to_text(nodes)}' if programs else f'# {title}'


def _done(step: Step) -> str:
    """Return the rewrites that made nodes, with how often, or how many were applied."""
    names = list(dict.fromkeys(rewrite.name for rewrite in step.made_by.values()))
    if step.applied and not names:
        names.append(f'{step.applied} applied')
    if step.merged:
        names.append(f'{step.merged} merged')
    return ', '.join(names)
