"""A few hundred hostile requests; `benchmarks/bench_hostile_requests.py` tries a thousandfold."""

from bandit.service.settings import Settings
from tests.bandit.service.hostile import LEFT_OUT, Searcher, Target, search

SMALL = (1 << 12, 1 << 15)
TRIED = 120


def test_hostile_requests_are_answered_and_grow_the_log_by_no_more_than_three_bodies():
    found = search(TRIED, TRIED // 2, seed=20_261_130, sizes=SMALL)
    assert len(found) == TRIED + TRIED // 2
    failed = [each for each in found if each.status >= 500]
    assert failed == []
    assert max(each.logged for each in found) <= 3 * Settings().max_body_bytes
    assert {200, 400, 422} <= {each.status for each in found}, "some are taken, and some are not"


def test_the_search_knows_every_route_of_the_service():
    target = Target()
    routes = target.routes()
    documented = target.app._app._app._rest.openapi()["paths"]
    assert {path for _, path in routes} >= documented.keys() - set(LEFT_OUT)
    searcher = Searcher(routes, SMALL, seed=1)
    assert len({searcher.any() for _ in range(500)}) > 300
