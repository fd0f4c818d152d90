"""Writes IDX files for tests."""

import gzip
import struct
from pathlib import Path

import torch
from torch import Tensor

NAMES = {
    ('train', 'images'): 'train-images-idx3-ubyte',
    ('train', 'labels'): 'train-labels-idx1-ubyte',
    ('test', 'images'): 't10k-images-idx3-ubyte',
    ('test', 'labels'): 't10k-labels-idx1-ubyte',
}


def encode(values: Tensor) -> bytes:
    sizes = struct.pack(f'>{values.ndim}I', *values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + bytes(values.flatten().tolist())


def write_mnist(
    folder: Path, count: int = 60, classes: int = 3, *, compressed: bool = False
) -> dict[tuple[str, str], Tensor]:
    """Write a small set in MNIST's format: noise, brighter in the rows of its class."""
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    written: dict[tuple[str, str], Tensor] = {}
    for part, number in (('train', count), ('test', count // 2)):
        labels = torch.arange(number) % classes
        pixels = torch.randint(0, 120, (number, 6, 5), generator=generator)
        pixels[torch.arange(number), labels] += 130
        written[part, 'images'] = pixels.to(torch.uint8)
        written[part, 'labels'] = labels.to(torch.uint8)
    for key, values in written.items():
        data = encode(values)
        if compressed:
            (folder / f'{NAMES[key]}.gz').write_bytes(gzip.compress(data))
        else:
            (folder / NAMES[key]).write_bytes(data)
    return written
