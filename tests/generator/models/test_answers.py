"""Answers as servers give them: none may end in a traceback, nor become an ad."""

import itertools
import json
import logging
import threading
from contextlib import contextmanager

import pytest

from generator.brief.instructions import Wanted, task_of
from generator.brief.schema import Brief
from generator.errors import AnswerUnusable, AnswerWithheld, BackendError
from generator.models.answers import read_answer, texts_in
from generator.models.base import Sampling, ToldPrompt
from generator.models.catalog import Endpoint
from generator.models.remote import RemoteBackend
from generator.writing.texts import generate, summary
from tests.http_stub import answering, body_of

SAMPLING = Sampling('"\n', 10)
BRIEF = Brief(product="coffee beans by post", facts=("freshly roasted",))
TOLD = ToldPrompt('Headline: "', task_of(BRIEF, Wanted("line", 40)))
GOOD = "Slow mornings start here"
JSON = {"content-type": "application/json"}


def chat(content, *, finish="stop", **more):
    message = {"role": "assistant", "content": content} | more
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


@contextmanager
def server(*answers):
    """Yields the endpoint's address and the bodies sent; each answer has its turn, the last stays.

    An answer is what is encoded as JSON, bytes as they are, or a status and one of these.
    """
    asked, lock = [], threading.Lock()
    turns = itertools.chain(answers, itertools.repeat(answers[-1]))

    def answer(handler):
        body = json.loads(body_of(handler))
        with lock:
            asked.append(body)
            found = next(turns)
        status, said = found if isinstance(found, tuple) else (200, found)
        kind = {"content-type": "text/html"} if isinstance(said, bytes) else JSON
        return status, kind, said if isinstance(said, bytes) else json.dumps(said).encode()

    with answering("POST", answer) as url:
        yield f"{url}/v1", asked


def backend(url, **options):
    settings = {"api": "chat", "retries": 2, "concurrency": 1} | options
    return RemoteBackend("m", Endpoint(url=url, **settings), key=None, sleep=lambda _: None)


def ask(url, n=1, **options):
    return backend(url, **options).complete([TOLD] * n, SAMPLING, seed=1)


BAD = {
    "no choices": ({"choices": [], "usage": None}, "without a choice"),
    "choices null": ({"id": "x", "choices": None}, "without a choice"),
    "empty object": ({}, "without a choice"),
    "no json": (b"upstream timed out", "no completion .*upstream timed out"),
    "nothing": (b"", r"no completion .*\(nothing\)"),
    "a list": ([1], "no completion"),
    "another form": ({"choices": "none"}, "no completion"),
    "page": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page, not with JSON"),
    "error inside": ({"error": {"message": "Provider is down", "code": 502}}, "502.*Provider is d"),
    "error in words": ({"error": "overloaded"}, "overloaded"),
    "error in a choice": (
        {"choices": [{"finish_reason": "error", "error": {"code": 503, "message": "cut"}}]},
        "503.*cut",
    ),
    "empty message": (chat(""), "empty message"),
    "null message": (chat(None), "empty message"),
    "neither": ({"choices": [{"finish_reason": "stop"}]}, "neither text nor message"),
}


@pytest.mark.parametrize(("body", "message"), BAD.values(), ids=BAD)
def test_what_is_no_answer_is_an_error_with_a_code_and_tried_again(body, message):
    with server(body) as (url, asked), pytest.raises(AnswerUnusable, match=message) as failed:
        ask(url)
    assert (failed.value.code, len(asked)) == ("answer_unusable", 3)
    with server(body, chat(GOOD)) as (url, asked):
        assert [c.text for c in ask(url)] == [GOOD]


def test_an_error_inside_that_stays_is_not_tried_again():
    body = {"error": {"message": "No credits", "code": 402}}
    with server(body) as (url, asked), pytest.raises(AnswerUnusable, match="No credits"):
        ask(url)
    assert len(asked) == 1


WITHHELD = {
    "filter": (chat("Slow mor", finish="content_filter"), "content_filter"),
    "refusal": (chat(None, refusal="I cannot"), "refusal"),
    "truncated": (chat("", finish="length"), "truncated"),
    "thinking": (chat("<think>The user wants", finish="length"), "truncated"),
    "half a text": (chat('{"texts": ["Slow mor', finish="length"), "truncated"),
    "half a line": (chat("Slow mornings sta", finish="length"), "truncated"),
    "azure": (
        (400, {"error": {"code": "content_filter", "message": "filtered"}}),
        "content_filter",
    ),
}


@pytest.mark.parametrize(("answer", "code"), WITHHELD.values(), ids=WITHHELD)
def test_what_a_server_withholds_is_no_text(answer, code):
    with server(answer) as (url, _), pytest.raises(AnswerWithheld, match=code):
        ask(url, n=2, texts_per_request=1)
    with server(answer, chat(GOOD)) as (url, _):
        held, written = ask(url, n=2, texts_per_request=1)
    assert (held.text, held.withheld) == ("", code)
    assert (written.text, written.withheld) == (GOOD, None)


def test_what_was_withheld_is_counted_among_the_refused_and_never_shown():
    answers = [chat("Slow mor", finish="content_filter"), chat(GOOD), {"choices": []}]
    with server(*answers) as (url, _):
        model = backend(url, texts_per_request=1, retries=0)
        result = generate(BRIEF, model, n=2, seed=1)
    assert [c.text for c in result.accepted] == [GOOD]
    held = [c for c in result.rejected if not c.text]
    assert {c.rejection.code for c in held} == {"content_filter", "no_answer"}
    assert "no_answer 14" in summary(len(result.accepted), result.rejected)


def test_one_request_that_fails_does_not_lose_what_the_others_brought(caplog):
    with server((500, {"error": "x"}), chat(GOOD)) as (url, _):
        held, written = ask(url, n=2, texts_per_request=1, retries=0)
    assert (held.withheld, written.text) == ("no_answer", GOOD)
    assert "left out 1 of 2 texts: m at http" in caplog.text
    with server((401, {"error": {"message": "bad key"}})) as (url, asked):
        with pytest.raises(BackendError, match="bad key"):
            ask(url, n=3, texts_per_request=1)
        assert len(asked) < 3


SETS = {
    "as asked": '{"texts": ["Fresh beans", "Calm mornings"]}',
    "a list": '["Fresh beans", "Calm mornings"]',
    "objects": '{"headlines": [{"text": "Fresh beans", "why": "x"}, {"text": "Calm mornings"}]}',
    "fenced": '```json\n{"texts": ["Fresh beans", "Calm mornings"]}\n```',
    "after talk": 'Sure!\n{"texts": ["Fresh beans", "Calm mornings"]}\nEnjoy.',
    "after thought": '<think>\nbeans…\n</think>\n{"texts": ["Fresh beans", "Calm mornings"]}',
    "numbered": "Here are two headlines:\n\n1. Fresh beans\n2) Calm mornings",
    "dashes": '- "Fresh beans"\n- **Calm mornings**\n\nLet me know!',
    "lines of Chinese": "好的，以下是标题：\n1、「Fresh beans」\n2、“Calm mornings”",
}


@pytest.mark.parametrize("content", SETS.values(), ids=SETS)
def test_a_set_of_texts_is_read_in_every_form(content):
    with server(chat(content)) as (url, asked):
        written = ask(url, n=2)
    assert [c.text for c in written] == ["Fresh beans", "Calm mornings"]
    assert all(c.whole for c in written)
    assert len(asked) == 1
    assert asked[0]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("- freshly roasted, at your door", "freshly roasted, at your door"),
        ("“Fresh beans”\n\nThis headline speaks to freshness.", "Fresh beans"),
        ('The "quiet" roast', 'The "quiet" roast'),
        ("静かな朝に届く焙煎コーヒー", "静かな朝に届く焙煎コーヒー"),
        ("3 roasts, one box", "3 roasts, one box"),
        ("24-hour freshness", "24-hour freshness"),
        ("«Café de la semaine»", "Café de la semaine"),
        ("Beans {fresh}", "Beans {fresh}"),
    ],
)
def test_a_whole_headline_in_the_answer_is_the_headline(content, text):
    assert texts_in(content) == [text]


@pytest.mark.parametrize(
    "content",
    ["{", '{"texts": []}', "[]", '{"texts": ["', '{\n "texts": [\n\n', "```json\n{}\n```"],
)
def test_json_without_a_text_is_no_text(content):
    assert texts_in(content) == []
    assert texts_in(content, finished=False) == []


def test_a_server_that_answers_with_one_text_is_asked_for_one_at_a_time():
    with server(chat(GOOD)) as (url, asked):
        assert len(ask(url, n=5, texts_per_request=4)) == 5
    assert len(asked) == 5  # the first round asks for 4 and for 1


def test_what_there_is_already_is_told_and_winners_are_varied_not_glued():
    with server(chat('{"texts": ["Fresh beans for you", "Calm mornings for you"]}')) as (
        url,
        asked,
    ):
        winners = ("Wake up to something fresh",)
        result = generate(
            BRIEF, backend(url), n=2, seed=1, winners=winners, existing=("Old but good",)
        )
    told = [body["messages"][0]["content"] for body in asked]
    assert all("- Old but good" in words for words in told)
    of_winner = [words for words in told if winners[0] in words]
    assert 0 < len(of_winner) < len(told)
    assert all("do not copy it, lengthen it or join it" in words for words in of_winner)
    texts = [c.text for c in [*result.accepted, *result.rejected]]
    assert set(texts) == {"Fresh beans for you", "Calm mornings for you"}
    frames = {(c.prompt.frame, c.prompt.opening) for c in [*result.accepted, *result.rejected]}
    assert frames <= {("instruction", ""), ("winner", "")}


@pytest.mark.parametrize(
    ("said", "gone", "instead"),
    [
        ({"message": "'temperature' does not support 0.6 here", "param": "temperature"},
         "temperature", None),
        ({"message": "This response_format type is unavailable now"}, "response_format", None),
        ({"message": "'max_tokens' is not supported; use 'max_completion_tokens' instead.",
          "param": "max_tokens"}, "max_tokens", "max_completion_tokens"),
    ],
)  # fmt: skip
def test_what_a_server_does_not_take_is_left_out_and_said(said, gone, instead, caplog):
    with server((400, {"error": said}), chat(GOOD)) as (url, asked):
        model = backend(url)
        assert model.complete([TOLD], SAMPLING, seed=1)[0].text == GOOD
        model.complete([TOLD], SAMPLING, seed=1)
    assert gone in asked[0]
    assert all(gone not in body for body in asked[1:])
    assert all(instead is None or instead in body for body in asked[1:])
    assert len(asked) == 3
    assert instead or f"the server refuses {gone}" in caplog.text


def test_requests_are_not_logged_and_answers_without_a_count_are(caplog):
    caplog.set_level(logging.INFO)
    uncounted = chat(GOOD) | {"usage": None}
    with server(uncounted, chat(GOOD)) as (url, _):
        model = backend(url, price_written=1e6)
        model.complete([TOLD], SAMPLING, seed=1)
        model.complete([TOLD], SAMPLING, seed=1)
    assert "HTTP Request" not in caplog.text
    usage = model.usage
    assert (usage.uncounted, usage.prompt_tokens, usage.completion_tokens) == (1, 5, 2)
    assert usage.cost == pytest.approx(2.0)


def test_the_limit_of_a_chat_leaves_room_for_its_form_and_for_thought():
    with server(chat(GOOD)) as (url, asked):
        ask(url, thinking_tokens=2_000)
    assert asked[0]["max_tokens"] > 2_000 + 3 * SAMPLING.max_new_tokens


def test_content_in_parts_is_one_text():
    body = chat([{"type": "text", "text": "Slow mornings "}, {"type": "text", "text": "start"}])
    assert read_answer(json.dumps(body)).text == "Slow mornings start"
