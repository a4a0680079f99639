"""LoRA adapters that a vLLM server is told to load while it runs.

A server forgets them when it restarts, and asks for a name and a folder that it sees itself.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from openai import APIError, APIStatusError, OpenAI

from generator.errors import AdapterRefused, BackendError
from generator.files import files_hash
from generator.models.base import SHAPE
from generator.models.pacing import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS

LOADED: Final = "already been loaded"
"""What vLLM says of a name that it knows."""
LORA: Final = "LORA"
DIGITS: Final = 16
GATEWAY: Final = frozenset({408, 429, 502, 503, 504})
"""Statuses of reasons that pass; vLLM's own 500 is of the adapter, and stays."""


class _Shape(Struct):
    """What peft says of an adapter, as far as it matters here."""

    peft_type: str = LORA
    r: int = 0


class ServedAdapters:
    """The adapters that a server was told of, by the names that they are asked for by.

    Attributes:
        loads: how often a server was told again what it had forgotten.
    """

    def __init__(self, url: str, *, retries: int) -> None:
        self._url, self._retries = url, retries
        self._paths: dict[str, str] = {}
        self._lock = threading.Lock()
        self.loads = 0

    def name_of(self, client: OpenAI, adapter: str) -> str:
        """Returns the name by which to ask for an adapter; a folder is loaded under its hash.

        Raises:
            BackendError: the server does not load it.
        """
        if adapter in self._paths or not (Path(adapter) / SHAPE).is_file():
            return adapter
        folder = Path(adapter).resolve()
        name = files_hash(path for path in folder.iterdir() if path.is_file())[:DIGITS]
        with self._lock:
            if name not in self._paths:
                self.load(client, name, str(folder))
        return name

    def load(self, client: OpenAI, name: str, path: str) -> None:
        """Has the server load an adapter, which it may have already.

        Raises:
            AdapterRefused: it never will, as it runs.
            BackendError: it is out of reach.
        """
        folder = str(Path(path).resolve())
        shape = _shape(Path(folder))
        if shape.peft_type != LORA:
            raise AdapterRefused(
                f"adapter {name} is a {shape.peft_type} adapter, and the server loads LoRA "
                "adapters only; write with a model that is loaded here, or teach with "
                "adapter.kind lora or adalora"
            )
        # An id never means another adapter, so one that the server has is the one.
        self._post(client, name, folder, shape.r)
        self._paths[name] = folder

    def load_again(self, client: OpenAI, name: str, *, seen: int) -> bool:
        """Returns whether a server that does not know the name was told of it once more.

        Args:
            client: asks the server.
            name: that the server answered 404 to.
            seen: `loads` when that was asked; another thread may have told it since.

        Raises:
            BackendError: it does not load it any more.
        """
        if name not in self._paths:
            return False
        with self._lock:
            if self.loads == seen:
                self._post(client, name, self._paths[name], 0)
                self.loads += 1
        return True

    def _post(self, client: OpenAI, name: str, folder: str, rank: int) -> None:
        body = {"lora_name": name, "lora_path": folder}
        # The client would try a 500 again, and here that is the answer.
        patient = client.with_options(max_retries=0)
        for attempt in range(self._retries + 1):
            try:
                patient.post("/load_lora_adapter", cast_to=str, body=body)
            except APIError as error:
                status = error.status_code if isinstance(error, APIStatusError) else None
                if LOADED in str(error):
                    return
                last = attempt == self._retries
                if last or not (status is None or status in GATEWAY):
                    raise self._refused(name, folder, rank, error, status) from error
                time.sleep(min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS))
            else:
                return

    def _refused(
        self, name: str, folder: str, rank: int, error: APIError, status: int | None
    ) -> BackendError:
        words = f"{self._url} did not load the adapter {name!r} from {folder!r}: {error}"
        if status is None or status in GATEWAY:
            return BackendError(words, retriable=True)
        return AdapterRefused(words + _way_out(str(error), rank, status))


def _way_out(said: str, rank: int, status: int) -> str:
    """Returns what to do about a refusal."""
    if "max_lora_rank" in said:
        wanted = f" {rank}" if rank else ""
        return (
            f". Start vLLM with --max-lora-rank{wanted} or more, or teach with a lower "
            "adapter.rank; an adapter of adalora has its start_rank, half as many more than rank "
            "unless it is set"
        )
    if "No adapter found" in said:
        return ". The folder has to be where the server sees it under the same path"
    if "not enabled" in said.lower():
        return ". Start vLLM with --enable-lora"
    if status in (404, 405):
        return (
            ". The server has no such route: start vLLM with --enable-lora and "
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
        )
    return ""


def _shape(folder: Path) -> _Shape:
    """Returns what an adapter says of itself; nothing where the folder is the server's alone."""
    try:
        return msgspec.json.decode((folder / SHAPE).read_bytes(), type=_Shape)
    except (OSError, msgspec.MsgspecError):
        return _Shape()
