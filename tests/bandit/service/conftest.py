import pytest

from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import running


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    log = SqliteLog(tmp_path_factory.mktemp("api") / "log.db")
    with running(log, partitions=2) as api:
        yield api
    log.close()


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    """Two servers over one log."""
    path = tmp_path_factory.mktemp("replicas") / "log.db"
    logs = [SqliteLog(path) for _ in range(2)]
    with running(logs[0]) as one, running(logs[1]) as other:
        yield one, other
    for log in logs:
        log.close()
