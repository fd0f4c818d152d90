"""Numbers of any dtype, drawn at random."""

import torch

__all__ = ['drawn']


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """The same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_complex or dtype.is_floating_point:
        return torch.randn(shape, dtype=dtype, generator=generator)
    return torch.randint(0, 2 if dtype is torch.bool else 9, shape, generator=generator).to(dtype)
