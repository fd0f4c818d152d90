"""The transforms of torch, as witnesses: loaded once, past what they warn of."""

import warnings
from typing import Any

import torch

__all__ = ['grad', 'hessian', 'jacfwd', 'jacrev', 'jvp', 'vjp', 'vmap']

# Their results have one length or another, by their arguments.
grad: Any = torch.func.grad
hessian: Any = torch.func.hessian
jacfwd: Any = torch.func.jacfwd
jacrev: Any = torch.func.jacrev
jvp: Any = torch.func.jvp
vjp: Any = torch.func.vjp
vmap: Any = torch.func.vmap

with warnings.catch_warnings():
    # At its first use torch 2.13 loads decompositions through torch.jit, which it deprecates.
    warnings.simplefilter('ignore', DeprecationWarning)
    jvp(torch.sin, (torch.ones(1),), (torch.ones(1),))
