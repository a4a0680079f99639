"""The errors of the client.

BanditError
└── ClientError         what a call of the client may raise
├── ApiError            the API refused; `status` is HTTP's, `code` and `target` its own
├── Unreachable         no answer came, however often it was tried
└── OutboxFull          more outcomes wait to be delivered than may
"""

from __future__ import annotations

from bandit.errors import BanditError


class ClientError(BanditError):
    """The base of everything that the client raises on purpose."""

    code = "client_error"


class ApiError(ClientError):
    """The API refused the request.

    Attributes:
        status: HTTP's.
        code: the API's own, stable; `not_ours` where something else answered.
        message: what was wrong, in words.
        target: where in the request it is, None where that is plain.
        retry_after_seconds: when the API wants to be asked again, None if it did not say.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.retry_after_seconds = retry_after_seconds


class Unreachable(ClientError):
    """No answer came: the server is away, or too slow.

    Attributes:
        sent: whether the request may have arrived, and so may have been done.
    """

    code = "unreachable"

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class OutboxFull(ClientError):
    """More outcomes wait to be delivered than may; this one was not taken."""

    code = "outbox_full"
