"""ATen: activations, losses, normalisation, attention, embedding."""

from adjoint.interop.aten.table import Builders

__all__ = ['BUILDERS', 'MUTATIONS']

from adjoint.ops import activation, contraction, shape  # noqa: E402

BUILDERS: Builders = {
    'aten.mm.default': contraction.matmul,
    'aten.bmm.default': contraction.matmul,
    'aten.matmul.default': contraction.matmul,
    'aten.mv.default': contraction.matmul,
    'aten.dot.default': contraction.matmul,
    'aten.relu.default': activation.relu,
    'aten.silu.default': activation.silu,
    'aten.linear.default': lambda x, w, b=None: (
        contraction.matmul(x, shape.transpose(w, -2, -1))
        if b is None
        else contraction.matmul(x, shape.transpose(w, -2, -1)) + b
    ),
}

MUTATIONS: Builders = {}
