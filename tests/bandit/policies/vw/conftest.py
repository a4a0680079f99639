"""Everything here runs with either binding of Vowpal Wabbit."""

import pytest

from bandit.policies.vw import model
from bandit.policies.vw.binding import NextWorkspace, OfficialWorkspace


@pytest.fixture(autouse=True, scope="module", params=[NextWorkspace, OfficialWorkspace])
def binding(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "open_workspace", request.param)
        yield request.param
