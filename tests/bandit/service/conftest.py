import pytest

from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import running


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    log = SqliteLog(tmp_path_factory.mktemp("api") / "log.db")
    with running(log, partitions=2) as api:
        yield api
    log.close()
