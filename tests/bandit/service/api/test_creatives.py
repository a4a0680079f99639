from bandit.service.api.creatives import CreativeView
from bandit.service.resource import plain, view_of
from streams.events import Creative, Lineage


def test_a_creative_of_several_parts_shows_where_each_came_from():
    parts = {
        "title": Lineage(model="m", prompt="question: Ready for", frame="question"),
        "body": Lineage(model="m", adapter="v2", segment="parents", scores={"grammar": 0.5}),
    }
    creative = Creative(
        id="a",
        placement="home",
        parts={"title": "Ready for tea?", "body": "Put the kettle on."},
        status="live",
        timestamp_ms=1,
        lineage=Lineage(generation_id="g", model="m", seed=1, brief="0b3a", parts=parts),
    )
    lineage = plain(view_of(CreativeView, creative, etag="tag"))["lineage"]
    assert (lineage["brief"], lineage["seed"]) == ("0b3a", 1)
    assert lineage["parts"]["title"]["frame"] == "question"
    assert lineage["parts"]["body"]["scores"] == {"grammar": 0.5}
    assert (lineage["parts"]["body"]["adapter"], lineage["parts"]["body"]["segment"]) == (
        "v2",
        "parents",
    )
