"""Evaluations and feature importances, asked for by Personalizer's own clients."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from azure.ai.personalizer import PersonalizerAdministrationClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.bandit.service.compat.personalizer.test_import_logs import run_import, write
from tests.javascript import run_script

START = datetime(2024, 5, 1, tzinfo=UTC)
END = START + timedelta(days=2)
SPAN = {"startTime": START.isoformat(), "endTime": END.isoformat()}
QUICK = {"name": "quick", "arguments": "--cb_explore_adf --cb_type mtr -l 0.5 -q ::"}
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def judged(endpoint, folder):
    """A placement that starts from a log in which time says what is wanted."""
    path = write(folder / "judged.dsjson", range(600))
    done = run_import(folder, str(path), "--placement", "judged", "--no-judge")
    assert done.returncode == 0, done.stderr
    return f"{endpoint}/placements/judged"


@pytest.fixture(scope="module")
def admin(judged):
    with PersonalizerAdministrationClient(judged, AzureKeyCredential("any")) as admin:
        yield admin


def finished(read):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := read())["status"] in ("NotSubmitted", "Running"):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def evaluation(admin, name):
    return finished(lambda: admin.get_evaluation(name, start_time=START, end_time=END))


def test_an_evaluation_tells_good_settings_from_bad(admin):
    admin.create_evaluation("tell", {"name": "told apart", "policies": [QUICK], **SPAN})
    found = evaluation(admin, "tell")
    assert (found["status"], found["evaluationType"]) == ("Succeeded", "Manual"), found
    by_name = {one["name"]: one for one in found["content"]["value"]}
    assert {name: one["policySource"] for name, one in by_name.items()} == {
        "Online": "Online",
        "Baseline": "Baseline",
        "Random": "Random",
        "quick": "Custom",
    }
    rewards = {name: one["summary"]["expectedReward"] for name, one in by_name.items()}
    assert rewards["Random"] == pytest.approx(1 / 3, abs=0.02)
    assert rewards["Baseline"] == pytest.approx(0.5, abs=0.02)
    assert rewards["quick"] > 0.7
    for one in by_name.values():
        low, high = one["summary"]["confidenceInterval"]
        assert low <= one["summary"]["expectedReward"] <= high
        assert one["timeseries"]["data"]


def test_settings_that_an_evaluation_found_are_applied(admin):
    found = evaluation(admin, "tell")
    assert found["optimalPolicy"] in ("Online", "quick")
    admin.apply_from_evaluation({"evaluationId": "tell", "policyName": "quick"})
    assert admin.get_policy() == QUICK
    with pytest.raises(ResourceNotFoundError) as refused:
        admin.apply_from_evaluation({"evaluationId": "tell", "policyName": "Baseline"})
    assert refused.value.response.json()["error"]["code"] == "LearningSettingsNotFound"


def test_better_settings_are_looked_for_where_that_is_asked(admin):
    body = {"name": "looking", "enablePolicyOptimization": True, **SPAN}
    admin.create_evaluation("looking", body)
    found = evaluation(admin, "looking")
    sources = [one["policySource"] for one in found["content"]["value"]]
    assert sources.count("OfflineExperimentation") == 4


def test_evaluations_are_listed_and_deleted(admin):
    evaluation(admin, "tell")
    assert "tell" in [one["id"] for one in admin.list_evaluations()]
    admin.delete_evaluation("tell")
    assert "tell" not in [one["id"] for one in admin.list_evaluations()]
    with pytest.raises(ResourceNotFoundError) as refused:
        admin.get_evaluation("tell", start_time=START, end_time=END)
    assert refused.value.response.json()["error"]["code"] == "EvaluationNotFound"


def test_a_range_without_decisions_fails_and_says_so(admin):
    long_ago = {"startTime": "2001-01-01T00:00:00Z", "endTime": "2001-01-02T00:00:00Z"}
    admin.create_evaluation("empty", {"name": "empty", **long_ago})
    found = evaluation(admin, "empty")
    assert found["status"] == "Failed"
    assert "the log holds no decision" in found["description"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "x", "startTime": SPAN["endTime"], "endTime": SPAN["startTime"]},
         "InvalidEvaluationContract"),
        ({"name": "", **SPAN}, "InvalidEvaluationContract"),
        ({"name": "x"}, "InvalidEvaluationContract"),
        ({"name": "x", "policies": [QUICK, QUICK], **SPAN}, "DuplicateCustomPolicyNames"),
        ({"name": "x", "policies": [{"name": "a", "arguments": "-f x"}], **SPAN},
         "InvalidPolicyContract"),
    ],
)  # fmt: skip
def test_an_evaluation_is_refused(admin, body, code):
    with pytest.raises(HttpResponseError) as refused:
        admin.create_evaluation("refused", body)
    assert refused.value.status_code == 400
    assert refused.value.response.json()["error"]["code"] == code


def test_feature_importances_name_what_counts(admin):
    admin.create_feature_importance("worth", {"name": "what counts", **SPAN})
    found = finished(lambda: admin.get_feature_importance("worth"))
    assert found["status"] == "Succeeded", found
    scores = {(s["namespace"], s["featureName"]): s["score"] for s in found["featureScores"]}
    assert max(scores, key=scores.get) == ("FromUrl", "time")
    assert scores["FromUrl", "time"] > 0.1
    assert [one["id"] for one in admin.list_feature_importances()] == ["worth"]
    admin.delete_feature_importance("worth")
    assert list(admin.list_feature_importances()) == []


def test_the_javascript_client_runs_an_evaluation(judged):
    answers = run_script("personalizer-evaluations.mjs", judged, *SPAN.values())
    assert {name: answer["status"] for name, answer in answers.items()} == {
        "created": "201",
        "read": "200",
        "listed": "200",
        "refused": "400",
        "deleted": "204",
        "gone": "404",
    }
    read = answers["read"]["body"]
    assert read["status"] == "completed", json.dumps(read)
    quick = next(one for one in read["policyResults"] if one["name"] == "quick")
    total = quick["totalSummary"]
    assert total["averageReward"] == pytest.approx(
        total["ipsEstimatorNumerator"] / total["snipsEstimatorDenominator"]
    )
    assert total["confidenceInterval"] > 0
    assert answers["created"]["body"]["id"] in [one["id"] for one in answers["listed"]["body"]]
