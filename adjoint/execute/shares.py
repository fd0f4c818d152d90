"""How kernels divide a tensor among threads."""

import torch

__all__ = ['shares', 'takers']

# They do so from so many entries on; no thread takes fewer.
_LEAST = 1 << 15


def takers(entries: int) -> int:
    """Return how many threads share so many entries."""
    return max(min(torch.get_num_threads(), -(-entries // _LEAST)), 1)


def shares(length: int, row: int = 1) -> list[int]:
    """Return the lengths of the parts that threads take.

    Parameters
    ----------
    length : int
        The number of rows that the tensor has; they are not divided.
    row : int
        How many entries each has.
    """
    share = max(-(-length // takers(length * row)), 1)
    return [min(share, length - start) for start in range(0, length, share)]
