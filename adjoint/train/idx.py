"""Read IDX files, the format in which MNIST is distributed, plain or compressed with gzip."""

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import torch
from torch import Tensor

from adjoint.train.errors import DataError

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b'\x1f\x8b'
BLOCK = 1 << 22


def find(folder: Path, name: str) -> Path:
    """Find an IDX file in a folder, plain or with the ending ``.gz``.

    Parameters
    ----------
    folder : Path
        Where to look.
    name : str
        File name without ``.gz``, such as ``'train-images-idx3-ubyte'``.

    Returns
    -------
    Path
        The plain file where there is one, otherwise the compressed one.

    Raises
    ------
    DataError
        If neither is there; the message names both.
    """
    candidates = (folder / name, folder / f'{name}.gz')
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(
        f'{folder}: looked for {candidates[0].name} and {candidates[1].name} and found neither; '
        'a data folder holds the four MNIST-format IDX files under their usual names'
    )


def read(path: Path, dimensions: int) -> Tensor:
    """Read an IDX file of unsigned bytes.

    Parameters
    ----------
    path : Path
        The file; it is decompressed when its name ends in ``.gz``.
    dimensions : int
        Number of axes that the file must have: 3 for images, 1 for labels.

    Returns
    -------
    Tensor
        ``uint8``, of the shape that the header states.

    Raises
    ------
    DataError
        If the file cannot be opened or decompressed, is not IDX, holds another type or number of
        axes, is empty, or has fewer or more bytes than its header announces.

    Notes
    -----
    The header is four bytes (two zeros, the element type, the number of axes) and one big-endian
    32-bit size an axis; the elements follow in row-major order.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits.
    """
    try:
        if path.suffix == '.gz':
            with gzip.open(path) as file:
                return _parse(cast('BinaryIO', file), path, dimensions)
        with path.open('rb') as file:
            return _parse(file, path, dimensions)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(
            f'{path}: the gzip data is corrupt or cut short ({error}); get the file again'
        ) from error
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror or error}') from error


def _parse(file: BinaryIO, path: Path, dimensions: int) -> Tensor:
    sizes = _header(file, path, dimensions)
    expected = math.prod(sizes)
    if expected == 0:
        raise DataError(f'{path}: is empty: its header announces the sizes {_by(sizes)}')
    data = _read(file, expected)
    header = 4 + 4 * dimensions
    if len(data) < expected:
        raise DataError(
            f'{path}: truncated: expected {header + expected:,} bytes ({header} of header and '
            f'{_by(sizes)} elements), got {header + len(data):,}; get the file again'
        )
    if extra := _count_rest(file):
        raise DataError(
            f'{path}: expected {header + expected:,} bytes for the sizes {_by(sizes)} that its '
            f'header announces, got {header + expected + extra:,}: {extra:,} bytes too many'
        )
    return torch.frombuffer(data, dtype=torch.uint8).reshape(sizes)


def _header(file: BinaryIO, path: Path, dimensions: int) -> list[int]:
    magic = file.read(4)
    if magic[:2] == GZIP_MAGIC:
        raise DataError(f'{path}: is compressed with gzip; rename it to {path.name}.gz')
    wanted = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if magic != wanted:
        raise DataError(
            f'{path}: not an IDX file of unsigned bytes with {dimensions} '
            f'{"axis" if dimensions == 1 else "axes"}: expected the first bytes {wanted.hex(" ")}, '
            f'got {magic.hex(" ") or "an empty file"}'
        )
    packed = file.read(4 * dimensions)
    if len(packed) < 4 * dimensions:
        raise DataError(
            f'{path}: truncated within its header: expected {4 + 4 * dimensions} bytes of header, '
            f'got {4 + len(packed)}'
        )
    return list(struct.unpack(f'>{dimensions}I', packed))


def _read(file: BinaryIO, count: int) -> bytearray:
    # Block by block, so that a header that announces terabytes costs no memory.
    data = bytearray()
    while block := file.read(min(BLOCK, count - len(data))):
        data += block
    return data


def _count_rest(file: BinaryIO) -> int:
    count = 0
    while block := file.read(BLOCK):
        count += len(block)
    return count


def _by(sizes: Sequence[int]) -> str:
    return ' x '.join(map(str, sizes))
