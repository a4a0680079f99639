"""Values as they are framed with a schema registry: JSON and Avro behind a schema's number.

Confluent's serializers write a zero byte and the schema's id, in four bytes, before the value.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from streams.errors import LogUnavailable, MappingError, UnmappedError
from streams.events import UNREADABLE
from streams.logs.base import Record

MAGIC: Final = b"\x00"
HEAD_BYTES: Final = 5
BOM: Final = b"\xef\xbb\xbf"
TIMEOUT_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0
NOT_FOUND: Final = 404

_decode = msgspec.json.Decoder().decode

logger = logging.getLogger(__name__)


def decoder(registry: str | None, stop: threading.Event | None) -> Callable[[Record], object]:
    """Returns what reads a record's value.

    Args:
        registry: the URL of a schema registry, if there is one.
        stop: ends the waiting for a registry that does not answer.

    Raises:
        MappingError: the registry's URL is none, or fastavro is not installed.
    """
    schemas = None if registry is None else Registry(registry, stop or threading.Event())

    def decode(record: Record) -> object:
        value = record.value
        if not value.startswith(MAGIC) or len(value) < HEAD_BYTES:
            return _json(value)
        if schemas is None:
            try:
                return _json(value[HEAD_BYTES:])
            except UnmappedError as error:
                raise UnmappedError(
                    "mapping_not_json",
                    f"value: framed with a schema, and no JSON ({error}); give the mapping the "
                    "`registry` that has its schema",
                ) from error
        return schemas.read(int.from_bytes(value[1:HEAD_BYTES]), value[HEAD_BYTES:])

    return decode


def _json(value: bytes) -> object:
    try:
        return _decode(value.removeprefix(BOM))
    except UNREADABLE as error:
        raise UnmappedError("mapping_not_json", f"value: {error}") from error


class _Schema(NamedTuple):
    """A schema: Avro's, as fastavro parsed it, or None for JSON Schema; or why it is neither."""

    avro: Any = None
    refused: str = ""


class Registry:
    """A schema registry with Confluent's API; each schema is asked for once.

    Args:
        url: of the registry; a name and a password may stand before the host.
        stop: ends the waiting for an answer.
    """

    def __init__(self, url: str, stop: threading.Event) -> None:
        if not url.startswith(("http://", "https://")):
            raise MappingError(f"registry: expected http://HOST:PORT or https://, got {url!r}")
        try:
            import fastavro
        except ImportError as error:
            raise MappingError(
                f"registry: no reader of Avro ({error}); pip install 'copyloop[avro]'"
            ) from error
        self._avro = fastavro
        self._url = url.rstrip("/")
        self._stop = stop
        self._schemas: dict[int, _Schema] = {}

    def read(self, schema_id: int, payload: bytes) -> object:
        """Returns what a payload holds by a schema.

        Raises:
            UnmappedError: there is no such schema, or the payload does not fit it.
            MappingError: the registry refuses to answer us.
            LogUnavailable: the registry did not answer until the process was to stop.
        """
        schema = self._schemas.get(schema_id)
        if schema is None:
            schema = self._schemas[schema_id] = self._look_up(schema_id)
        if schema.refused:
            raise UnmappedError("mapping_schema", schema.refused)
        if schema.avro is None:
            return _json(payload)
        try:
            return self._avro.schemaless_reader(io.BytesIO(payload), schema.avro, None)
        except Exception as error:  # fastavro raises whatever it trips over
            found = f"value: does not fit schema {schema_id}: {error!r}"
            raise UnmappedError("mapping_schema", found) from error

    def _look_up(self, schema_id: int) -> _Schema:
        found = self._ask(f"schemas/ids/{schema_id}")
        if found is None:
            return _Schema(refused=f"value: the registry has no schema {schema_id}")
        match found.get("schemaType", "AVRO"):
            case "JSON":
                return _Schema()
            case "AVRO":
                return _Schema(self._parsed(found, {}))
            case kind:
                refused = f"value: schema {schema_id} is of type {kind}; JSON and AVRO are read"
                return _Schema(refused=refused)

    def _parsed(self, found: dict[str, Any], named: dict[str, Any]) -> Any:
        """Returns a schema, parsed, with those that it refers to."""
        for reference in found.get("references", ()):
            subject, version = quote(reference["subject"], safe=""), reference["version"]
            other = self._ask(f"subjects/{subject}/versions/{version}")
            if other is not None:
                self._parsed(other, named)
        return self._avro.parse_schema(_decode(found["schema"]), named_schemas=named)

    def _ask(self, path: str) -> dict[str, Any] | None:
        """Returns the registry's answer, None if there is no such thing; waits for a registry."""
        import httpx

        while True:
            try:
                answer = httpx.get(
                    f"{self._url}/{path}", timeout=TIMEOUT_SECONDS, follow_redirects=True
                )
                if answer.status_code == NOT_FOUND:
                    return None
                if answer.is_client_error:
                    raise MappingError(f"registry: {self._shown} says {answer.status_code}")
                found: dict[str, Any] = answer.raise_for_status().json()
                return found
            except (httpx.HTTPError, ValueError) as error:
                logger.warning("registry %s does not answer, trying again: %s", self._shown, error)
                if self._stop.wait(RETRY_SECONDS):
                    raise LogUnavailable(f"registry {self._shown}: {error}") from error

    @property
    def _shown(self) -> str:
        scheme, _, rest = self._url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"
