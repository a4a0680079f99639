"""What servers of OpenAI's API answer, read strictly.

Servers, and what stands before them, answer 200 with an error inside, without choices, with a page
of HTML, or with a text that a filter cut. Nothing of that may become an ad.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from generator.errors import AnswerUnusable

SHOWN: Final = 200
"""Characters of an answer that an error shows."""
PASSING: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 of reasons that pass; those from 500 on may."""
FILTERED, REFUSED, TRUNCATED, NO_ANSWER = "content_filter", "refusal", "truncated", "no_answer"
THOUGHT: Final = re.compile(r"<think>.*?(?:</think>|\Z)\s*", re.S)
FENCE: Final = re.compile(r"^\s*```\w*\n(.*?)(?:```\s*)?\Z", re.S)
MARK: Final = re.compile(r"^\s*(?:[-*•‣▪·・–—]\s+|・|•|\(?\d{1,2}[.)．、:：]\s*|[①-⑳]\s*)")
"""What stands before an entry of a list. A number alone begins texts, too, so it has a sign."""
QUOTES: Final = ('""', "''", "“”", "„“", "‘’", "「」", "『』", "《》", "«»", "``", "**")
COLONS: Final = (":", "：")
STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?=[,\]])')


class Answer(NamedTuple):
    """A usable answer.

    Attributes:
        text: what the model wrote.
        finished: whether the model ended by itself, and not at its limit of tokens.
        withheld: why the text is none to use: `content_filter`, `refusal` or `truncated`.
        read: tokens of the prompt, None where the server does not count.
        written: tokens of the answer, likewise.
    """

    text: str
    finished: bool
    withheld: str | None
    read: int | None
    written: int | None


class _Part(Struct):
    text: str | None = None


class _Message(Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None


class _Choice(Struct):
    text: str | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    error: Any = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Body(Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


def read_answer(body: str) -> Answer:
    """Returns what a server answered with status 200.

    Raises:
        AnswerUnusable: it is no answer of this API, or holds an error or nothing.
    """
    try:
        found = msgspec.json.decode(body, type=_Body)
    except msgspec.DecodeError as error:
        raise AnswerUnusable(_no_json(body, error)) from error
    if found.error is not None:
        raise _inner_error(found.error)
    if not found.choices:
        raise AnswerUnusable(
            "the server answered without a choice; expected choices[0]. The model may be "
            f"overloaded or still loading: {_shown(body)}"
        )
    choice = found.choices[0]
    if choice.error is not None:
        raise _inner_error(choice.error)
    usage = found.usage or _Usage()
    text = _text_of(choice)
    return Answer(
        text,
        choice.finish_reason != "length",
        _withheld(choice, text),
        usage.prompt_tokens,
        usage.completion_tokens,
    )


def _withheld(choice: _Choice, text: str) -> str | None:
    if choice.finish_reason == "content_filter":
        return FILTERED
    if choice.message is None:
        return None
    if choice.message.refusal:
        return REFUSED
    if not text.strip():
        if choice.finish_reason == "length":
            return TRUNCATED
        raise AnswerUnusable("the server answered with an empty message; expected a text")
    return None


def _text_of(choice: _Choice) -> str:
    if choice.message is None:
        if choice.text is None:
            raise AnswerUnusable("the server's choice has neither text nor message")
        return choice.text
    content = choice.message.content
    if isinstance(content, list):
        content = "".join(part.text or "" for part in content)
    return THOUGHT.sub("", content or "")


def _no_json(body: str, error: Exception) -> str:
    if any(mark in body[:1000].lower() for mark in ("<html", "<!doctype")):
        return (
            "the server answered with a web page, not with JSON; the url of the endpoint should be "
            f"of the API, up to and with /v1, and no proxy should stand before it: {_shown(body)}"
        )
    return f"the server answered with what is no completion ({error}): {_shown(body)}"


def _inner_error(error: Any) -> AnswerUnusable:
    """Returns the error that an answer of status 200 carries, as OpenRouter's do."""
    told = error if isinstance(error, dict) else {"message": error}
    code = told.get("code")
    status = int(str(code)) if str(code).isdigit() else 500
    return AnswerUnusable(
        f"the server answered with an error ({code or 'no code'}): "
        f"{str(told.get('message') or error)[:SHOWN]}",
        retriable=status >= 500 or status in PASSING,
    )


def _shown(body: str) -> str:
    text = " ".join(body[: 4 * SHOWN].split())
    return text[:SHOWN] + "…" if len(text) > SHOWN else text or "(nothing)"


def texts_in(content: str, *, finished: bool = True) -> list[str]:
    r"""Returns the texts in what a chat answered: JSON as it was asked for, a list, or one line.

    >>> texts_in('{"texts": ["Fresh beans", "Calm mornings"]}')
    ['Fresh beans', 'Calm mornings']
    >>> texts_in("Here are two:\n1. “Fresh beans”\n2. Calm mornings")
    ['Fresh beans', 'Calm mornings']
    >>> texts_in('{"texts": ["Fresh beans", "Calm mor', finished=False)
    ['Fresh beans']
    """
    fenced = FENCE.search(content)
    content = fenced[1] if fenced else content
    start = next((at for at, mark in enumerate(content) if mark in "{["), None)
    if start is not None:
        found = _of_json(content[start:])
        # What begins as JSON is no text, whatever it lists.
        if found or content.lstrip()[:1] in ("{", "["):
            return [bare(text) for text in found if text.strip()]
    lines = [line for line in content.splitlines() if line.strip()]
    if not finished:  # the last line was cut off
        lines = lines[:-1]
    listed = [MARK.sub("", line) for line in lines if MARK.match(line)]
    if len(lines) > 1 and not listed:
        # Around a text alone there is talk: what leads up to it, and what explains it.
        lines = [line for line in lines if not line.rstrip().endswith(COLONS)][:1]
    return [bare(line) for line in listed or lines]


def _of_json(content: str) -> list[str]:
    """Returns the strings that JSON lists, those that are whole if it was cut off."""
    try:
        value, _ = json.JSONDecoder().raw_decode(content)
    except ValueError:
        cut = content.partition("[")[2]
        return [json.loads(f'"{text}"', strict=False) for text in STRING.findall(cut)]
    return list(_strings(value))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        texts = [inner for inner in value.values() if isinstance(inner, str)]
        # Of an object for each text the first string is the text; the others explain it.
        yield from itertools.chain.from_iterable(map(_strings, lists)) if lists else texts[:1]
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _strings(inner)


def bare(text: str) -> str:
    """Returns a text without the quotation marks around all of it.

    >>> bare(' “Fresh beans” '), bare('The "quiet" one')
    ('Fresh beans', 'The "quiet" one')
    """
    text = " ".join(text.split())
    for pair in QUOTES:
        inner = text[1:-1]
        if text[:1] == pair[0] and text[-1:] == pair[1] and len(text) > 1:
            if pair == "**":
                return bare(text.strip("*"))
            if pair[0] not in inner and pair[1] not in inner:
                return bare(inner)
    return text
