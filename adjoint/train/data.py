"""Labelled images: scikit-learn's handwritten digits, or a folder in the format of MNIST."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

import torch
from torch import Tensor

from adjoint.train import idx
from adjoint.train.errors import DataError

DIGITS = 'digits'


@final
@dataclass(frozen=True, eq=False)
class Images:
    """Images with their labels.

    Parameters
    ----------
    pixels : Tensor
        Of shape ``(count, height, width)``, ``float32``, from 0 to 1.
    labels : Tensor
        Of shape ``(count,)``, ``int64``.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def take(self, index: Tensor) -> 'Images':
        """Return the images at the given positions."""
        return Images(self.pixels[index], self.labels[index])


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train with, to choose with and to judge with.

    Parameters
    ----------
    name : str
        What people call it.
    train, validation, test : Images
        The three parts; no image is in two.
    classes : int
        Number of classes; labels run from 0 to ``classes - 1``.
    """

    name: str
    train: Images
    validation: Images
    test: Images
    classes: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""
        height, width = self.train.pixels.shape[1:]
        return height, width

    def to(self, dtype: torch.dtype) -> 'Dataset':
        """Return the same images with pixels of another dtype."""
        train, validation, test = (
            Images(part.pixels.to(dtype), part.labels) for part in (self.train, self.validation, self.test)
        )
        return Dataset(self.name, train, validation, test, self.classes)

    def digest(self) -> str:
        """Return a fingerprint of all pixels and labels, the same in every process."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            for tensor in (part.pixels, part.labels):
                digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()[:16]


def load(source: str) -> Dataset:
    """Load a data set by the name ``'digits'`` or from a folder.

    Parameters
    ----------
    source : str
        ``'digits'``, or the path of a folder with MNIST-format IDX files.

    Returns
    -------
    Dataset
        The images.

    Raises
    ------
    DataError
        If the folder or a file in it is missing or wrong.
    """
    return digits() if source == DIGITS else folder(Path(source))


def digits(seed: int = 0) -> Dataset:
    """Return scikit-learn's handwritten digits: 1,797 real scans of 8 by 8 pixels.

    Parameters
    ----------
    seed : int, default 0
        Seed of the split; the same seed gives the same split.

    Returns
    -------
    Dataset
        70 % to train with, 10 % for validation, 20 % to test, each class in proportion.

    Raises
    ------
    DataError
        If scikit-learn is not installed.

    References
    ----------
    E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.

    Examples
    --------
    >>> data = digits()
    >>> len(data.train), len(data.validation), len(data.test)
    (1258, 180, 359)
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "the digits come with scikit-learn: pip install 'adjoint[train]', or give a folder"
        ) from error
    bunch = cast('Any', load_digits())
    pixels = torch.from_numpy(bunch.images).to(torch.float32) / 16
    images = Images(pixels, torch.from_numpy(bunch.target).to(torch.int64))
    rest, test = split(images, 0.2, seed)
    train, validation = split(rest, 0.125, seed + 1)
    return Dataset('scikit-learn digits', train, validation, test, 10)


def folder(path: Path, seed: int = 0) -> Dataset:
    """Load a folder with the four IDX files of MNIST, or of a set in its format.

    Parameters
    ----------
    path : Path
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``
        and ``t10k-labels-idx1-ubyte``, each plain or with ``.gz``.
    seed : int, default 0
        Seed of the split of the training images.

    Returns
    -------
    Dataset
        10 % of the training images are held out for validation, each class in proportion.

    Raises
    ------
    DataError
        If a file is missing or wrong, counts differ, or there is too little to train with.
    """
    if not path.is_dir():
        raise DataError(f'{path}: no such folder; give {DIGITS!r} or a folder with MNIST-format IDX files')
    files = {
        (part, kind): idx.find(path, f'{part}-{kind}-idx{axes}-ubyte')
        for part in ('train', 't10k')
        for kind, axes in (('images', 3), ('labels', 1))
    }
    known = _pair(files['train', 'images'], files['train', 'labels'])
    test = _pair(files['t10k', 'images'], files['t10k', 'labels'])
    _compare(files['t10k', 'images'], test, files['train', 'images'], known)
    classes = int(known.labels.max()) + 1
    if (highest := int(test.labels.max())) >= classes:
        raise DataError(
            f'{files["t10k", "labels"]}: label {highest} is out of range: '
            f'the training labels run from 0 to {classes - 1}'
        )
    train, validation = split(known, 0.1, seed)
    if not len(train) or not len(validation):
        raise DataError(
            f'{files["train", "images"]}: {len(known)} images in {classes} classes are too few: '
            'training and validation need one image each at least'
        )
    return Dataset(path.name, train, validation, test, classes)


def split(images: Images, part: float, seed: int) -> tuple[Images, Images]:
    """Split images in two, each class in proportion.

    Parameters
    ----------
    images : Images
        What is split.
    part : float
        The part of all images that the second half gets, between 0 and 1.
    seed : int
        Seed of the choice.

    Returns
    -------
    tuple[Images, Images]
        The rest, and the part; both in the order of `images`.

    Notes
    -----
    The second half gets exactly ``round(part * count)`` images. Each class gives the whole number
    below its share, and the classes with the largest remainders give one more.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    groups = [order[images.labels[order] == label] for label in range(int(images.labels.max()) + 1)]
    shares = [part * len(group) for group in groups]
    counts = [int(share) for share in shares]
    missing = round(part * len(images)) - sum(counts)
    by_remainder = sorted(range(len(groups)), key=lambda k: counts[k] - shares[k])
    for k in by_remainder[:missing]:
        counts[k] += 1
    chosen = torch.zeros(len(images), dtype=torch.bool)
    for group, count in zip(groups, counts, strict=True):
        chosen[group[:count]] = True
    return images.take(~chosen), images.take(chosen)


def _pair(images: Path, labels: Path) -> Images:
    pixels = idx.read(images, 3)
    numbers = idx.read(labels, 1)
    if len(pixels) != len(numbers):
        raise DataError(
            f'{labels}: holds {len(numbers):,} labels, but {images.name} holds '
            f'{len(pixels):,} images; the two files do not belong together'
        )
    return Images(pixels.to(torch.float32) / 255, numbers.to(torch.int64))


def _compare(path: Path, test: Images, train_path: Path, train: Images) -> None:
    if test.pixels.shape[1:] != train.pixels.shape[1:]:
        sizes = [' x '.join(map(str, part.pixels.shape[1:])) for part in (test, train)]
        raise DataError(f'{path}: images of {sizes[0]} pixels, but those of {train_path.name} are {sizes[1]}')
