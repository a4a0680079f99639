from pathlib import Path

import pytest

import generator
from generator.brief.schema import Brief, load_brief
from generator.models.opening import open_backend

BRIEFS = Path(generator.__file__).parent / "briefs"


@pytest.fixture(scope="session")
def backend():
    """Returns the packaged model; the first time on a machine converts it."""
    return open_backend("smollm2")


@pytest.fixture
def brief() -> Brief:
    return load_brief(BRIEFS / "coffee.yaml")
