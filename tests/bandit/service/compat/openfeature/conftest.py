import pytest


@pytest.fixture(scope="module")
def api(replicas):
    return replicas[0]
