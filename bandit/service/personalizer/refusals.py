"""Refusals in the form and with the codes that Personalizer's clients know.

The first versions know three codes, later ones some forty; ours, which is the stable one, is the
innermost of all.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bandit.errors import RequestError

V1_0: Final = "v1.0"
_OLD_CODES: Final = {404: "ResourceNotFound", 500: "InternalServerError"}
_BY_STATUS: Final = {
    404: "ResourceNotFound",
    413: "PayloadSizeExceeded",
    500: "InternalServerError",
    503: "InternalServerError",
}


class PersonalizerError(RequestError):
    """A refusal with a code of Personalizer's own beside ours."""

    def __init__(
        self, known_code: str, code: str, message: str, *, target: str | None = None,
        status: int = 400,
    ) -> None:  # fmt: skip
        super().__init__(status, code, message, target=target)
        self.known_code = known_code


def refusal(error: RequestError, version: str) -> tuple[int, str, bytes]:
    """Returns the status, Personalizer's code and the body that a client of this version expects.

    What our own routes call 409 or 422 is 400 there.

    >>> refusal(RequestError(422, "event_id_invalid", "too long"), "v1.0")[:2]
    (400, 'BadRequest')
    """
    status = 400 if error.status in (409, 422) else error.status
    known = _BY_STATUS.get(status, "BadRequest")
    if isinstance(error, PersonalizerError):
        known = error.known_code
    inner: dict[str, object] = {"code": error.code}
    if version == V1_0:
        code = _OLD_CODES.get(status, "BadRequest")
        if known != code:
            inner = {"code": known, "innererror": inner}
    else:
        code = known
    found: dict[str, object] = {
        "code": code,
        "message": str(error),
        "target": error.target,
        "details": [],
        "innerError": inner,
    }
    return status, code, msgspec.json.encode({"error": found})
