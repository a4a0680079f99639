"""A setting that must not be seen: it prints as nothing, and says so."""

from __future__ import annotations

import hmac


class Secret:
    """A text that only `reveal` tells; printing it, or what holds it, does not.

    >>> Secret("hunter2")
    Secret(set)
    """

    def __init__(self, text: str = "") -> None:
        self._text = text

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return bool(self._text)

    def reveal(self) -> str:
        """Returns the text, empty if there is none."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._text.encode(), other._text.encode()
        )

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Secret({'set' if self._text else 'not set'})"
