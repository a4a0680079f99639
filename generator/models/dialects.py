"""What a server takes of a request: OpenAI's API has as many dialects as servers."""

from __future__ import annotations

import logging
from typing import Any, Final

from openai import APIError, APIStatusError

OPTIONAL: Final = (
    "response_format", "seed", "min_p", "presence_penalty", "top_p", "temperature",
)  # fmt: skip
"""Fields without which a request still asks for the same."""
OF_FORM: Final = ("response_format", "json_schema", "structured output", "guided")
UNKNOWN: Final = (
    "support", "unknown", "unrecogni", "not permitted", "forbidden", "unavailable", "unexpected",
)  # fmt: skip
"""What errors say of fields that a server does not take; other errors are of values."""

logger = logging.getLogger(__name__)


class Dialect:
    """Remembers which fields a server refused, and how it names the limit of tokens."""

    def __init__(self) -> None:
        self._refused: frozenset[str] = frozenset()
        self._limit = "max_tokens"

    def spoken(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns a request's body as the server takes it."""
        kept = {name: value for name, value in body.items() if name not in self._refused}
        if self._limit != "max_tokens":
            kept[self._limit] = kept.pop("max_tokens")
        return kept

    def learned(self, error: APIError, sent: dict[str, Any]) -> bool:
        """Returns whether an error says of a field that was sent how to do without.

        What is done without is logged, once.
        """
        if not isinstance(error, APIStatusError) or error.status_code not in (400, 422):
            return False
        said = f"{error.param or ''} {error.message}".lower()
        if "max_completion_tokens" in said and "max_tokens" in sent:
            self._limit = "max_completion_tokens"
            return True
        named = next((name for name in OPTIONAL if name in sent and name in said), None)
        if "response_format" in sent and any(word in said for word in OF_FORM):
            named = "response_format"
        if named is None or not any(word in said for word in (*UNKNOWN, *OF_FORM)):
            return False
        if named not in self._refused:
            logger.warning(
                "the server refuses %s, so it is asked without: %s", named, error.message
            )
        self._refused |= {named}
        return True
