"""`copyloop generate` with a Chinese brief, beside a server that answers good and bad Chinese."""

import json
import threading
from itertools import cycle

import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from bandit.features.reading import unquoted
from generator.brief.instructions import Wanted, task_of
from generator.commands.main import generator_app as app
from generator.screening.gates.leaks import instruction_in
from tests.generator.screening.language_cases import labelled
from tests.http_stub import answering, body_of

[COFFEE, *_] = labelled("zh", "tune")
BAD = tuple(text for texts in COFFEE.bad.values() for text in texts)
LEAST_ACCEPTED = 0.9
PER_ANSWER = 4


@pytest.fixture
def server():
    """Yields the address of a server that answers with good texts and bad ones in turn."""
    queue = cycle([text for pair in zip(COFFEE.good, cycle(BAD), strict=False) for text in pair])
    lock, asked = threading.Lock(), []

    def answer(handler):
        body = json.loads(body_of(handler))
        with lock:
            asked.append(body["messages"][-1]["content"])
            texts = [next(queue) for _ in range(PER_ANSWER)]
        content = json.dumps({"texts": texts}, ensure_ascii=False)
        message = {"role": "assistant", "content": f"```json\n{content}\n```"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        told = {"id": "1", "object": "chat.completion", "created": 1, "model": "good-chinese"}
        return json.dumps(told | {"choices": [choice], "usage": usage}).encode()

    with answering("POST", answer) as url:
        yield f"{url}/v1", asked


def generated(tmp_path, url):
    brief, models = tmp_path / "brief.yaml", tmp_path / "models.yaml"
    content = msgspec.to_builtins(COFFEE.brief)
    brief.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    endpoint = {"url": url, "api": "chat", "concurrency": 1}
    models.write_text(
        yaml.safe_dump({"text": [{"model": "good-chinese", "endpoint": endpoint}]}),
        encoding="utf-8",
    )
    order = [str(brief), "--model", str(models), "--n", str(len(COFFEE.good)), "--over", "1"]
    done = CliRunner().invoke(app, ["generate", *order, "--format", "json"], catch_exceptions=False)
    return done, json.loads(done.stdout)


def test_good_chinese_is_accepted_and_bad_chinese_is_not(tmp_path, server):
    url, asked = server
    done, found = generated(tmp_path, url)
    accepted = [row["parts"]["headline"] for row in found["accepted"]]
    assert not set(accepted) & set(BAD)
    assert set(accepted) <= set(map(unquoted, COFFEE.good))
    assert len(accepted) >= LEAST_ACCEPTED * len(COFFEE.good), done.stderr
    refused = {row["text"]: row["code"] for row in found["rejected"]}
    assert {"never_use", "figures", "law", "profanity", "chat"} <= set(refused.values())
    assert done.exit_code == 0
    assert COFFEE.brief.product in asked[0]


@pytest.mark.parametrize("language", ["zh", "ja", "ko", "de", "es", "fr", "en"])
def test_lines_of_the_instruction_are_never_adverts(language):
    [found, *_] = labelled(language, "tune")
    task = task_of(found.brief, Wanted("line", 30, "double_width"))
    lines = [
        line for line in task.about.splitlines() if len(line) > 40 or ":" in line or "：" in line
    ]
    assert len(lines) >= 5
    assert [line for line in lines if instruction_in(line) is None] == []
    assert [text for text in found.good if instruction_in(text)] == []
