"""What several tests of executors need around them."""

from collections.abc import Iterator

import pytest
import torch

from adjoint.execute.compiled import Compiled
from adjoint.execute.compiled_service import Service
from adjoint.execute.compiled_store import Store


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Give torch two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session')
def service() -> Iterator[Service]:
    """One process for all that is compiled here."""
    made = Service()
    yield made
    made.close()


@pytest.fixture(scope='session')
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A folder that starts empty."""
    return Store(tmp_path_factory.mktemp('compiled'))


@pytest.fixture
def compiled(service: Service, store: Store) -> Compiled:
    """An executor with both."""
    return Compiled(service=service, store=store)
