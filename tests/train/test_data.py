"""Sets of images: their split, their size, and each way to be wrong."""

import sys
from pathlib import Path

import pytest
import torch

from adjoint.train import data
from adjoint.train.data import Images
from adjoint.train.errors import DataError
from tests.train.idx_files import NAMES, encode, write_mnist


def test_digits_are_split_in_proportion_and_without_overlap() -> None:
    digits = data.digits()
    parts = [digits.train, digits.validation, digits.test]
    assert [len(part) for part in parts] == [1258, 180, 359]
    whole = torch.cat([part.labels for part in parts]).bincount()
    for part in parts:
        share = whole * len(part) / 1797
        assert ((part.labels.bincount() - share).abs() < 1.01).all()
    rows = torch.cat([part.pixels.flatten(1) for part in parts])
    # All 1797 scans differ, so that as many different rows are a partition.
    assert len(rows.unique(dim=0)) == 1797


def test_digits_are_scaled_from_zero_to_one() -> None:
    pixels = data.digits().train.pixels
    assert pixels.dtype == torch.float32
    assert pixels.min() == 0
    assert pixels.max() == 1


def test_split_depends_on_the_seed_alone() -> None:
    assert data.digits().digest() == data.digits(seed=0).digest()
    assert data.digits().digest() != data.digits(seed=1).digest()


def test_digest_sees_a_single_pixel() -> None:
    digits = data.digits()
    before = digits.digest()
    digits.test.pixels[7, 3, 3] += 1 / 16
    assert digits.digest() != before


@pytest.mark.parametrize('part', [0.0, 0.1, 0.25, 0.5, 1.0])
def test_part_has_exactly_its_size_and_each_class_its_share(part: float) -> None:
    labels = torch.tensor([0] * 7 + [1] * 11 + [3] * 5)
    images = Images(torch.arange(23.0).reshape(23, 1, 1), labels)
    rest, chosen = data.split(images, part, seed=5)
    assert len(chosen) == round(part * 23)
    assert len(rest) + len(chosen) == 23
    share = labels.bincount() * part
    assert ((chosen.labels.bincount(minlength=4) - share).abs() < 1).all()
    both = torch.cat([rest.pixels, chosen.pixels]).flatten().sort().values
    assert torch.equal(both, torch.arange(23.0))


@pytest.mark.parametrize('compressed', [False, True])
def test_folder_holds_what_was_written(tmp_path: Path, *, compressed: bool) -> None:
    written = write_mnist(tmp_path / 'set', compressed=compressed)
    loaded = data.load(str(tmp_path / 'set'))
    assert (loaded.name, loaded.size, loaded.classes) == ('set', (6, 5), 3)
    assert [len(loaded.train), len(loaded.validation), len(loaded.test)] == [54, 6, 30]
    assert torch.equal(loaded.test.pixels, written['test', 'images'].to(torch.float32) / 255)
    assert torch.equal(loaded.test.labels, written['test', 'labels'].to(torch.int64))
    known = torch.cat([loaded.train.pixels, loaded.validation.pixels]).flatten(1)
    all_rows = (written['train', 'images'].to(torch.float32) / 255).flatten(1)
    assert torch.equal(known.unique(dim=0), all_rows.unique(dim=0))


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        data.load(str(folder))
    return str(caught.value)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "no such folder; give 'digits' or a folder" in refused(tmp_path / 'none')


@pytest.mark.parametrize('name', NAMES.values())
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_mnist(tmp_path)
    (tmp_path / name).unlink()
    assert f'looked for {name} and {name}.gz' in refused(tmp_path)


def test_label_count_that_differs_is_refused(tmp_path: Path) -> None:
    written = write_mnist(tmp_path)
    path = tmp_path / NAMES['train', 'labels']
    path.write_bytes(encode(written['train', 'labels'][:-1]))
    message = refused(tmp_path)
    assert 'holds 59 labels, but train-images-idx3-ubyte holds 60 images' in message


def test_test_label_out_of_range_is_refused(tmp_path: Path) -> None:
    written = write_mnist(tmp_path)
    labels = written['test', 'labels'].clone()
    labels[4] = 9
    (tmp_path / NAMES['test', 'labels']).write_bytes(encode(labels))
    message = refused(tmp_path)
    assert 'label 9 is out of range: the training labels run from 0 to 2' in message


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    written = write_mnist(tmp_path)
    images = written['test', 'images'][:, :5]
    (tmp_path / NAMES['test', 'images']).write_bytes(encode(images))
    message = refused(tmp_path)
    assert 'images of 5 x 5 pixels, but those of train-images-idx3-ubyte are 6 x 5' in message


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, count=2)
    assert '2 images in 2 classes are too few' in refused(tmp_path)


def test_missing_scikit_learn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(DataError, match=r"come with scikit-learn: pip install 'adjoint\[train\]'"):
        data.digits()
