"""From a file to a placement that knows it: creatives, evidence, and what is decided next."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bandit.abtests.contrasts import contrasts_of_log
from bandit.learning.fold import PartitionFold
from bandit.ope.estimators.snips import rank_winners
from bandit.ope.readers.events import LoggedEvent
from bandit.policies import POLICIES, open_policy
from generator.commands.main import app
from generator.data.evidence import chance_better
from generator.data.reading import Reading
from generator.errors import AdsFileError
from generator.platforms.evidence import (
    MOST_IN_ALL,
    Seen,
    click_reward,
    counted,
    decisions,
)
from streams.catalogue.state import CatalogueReader
from streams.events import (
    ACTS,
    CATALOGUE,
    EMPTY,
    INTERACTIONS,
    Action,
    Creative,
    RewardKind,
    RewardRule,
    decode,
)
from streams.fold import partitions, scan_topic
from streams.logs.opening import open_log

HEAD = "headline,ad_group,final_url,impressions,clicks\n"
GOOD, BAD = "Light shoes, far roads", "Shoes for sale"
ADS = HEAD + f'"{GOOD}",a,https://example.org,12000,600\n{BAD},a,https://example.org,15000,75\n'


@pytest.fixture
def place(tmp_path):
    return tmp_path / "data"


def run(*words):
    return CliRunner().invoke(app, ["creatives", *map(str, words)])


def taken_in(place, text, *more, name="home"):
    file = place.parent / "ads.csv"
    file.write_text(text)
    done = run("import", name, file, "--data", place, "--format", "json", *more)
    return json.loads(done.stdout) if done.exit_code == 0 else done.exception


def opened(place):
    return open_log(f"sqlite:///{place / 'log.db'}")


def catalogue_of(log):
    reader = CatalogueReader(log)
    reader.catch_up()
    return reader.catalogue


def interactions(log):
    return [decode(record.value) for record in scan_topic(log, INTERACTIONS)]


def pmf_after(place, name="home"):
    """What the placement's own policy gives each live creative next, by text."""
    log = opened(place)
    catalogue, fold = catalogue_of(log), PartitionFold()
    for record in scan_topic(log, INTERACTIONS):
        fold.take(record, catalogue)
    live = catalogue.live(name)
    policy = (
        fold.placements[name].policy
        if name in fold.placements
        else open_policy(catalogue.placement(name).policy)
    )
    actions = [Action(each.id, each.features) for each in live]
    log.close()
    return dict(zip([c.parts["headline"] for c in live], policy.pmf(EMPTY, actions), strict=True))


def test_what_was_clicked_changes_the_first_decisions(place):
    report = taken_in(place, ADS)
    assert (report["new"], report["known"]) == (2, 0)
    assert 0 < report["showings"] <= 2000
    shares = pmf_after(place)
    assert shares[GOOD] > 0.9
    cold = place.parent / "cold"
    assert taken_in(cold, ADS, "--most-showings", 0)["showings"] == 0
    assert 0.2 < pmf_after(cold)[GOOD] < 0.8


def ends_of(place):
    log = opened(place)
    ends = [
        log.end_offset(partition)
        for topic in (CATALOGUE, INTERACTIONS, ACTS)
        for partition in partitions(log, topic)
    ]
    log.close()
    return ends


def test_the_same_file_again_changes_nothing(place):
    first = taken_in(place, ADS)
    before = ends_of(place)
    again = taken_in(place, ADS)
    assert (again["new"], again["known"]) == (0, 2)
    assert (again["showings"], again["known_showings"]) == (0, first["showings"])
    assert ends_of(place) == before


def test_figures_that_have_grown_add_what_is_new(place):
    taken_in(place, HEAD + "A,a,https://a.b,100,5\n")
    report = taken_in(place, HEAD + "A,a,https://a.b,400,20\n")
    assert (report["known"], report["showings"], report["known_showings"]) == (1, 300, 100)
    log = opened(place)
    rewards = [each.reward for each in interactions(log)]
    log.close()
    assert (len(rewards), sum(rewards)) == (400, pytest.approx(20.0))


def test_bad_rows_leave_no_trace(place):
    error = taken_in(place, ADS + "C,a,https://a.b,1,9\nD,a,no address,1,0\n")
    assert isinstance(error, AdsFileError)
    assert "row 4: clicks is 9" in str(error)
    assert "row 5: final_url is 'no address'" in str(error)
    assert not place.exists()


def test_an_id_keeps_its_text(place):
    taken_in(place, "id,headline\nx,One\n")
    error = taken_in(place, "id,headline\ny,New\nx,Other\n")
    assert "row 3: creative 'x' has another text already" in str(error)
    log = opened(place)
    assert [c.id for c in catalogue_of(log).creatives("home")] == ["x"]
    log.close()
    both = taken_in(place, "id,headline\nz,One\nz,Two\n")
    assert "row 3: creative 'z' has another text already" in str(both)


def test_what_a_person_decided_since_stays(place):
    taken_in(place, "id,headline\nx,One\n")
    assert run("reject", "home", "x", "--reason", "tone: dull", "--data", place).exit_code == 0
    assert taken_in(place, "id,headline,status\nx,One,live\n")["known"] == 1
    log = opened(place)
    assert catalogue_of(log).creative("home", "x").status == "rejected"
    log.close()


def test_rows_of_one_ad_are_added_up(place):
    report = taken_in(place, HEAD + "A,a,https://a.b,50,5\nA,a,https://a.b,50,1\n")
    assert (report["new"], report["merged"], report["showings"]) == (1, 1, 100)


def test_a_status_of_one_s_own(place):
    taken_in(place, ADS, "--status", "proposed")
    log = opened(place)
    assert {c.status for c in catalogue_of(log).creatives("home")} == {"proposed"}
    log.close()


def test_where_clicks_earn_nothing_that_is_said(place):
    assert click_reward(RewardRule(kinds={"purchase": RewardKind()})) is None
    assert click_reward(RewardRule(kinds={"click": RewardKind(weight=0.0)})) is None
    assert click_reward(RewardRule(kinds={"click": RewardKind(weight=0.2)})) == 0.2


@pytest.mark.parametrize("name", [".", "a#b", "a\nb", ""])
def test_a_placement_that_no_address_can_hold_is_refused(place, name):
    assert isinstance(taken_in(place, ADS, name=name), AdsFileError)


def test_reward_models_and_winners_read_the_same_evidence(place):
    taken_in(place, ADS)
    log = opened(place)
    best = {each.creative.parts["headline"]: each for each in Reading(log).evidence}
    assert best[GOOD].winner.estimate == pytest.approx(0.05, rel=0.01)
    assert best[BAD].winner.estimate == pytest.approx(0.005, rel=0.01)
    assert chance_better(best[GOOD], best[BAD]) > 0.99
    assert rank_winners(interactions(log))[0].creative_id == best[GOOD].creative.id
    log.close()


def test_a_prior_is_fitted_from_it(place):
    """Texts with a question are clicked thrice as often, in every ad group."""
    rows = [
        f"{word} shoes{mark},{group},https://example.org,1000,{clicks}\n"
        for group in "abcdef"
        for word in ("Light", "Strong")
        for mark, clicks in (("?", 60), ("", 20))
    ]
    taken_in(place, HEAD + "".join(rows))
    log = opened(place)
    found = contrasts_of_log(lambda: (LoggedEvent(i.decision, i.reward) for i in interactions(log)))
    log.close()
    question = found.names.index("text.question")
    slope = float(found.x[:, question] @ found.y)
    assert slope > 0.0


@pytest.mark.parametrize(
    "name", sorted(set(POLICIES) - {"apprentice", "floor", "newcomers", "guarded", "vw"})
)
def test_every_policy_learns_from_it(name, place):
    creatives = [
        Creative(id=i, placement="home", parts={}, status="live", timestamp_ms=0) for i in "ab"
    ]
    found = counted([Seen(creatives[0], 20_000, 2000), Seen(creatives[1], 20_000, 100)])
    policy = open_policy({"name": name})
    for event in decisions(found, "home", RewardRule(), 1):
        policy.learn(event.decision, event.reward)
    pmf = policy.pmf(EMPTY, [Action("a"), Action("b")])
    # those read no id, and top_two goes on showing the rival
    if name not in ("uniform", "lin_ts", "lin_ucb", "top_two"):
        assert pmf[0] > 0.6, pmf


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 10**9), st.floats(0, 1)), min_size=1, max_size=30))
def test_figures_keep_their_rates_within_bounds(figures):
    seen = [
        Seen(
            Creative(id=str(n), placement="p", parts={}, status="live", timestamp_ms=0),
            shown,
            int(shown * rate),
            group=str(n % 3),
        )
        for n, (shown, rate) in enumerate(figures)
    ]
    found = counted(seen)
    assert sum(each.showings for each in found) <= MOST_IN_ALL
    events = list(decisions(found, "p", RewardRule(), 0))
    assert len({e.decision.event_id for e in events}) == len(events)
    by_id: dict[str, list[float]] = {}
    for event in events:
        by_id.setdefault(event.decision.action.id, []).append(event.reward)
    for each in found:
        rewards = by_id[each.seen.creative.id]
        rate = each.seen.clicks / each.seen.impressions
        assert len(rewards) == each.showings
        assert sum(rewards) == pytest.approx(rate * each.showings, abs=1e-6)
        assert all(0.0 <= reward <= 1.0 for reward in rewards)


def test_each_decision_is_as_likely_as_it_was_shown():
    seen = [
        Seen(Creative(id=i, placement="p", parts={}, status="live", timestamp_ms=0), shown, 0, "g")
        for i, shown in (("a", 300), ("b", 100), ("c", 0))
    ]
    events = list(decisions(counted(seen), "p", RewardRule(), 0))
    assert {e.decision.pmf for e in events} == {(0.75, 0.25)}
    assert sum(e.decision.index == 0 for e in events) == 300


def test_export_writes_what_a_platform_takes(place, tmp_path):
    taken_in(place, ADS)
    file = tmp_path / "out.csv"
    refused = run("export", "home", file, "--to", "google-ads", "--data", place)
    assert isinstance(refused.exception, AdsFileError)
    assert not file.exists()
    assert run("export", "home", file, "--to", "csv", "--data", place).exit_code == 0
    assert taken_in(place, file.read_text("utf-8-sig"))["known"] == 2
    told = run("export", "home", "--to", "openrtb-native", "--data", place).stdout
    assert [json.loads(line)["link"]["url"] for line in told.splitlines()] == [
        "https://example.org"
    ] * 2


def test_export_names_what_it_cannot_find(place):
    taken_in(place, ADS)
    gone = run("export", "home", "--creative", "gone", "--data", place)
    assert "there is no creative 'gone'" in str(gone.exception)
    none = run("export", "home", "--status", "retired", "--data", place)
    assert "none of 2 creatives is retired" in str(none.exception)
    nosuch = run("export", "nosuch", "--data", place).exception
    assert nosuch.code == "placement_unknown"
    assert str(nosuch) == "there is no placement 'nosuch'; the log has: home"
    assert run("export", "home", "--status", "new", "--data", place).exit_code == 2
    assert run("export", "home", "--request", "r.json", "--data", place).exit_code == 2


def test_what_links_nowhere_may_be_given_an_address(place):
    taken_in(place, "headline\nHi\n")
    told = run(
        "export", "home", "--final-url", "https://a.b", "--to", "openrtb-native", "--data", place
    )
    assert json.loads(told.stdout)["link"] == {"url": "https://a.b"}


def test_to_look_makes_no_folder(place):
    for words in (("export", "home"), ("list", "--placement", "home")):
        assert "there is no log at" in str(run(*words, "--data", place).exception)
        assert not place.exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("headline,id\nA,1\nB\0x,2\n", "row 3: headline has a NUL character in 'B\\x00x'"),
        ("headline,Team\nA,a\0\n", "row 2: Team has a NUL"),
        ('[{"parts": {"headline": "a\\u0000"}}]', "row 1: headline has a NUL"),
    ],
)
def test_a_text_with_a_nul_is_refused_by_row(place, text, why):
    told = taken_in(place, text)
    assert isinstance(told, AdsFileError)
    assert why in str(told)
    assert "there is no placement 'home'" in str(run("export", "home", "--data", place).exception)
