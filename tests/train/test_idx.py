"""IDX files: what is read, and each way to be wrong."""

import gzip
from pathlib import Path

import pytest
import torch

from adjoint.train import idx
from adjoint.train.errors import DataError
from tests.train.idx_files import encode

PIXELS = (torch.arange(24) * 10).to(torch.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize('name', ['images', 'images.gz'])
def test_values_and_shape_are_those_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = encode(PIXELS)
    path.write_bytes(gzip.compress(data) if path.suffix else data)
    assert torch.equal(idx.read(path, 3), PIXELS)


def refused(path: Path, data: bytes, dimensions: int = 3) -> str:
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        idx.read(path, dimensions)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / 'images', encode(PIXELS)[:-5])
    assert 'truncated: expected 40 bytes (16 of header and 2 x 3 x 4 elements), got 35' in message


def test_truncated_header_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / 'images', encode(PIXELS)[:9])
    assert 'truncated within its header: expected 16 bytes of header, got 9' in message


def test_trailing_bytes_are_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / 'images', encode(PIXELS) + b'123')
    assert 'expected 40 bytes' in message
    assert 'got 43: 3 bytes too many' in message


def test_wrong_magic_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / 'images', b'\x89PNG' + encode(PIXELS)[4:])
    assert 'expected the first bytes 00 00 08 03, got 89 50 4e 47' in message


def test_wrong_number_of_axes_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / 'labels', encode(PIXELS), dimensions=1)
    assert 'with 1 axis: expected the first bytes 00 00 08 01, got 00 00 08 03' in message


def test_empty_file_is_refused(tmp_path: Path) -> None:
    assert 'got an empty file' in refused(tmp_path / 'images', b'')


def test_file_without_elements_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / 'images', encode(torch.zeros(0, 3, 4)))
    assert 'is empty: its header announces the sizes 0 x 3 x 4' in message


def test_corrupt_gzip_is_refused(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(encode(PIXELS)))
    data[15] ^= 0xFF
    assert 'the gzip data is corrupt or cut short' in refused(tmp_path / 'images.gz', bytes(data))


def test_cut_gzip_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(encode(PIXELS))[:-9]
    assert 'the gzip data is corrupt or cut short' in refused(tmp_path / 'images.gz', data)


def test_plain_data_under_a_gzip_name_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / 'images.gz', encode(PIXELS))
    assert 'the gzip data is corrupt or cut short' in message


def test_gzip_data_under_a_plain_name_says_how_to_name_it(tmp_path: Path) -> None:
    message = refused(tmp_path / 'images', gzip.compress(encode(PIXELS)))
    assert 'rename it to images.gz' in message


def test_huge_announced_size_is_refused_without_reading_it(tmp_path: Path) -> None:
    header = bytes([0, 0, 8, 3]) + b'\x7f\xff\xff\xff' * 3
    assert 'truncated' in refused(tmp_path / 'images', header + b'123')


def test_missing_file_names_both_that_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'images and images\.gz and found neither'):
        idx.find(tmp_path, 'images')


def test_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='cannot be read'):
        idx.read(tmp_path, 3)


def test_plain_file_comes_before_the_compressed_one(tmp_path: Path) -> None:
    (tmp_path / 'images.gz').write_bytes(b'')
    assert idx.find(tmp_path, 'images').name == 'images.gz'
    (tmp_path / 'images').write_bytes(b'')
    assert idx.find(tmp_path, 'images').name == 'images'
