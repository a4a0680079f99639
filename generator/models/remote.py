"""Models behind a server that speaks OpenAI's API: vLLM, llama.cpp, or somebody's cloud."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Final, NamedTuple, NoReturn

from openai import APIConnectionError, APIError, APIStatusError, DefaultHttpxClient, OpenAI

from generator.errors import AnswerUnusable, AnswerWithheld, BackendError
from generator.models.answers import FILTERED, NO_ANSWER, PASSING, Answer, read_answer, texts_in
from generator.models.base import (
    Completion,
    CompletionProgress,
    Sampling,
    ToldPrompt,
    Usage,
    derived_seed,
    ended,
)
from generator.models.catalog import Endpoint
from generator.models.dialects import Dialect
from generator.models.pacing import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, RateLimiter
from generator.models.served import ServedAdapters

INSTRUCTION: Final = (
    "You are a copywriter. The user sends a text that breaks off in the middle of its last line. "
    "Answer with what comes next in that line and nothing else: no repetition of what is there, "
    "no explanation. Close the quotation mark when the line is complete."
)
NO_KEY: Final = "none"
"""Sent where there is no key; the client insists on one, servers of one's own ignore it."""
WRAPPING: Final = 48
"""Tokens that JSON around texts takes, and some for each text."""

HTTP_LOGGERS: Final = ("httpx", "httpx2")
"""Loggers of HTTP libraries, which say every request at INFO unless somebody set their level."""

logger = logging.getLogger(__name__)


class _Request(NamedTuple):
    """One request: the prompt, and the rows that want a text of it."""

    prompt: str
    rows: list[int]


class RemoteBackend:
    """A model that is asked over HTTP; a `Backend`.

    An adapter is asked for by its name in place of the model's, as vLLM serves them; one that is a
    folder is loaded first. A request that fails for a reason that may pass (a limit, a timeout, a
    server's error, an answer without a text) is tried again after growing waits, or when the
    server says so.
    """

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        *,
        key: str | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = model
        self.usage = Usage()
        self._endpoint, self._key, self._sleep = endpoint, key, sleep
        self._lock = threading.Lock()
        self._limiter = RateLimiter(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self._adapters = ServedAdapters(endpoint.url, retries=endpoint.retries)
        self._dialect = Dialect()
        self._texts_at_once = endpoint.texts_per_request

    def complete(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        *,
        seed: int,
        adapter: str | None = None,
        progress: CompletionProgress | None = None,
    ) -> list[Completion]:
        """Returns a continuation of each prompt (see `Backend.complete`).

        Each prompt is a request of its own, with a seed of its own; whether the server keeps to
        the seed is the server's. A model that converses is told the tasks of prompts that have
        one, and asked for several texts of the same task at once.
        """
        written: dict[int, Completion] = {}
        failures: list[BackendError] = []
        with self._client() as client, ThreadPoolExecutor(self._endpoint.concurrency) as pool:
            served = None if adapter is None else self._adapters.name_of(client, adapter)
            while missing := [row for row in range(len(prompts)) if row not in written]:
                asked = {
                    pool.submit(self._ask, client, each, sampling, seed, served): each
                    for each in self._requests(prompts, missing)
                }
                try:
                    for done in as_completed(asked):
                        rows = asked[done].rows
                        texts, failure = done.result()
                        failures += [] if failure is None else [failure]
                        found = [c._replace(adapter=adapter) for c in texts]
                        written.update(zip(rows, found, strict=False))
                        if progress is not None:
                            progress(len(written) / len(prompts))
                except BackendError:
                    pool.shutdown(cancel_futures=True)
                    raise
        self._check(list(written.values()), failures)
        return [written[row] for row in range(len(prompts))]

    def load_adapter(self, name: str, path: str) -> None:
        """Has a vLLM server load a LoRA adapter, to be asked for by `name` from then on.

        The server must run with `--enable-lora` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`; the
        path is one of its own. A name is best used once: replicas may hold the older adapter. A
        server that restarts forgets it, and is told again when it is next asked for.

        Raises:
            BackendError: the server refused.
        """
        with self._client() as client:
            self._adapters.load(client, name, path)

    def _check(self, written: Sequence[Completion], failures: Sequence[BackendError]) -> None:
        """Raises where nothing was written at all; warns where some was not."""
        held = [each.withheld for each in written if each.withheld is not None]
        if written and len(held) == len(written):
            if failures:
                raise failures[0]
            codes = ", ".join(dict.fromkeys(held))
            raise AnswerWithheld(
                f"{self._named()} withheld all {len(held)} texts: {codes}. A content filter or a "
                "refusal wants another brief or model; truncated answers want a higher "
                "endpoint.thinking_tokens"
            )
        if held:
            said = f": {failures[0]}" if failures else ""
            logger.warning(
                "%s left out %d of %d texts%s", self._named(), len(held), len(written), said
            )

    def _named(self) -> str:
        return f"{self.name} at {self._endpoint.url}"

    def _client(self) -> OpenAI:
        """Returns a client for one call: its connections are kept while that lasts."""
        http = DefaultHttpxClient(
            timeout=self._endpoint.timeout_seconds, event_hooks={"response": [self._count_attempt]}
        )
        return open_client(self._endpoint, self._key, http_client=http)

    def _requests(self, prompts: Sequence[str], rows: Sequence[int]) -> Iterator[_Request]:
        """Yields the requests that ask for these rows: of one task several at once."""
        same: dict[object, list[int]] = {}
        for row in rows:
            same.setdefault(_task_of(prompts[row], self._endpoint) or row, []).append(row)
        for group in same.values():
            for start in range(0, len(group), self._texts_at_once):
                yield _Request(prompts[group[0]], group[start : start + self._texts_at_once])

    def _ask(
        self, client: OpenAI, asked: _Request, sampling: Sampling, seed: int, served: str | None
    ) -> tuple[list[Completion], BackendError | None]:
        """Returns what one request brought, and why it brought nothing if that may pass."""
        told = _task_of(asked.prompt, self._endpoint) is not None
        body = self._body(asked, sampling, derived_seed(seed, asked.rows[0], size=4), served)
        try:
            answer = self._answer(client, body)
        except BackendError as error:
            if not error.retriable:
                raise
            return self._withheld(NO_ANSWER, asked), error
        if answer.withheld is not None:
            return self._withheld(answer.withheld, asked), None
        if not told:
            text = answer.text
            if self._endpoint.api == "chat":
                text = continued(asked.prompt, text)
            return [
                Completion(ended(text, sampling.stop, by_itself=answer.finished), self.name)
            ], None
        texts = texts_in(answer.text, finished=answer.finished)[: len(asked.rows)]
        if not texts:
            return self._withheld("truncated" if not answer.finished else NO_ANSWER, asked), None
        with self._lock:
            if answer.finished:
                self._texts_at_once = min(self._texts_at_once, max(len(texts), 1))
        return [Completion(text, self.name, whole=True) for text in texts], None

    def _withheld(self, code: str, asked: _Request) -> list[Completion]:
        return [Completion("", self.name, withheld=code) for _ in asked.rows]

    def _body(
        self, asked: _Request, sampling: Sampling, seed: int, served: str | None
    ) -> dict[str, Any]:
        task, chat = _task_of(asked.prompt, self._endpoint), self._endpoint.api == "chat"
        limit = sampling.max_new_tokens
        if chat:
            # JSON and quotes want tokens of their own; a text too long is refused, not cut.
            limit = len(asked.rows) * (3 * limit + WRAPPING) + self._endpoint.thinking_tokens
        body: dict[str, Any] = {
            "model": served or self.name,
            "max_tokens": limit,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed,
        }
        # Not every server takes these: sent only where they are asked for.
        if sampling.min_p:
            body["min_p"] = sampling.min_p
        if sampling.presence_penalty:
            body["presence_penalty"] = sampling.presence_penalty
        if not chat:
            return body | {"prompt": str(asked.prompt), "stop": list(sampling.stop)}
        if task is None:
            return body | {"messages": _messages(("system", INSTRUCTION), ("user", asked.prompt))}
        n = len(asked.rows)
        return body | {"messages": _messages(("user", task.words(n))), "response_format": _form(n)}

    def _answer(self, client: OpenAI, body: dict[str, Any]) -> Answer:
        """Returns the answer to a request, tried again as often as the endpoint says.

        Raises:
            BackendError: there is none; `retriable` where that may pass.
        """
        path = "/chat/completions" if self._endpoint.api == "chat" else "/completions"
        attempt = reloads = 0
        tries = self._endpoint.retries
        while True:
            self._limiter.wait()
            sent = self._dialect.spoken(body)
            loads = self._adapters.loads
            try:
                answer = read_answer(client.post(path, cast_to=str, body=sent))
            except AnswerUnusable as error:
                if not error.retriable or attempt >= tries:
                    self._give_up(error, f"failed, with {attempt} of {tries} retries")
                self._sleep(min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS))
                attempt += 1
                with self._lock:
                    self.usage.retries += 1
            except APIError as error:
                if _filtered(error):
                    return Answer("", finished=True, withheld=FILTERED, read=None, written=None)
                forgotten = getattr(error, "status_code", None) == 404
                if forgotten and reloads <= tries:
                    reloads += 1
                    if self._adapters.load_again(client, body["model"], seen=loads):
                        continue
                if not self._dialect.learned(error, sent):
                    self._give_up(error, f"failed, with up to {tries} retries")
            else:
                self._count(answer)
                return answer

    def _give_up(self, error: AnswerUnusable | APIError, how: str) -> NoReturn:
        if isinstance(error, AnswerUnusable):
            words = f"{self._named()} {how}: {error}"
            raise AnswerUnusable(words, retriable=error.retriable) from error
        words = f"{self._named()} {how}: {type(error).__name__}: {error}"
        if getattr(error, "status_code", None) == 404 and "model" not in str(error).lower():
            words += ". The url of the endpoint should be of the API, up to and with /v1"
        raise BackendError(words, retriable=_may_pass(error)) from error

    def _count_attempt(self, response: Any) -> None:
        with self._lock:
            self.usage.requests += 1
            # The client says in a header how often it has tried already.
            self.usage.retries += (
                response.request.headers.get("x-stainless-retry-count", "0") != "0"
            )

    def _count(self, answer: Answer) -> None:
        endpoint, read, written = self._endpoint, answer.read or 0, answer.written or 0
        self._limiter.spend(read + written)
        with self._lock:
            self.usage.prompt_tokens += read
            self.usage.completion_tokens += written
            self.usage.cost += (read * endpoint.price_read + written * endpoint.price_written) / 1e6
            self.usage.uncounted += answer.read is None and answer.written is None


def _task_of(prompt: str, endpoint: Endpoint) -> Any:
    """Returns the task that a model is told for a prompt, None where it continues the prompt."""
    told = endpoint.api == "chat" and isinstance(prompt, ToldPrompt)
    return getattr(prompt, "task", None) if told else None


def _messages(*said: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": str(words)} for role, words in said]


def _form(n: int) -> dict[str, Any]:
    """Returns the form of an answer with `n` texts, as OpenAI's structured outputs ask for it."""
    # Servers differ in whether they take the number of items, so only the words say it.
    texts = {"type": "array", "items": {"type": "string"}}
    schema = {
        "type": "object",
        "properties": {"texts": texts},
        "required": ["texts"],
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": "texts", "strict": True, "schema": schema},
    }


def _filtered(error: APIError) -> bool:
    """Returns whether a filter refused the prompt, as Azure says with status 400."""
    return FILTERED in (error.code, error.type) or "content_filter" in str(error.code)


def _may_pass(error: APIError) -> bool:
    if isinstance(error, APIStatusError):
        return error.status_code >= 500 or error.status_code in PASSING
    return isinstance(error, APIConnectionError)


def open_client(endpoint: Endpoint, key: str | None, **options: Any) -> OpenAI:
    """Returns a client of an endpoint, which waits and tries again as it says."""
    for name in HTTP_LOGGERS:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)
    return OpenAI(
        base_url=endpoint.url,
        api_key=key or NO_KEY,
        max_retries=endpoint.retries,
        timeout=endpoint.timeout_seconds,
        **options,
    )


def continued(prompt: str, answer: str) -> str:
    r"""Returns what an answer adds to the prompt's last line, which models like to repeat.

    >>> continued('Headline: "Meet the', '"Meet the tea that waits"')
    ' tea that waits"'
    """
    answer = answer.strip()
    opening = prompt.rpartition('"')[2]
    bare = answer.removeprefix('"').removeprefix("“")
    if opening and bare.lower().startswith(opening.lower()):
        return bare[len(opening) :]
    text = bare if not opening else answer
    return f" {text}" if opening and text[:1].isalnum() else text
