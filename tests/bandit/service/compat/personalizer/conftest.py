import pytest

from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import running
from tests.running import copyloop_up


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("personalizer")


@pytest.fixture(scope="package")
def endpoint(folder):
    """The address of everything that `copyloop up` starts, on a fresh folder."""
    with copyloop_up(folder, "--no-generator") as url:
        yield url


@pytest.fixture(scope="module")
def api():
    """The API alone, in a thread, with its log at hand."""
    with running(MemoryLog()) as api:
        yield api
