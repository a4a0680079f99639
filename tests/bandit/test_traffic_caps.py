"""The lid on a canary's creatives: what it leaves of a pmf, and that nobody is told otherwise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from bandit.eligibility import canary_traffic_cap, limited, traffic_cap_over, under_traffic_cap
from bandit.verification import audit
from streams.catalogue.state import Catalogue, catalogue_message
from streams.events import DECISIONS, Action, Decision, Lineage, Placement, decode, encode
from streams.events.creatives import Canary, GeneratorVersion
from streams.events.placement import TrafficCap
from streams.fold import scan_topic
from streams.logs.sqlite import SqliteLog
from tests.bandit.decisions import a_creative
from tests.bandit.service.api_server import running, wait_until

BEFORE = (
    b'{"type":"decision","event_id":"e","placement":"home","timestamp_ms":1,"context":{},'
    b'"actions":[{"id":"a","features":{}},{"id":"b","features":{}}],"pmf":[0.9,0.1],"index":1,'
    b'"policy_version":"v@0","slot":0,"deferred":false,%b"traceparent":null,"v":1}'
)


@given(
    st.lists(st.tuples(st.floats(0.01, 1.0), st.booleans()), min_size=1, max_size=8),
    st.floats(0.01, 1.0),
)
def test_what_is_under_the_lid_keeps_to_its_share(weighted, share):
    weights = np.array([weight for weight, _ in weighted])
    under = np.array([is_under for _, is_under in weighted])
    pmf = weights / weights.sum()
    found = limited(pmf, under, share)
    assert found.sum() == pytest.approx(1.0)
    if not under.all():
        assert found[under].sum() <= share + 1e-9
        # who is on one side of the lid stands to each other as before
        for side in (under, ~under):
            assert found[side] * pmf[side].sum() == pytest.approx(pmf[side] * found[side].sum())


def test_a_lid_is_on_those_that_are_there():
    actions = [Action("a"), Action("b"), Action("c")]
    lid = TrafficCap(0.1, ("c", "b", "elsewhere"))
    assert traffic_cap_over(actions, lid) == TrafficCap(0.1, ("b", "c"))
    assert traffic_cap_over(actions[:1], lid) is None
    assert under_traffic_cap(np.full(3, 1 / 3), actions, lid).tolist() == pytest.approx(
        [0.9, 0.05, 0.05]
    )
    assert under_traffic_cap(np.full(3, 1 / 3), actions, None).tolist() == [1 / 3] * 3


def creative(name, adapter=None):
    return a_creative(name, lineage=Lineage(model="m", adapter=adapter))


def version(status):
    return GeneratorVersion(
        id="v1", status=status, timestamp_ms=1, canary=Canary(since_ms=1, share=0.2)
    )


def test_only_a_canary_has_a_lid():
    catalogue = Catalogue()
    live = [creative("a"), creative("b", "v1")]
    for event in (Placement(name="home"), *live):
        catalogue.apply(event, 1)
    assert canary_traffic_cap(catalogue, live) is None
    catalogue.apply(version("canary"), 1)
    assert canary_traffic_cap(catalogue, live) == TrafficCap(0.2, ("b",))
    assert canary_traffic_cap(catalogue, live[:1]) is None
    before = catalogue.version_of("home")
    catalogue.apply(version("live"), 2)
    assert canary_traffic_cap(catalogue, live) is None
    assert catalogue.version_of("home") > before, "who serves must look again"


def test_a_decision_from_before_lids_reads_and_writes_as_it_did():
    before = BEFORE % b""
    assert decode(before).lid is UNSET
    assert encode(decode(before)) == before
    under = BEFORE % b'"lid":{"share":0.1,"actions":["b"]},'
    assert decode(under).lid == TrafficCap(0.1, ("b",))
    assert encode(decode(under)) == under


def decisions(log):
    found = [decode(record.value) for record in scan_topic(log, DECISIONS)]
    return [each for each in found if isinstance(each, Decision)]


def test_what_is_served_is_what_is_logged_and_audited(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    with running(log) as api:
        api.placement("home", ["by-hand"], policy={"name": "uniform"})
        made = [creative(f"c{n}", "v1") for n in range(3)]
        log.append([catalogue_message(event) for event in (*made, version("canary"))])
        path = "/v1/placements/home/policy"

        def shares():
            pmf = api.client.get(path).json()["pmf"]
            return {each["id"]: round(each["propensity"], 6) for each in pmf}

        under = {"by-hand": 0.8} | {f"c{n}": round(0.2 / 3, 6) for n in range(3)}
        wait_until(lambda: shares() == under)
        for _ in range(20):
            api.rank("home").raise_for_status()
        slots = {"slots": [{"id": "top"}, {"id": "side"}]}
        api.client.post("/v1/placements/home/rank", json=slots).raise_for_status()
        log.append([catalogue_message(version("live"))])
        wait_until(lambda: shares() == dict.fromkeys(under, 0.25))
        api.rank("home").raise_for_status()
    found = decisions(log)
    first, last = found[0], found[-1]
    assert first.lid == TrafficCap(0.2, ("c0", "c1", "c2"))
    assert dict(zip([a.id for a in first.actions], first.pmf, strict=True))["by-hand"] == 0.8
    assert last.lid is UNSET
    report = audit(log)
    assert (report.decisions, report.mismatches) == (23, ())
    log.close()
