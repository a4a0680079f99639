"""Models behind a server that speaks OpenAI's API: vLLM, llama.cpp, or somebody's cloud."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Final

from openai import APIError, DefaultHttpxClient, OpenAI

from generator.errors import BackendError
from generator.models.base import (
    Completion,
    CompletionProgress,
    Sampling,
    Usage,
    derived_seed,
    ended,
)
from generator.models.catalog import Endpoint

INSTRUCTION: Final = (
    "You are a copywriter. The user sends a text that breaks off in the middle of its last line. "
    "Answer with what comes next in that line and nothing else: no repetition of what is there, "
    "no explanation. Close the quotation mark when the line is complete."
)
NO_KEY: Final = "none"
"""Sent where there is no key; the client insists on one, servers of one's own ignore it."""


class RemoteBackend:
    """A model that is asked over HTTP; a `Backend`.

    An adapter is asked for by its name in place of the model's, as vLLM serves them. A request
    that fails for a reason that may pass (a limit, a timeout, a server's error) is tried again
    after growing waits, or when the server says so.
    """

    def __init__(self, model: str, endpoint: Endpoint, *, key: str | None) -> None:
        self.name = model
        self.usage = Usage()
        self._endpoint = endpoint
        self._key = key
        self._lock = threading.Lock()
        self._limiter = RateLimiter(endpoint.requests_per_minute, endpoint.tokens_per_minute)

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
        the seed is the server's.
        """
        written: dict[int, Completion] = {}
        with self._client() as client, ThreadPoolExecutor(self._endpoint.concurrency) as pool:
            asked = {
                pool.submit(
                    self._ask, client, prompt, sampling, derived_seed(seed, row, size=4), adapter
                ): row
                for row, prompt in enumerate(prompts)
            }
            try:
                for answer in as_completed(asked):
                    written[asked[answer]] = answer.result()
                    if progress is not None:
                        progress(len(written) / len(prompts))
            except APIError as error:
                pool.shutdown(cancel_futures=True)
                raise BackendError(
                    f"{self.name} at {self._endpoint.url} failed, with up to "
                    f"{self._endpoint.retries} retries: {type(error).__name__}: {error}"
                ) from error
        return [written[row] for row in range(len(prompts))]

    def load_adapter(self, name: str, path: str) -> None:
        """Has a vLLM server load a LoRA adapter, to be asked for by `name` from then on.

        The server must run with `--enable-lora` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`; the
        path is one of its own. A name is best used once: replicas may hold the older adapter.

        Raises:
            BackendError: the server refused.
        """
        try:
            with self._client() as client:
                client.post(
                    "/load_lora_adapter",
                    cast_to=str,
                    body={"lora_name": name, "lora_path": path},
                )
        except APIError as error:
            raise BackendError(
                f"{self._endpoint.url} did not load the adapter {name!r} from {path!r}: {error}"
            ) from error

    def _client(self) -> OpenAI:
        """Returns a client for one call: its connections are kept while that lasts."""
        http = DefaultHttpxClient(
            timeout=self._endpoint.timeout_seconds, event_hooks={"response": [self._count_attempt]}
        )
        return open_client(self._endpoint, self._key, http_client=http)

    def _ask(
        self, client: OpenAI, prompt: str, sampling: Sampling, seed: int, adapter: str | None
    ) -> Completion:
        self._limiter.wait()
        options: dict[str, Any] = {
            "model": adapter or self.name,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed,
            # not of OpenAI's own API, and refused there: sent only where it is asked for, as is
            # the penalty, which not every model takes
            "extra_body": {"min_p": sampling.min_p} if sampling.min_p else None,
        }
        if sampling.presence_penalty:
            options["presence_penalty"] = sampling.presence_penalty
        answer: Any
        if self._endpoint.api == "chat":
            messages: Any = [
                {"role": "system", "content": INSTRUCTION},
                {"role": "user", "content": prompt},
            ]
            answer = client.chat.completions.create(messages=messages, **options)
            text = continued(prompt, answer.choices[0].message.content or "")
        else:
            answer = client.completions.create(prompt=prompt, stop=list(sampling.stop), **options)
            text = answer.choices[0].text
        self._count(answer.usage)
        by_itself = answer.choices[0].finish_reason != "length"
        return Completion(ended(text, sampling.stop, by_itself=by_itself), self.name, adapter)

    def _count_attempt(self, response: Any) -> None:
        with self._lock:
            self.usage.requests += 1
            # The client says in a header how often it has tried already.
            self.usage.retries += (
                response.request.headers.get("x-stainless-retry-count", "0") != "0"
            )

    def _count(self, usage: Any) -> None:
        if usage is None:
            return
        endpoint, read, written = self._endpoint, usage.prompt_tokens, usage.completion_tokens
        self._limiter.spend(read + written)
        with self._lock:
            self.usage.prompt_tokens += read
            self.usage.completion_tokens += written
            self.usage.cost += (read * endpoint.price_read + written * endpoint.price_written) / 1e6


def open_client(endpoint: Endpoint, key: str | None, **options: Any) -> OpenAI:
    """Returns a client of an endpoint, which waits and tries again as it says."""
    return OpenAI(
        base_url=endpoint.url,
        api_key=key or NO_KEY,
        max_retries=endpoint.retries,
        timeout=endpoint.timeout_seconds,
        **options,
    )


class RateLimiter:
    """Keeps to so many requests and tokens a minute, over all threads.

    Requests are let go at even distances. Tokens are known only afterwards: whoever comes next
    waits for as long as those that were used are worth.
    """

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._request_seconds = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._token_seconds = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._free_at = clock()

    def wait(self) -> None:
        """Returns when the next request may go."""
        with self._lock:
            now = self._clock()
            at = max(self._free_at, now)
            self._free_at = at + self._request_seconds
        if at > now:
            self._sleep(at - now)

    def spend(self, tokens: int) -> None:
        """Says that an answer used so many tokens."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock()) + tokens * self._token_seconds


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
