"""Delivers outcomes in a thread of its own, for either client."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

import httpx

from bandit.client import wire
from bandit.client.errors import ClientError
from bandit.client.offline import Offline
from bandit.client.outbox import Batching, Outbox
from bandit.client.wire import Call

PAUSE_SECONDS: Final = 0.005
"""How often somebody who waits for delivery looks whether it is done."""


class Courier:
    """Takes outcomes in and sends them behind the caller's back; safe to share among threads.

    Args:
        url: of the API.
        headers: sent with every request.
        timeout_seconds: for each attempt.
        batching: how outcomes are gathered.
        offline: where they wait on disk while the server is away; None if they do not.

    Raises:
        SpoolDamaged: what an earlier process left on disk cannot be read.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        timeout_seconds: float,
        batching: Batching,
        offline: Offline | None,
    ) -> None:
        self._box = Outbox(batching, offline)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds)
        self._safe_on_disk = False
        self._spools = offline is not None
        self._closing = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="outcomes", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many outcomes are not delivered yet."""
        return self._box.waiting

    @property
    def worth_waiting(self) -> bool:
        """Whether something waits that is not just as well left on disk, the server being away."""
        return self.waiting > 0 and not self._safe_on_disk

    def add(self, item: object) -> None:
        """Takes an outcome in.

        Raises:
            OutboxFull: too many wait.
        """
        self._box.add(item)

    def hurry(self) -> None:
        """Has what is gathered sent now."""
        self._hurry.set()

    def close(self) -> int:
        """Ends; what is not sent yet goes to disk. Returns how many outcomes are lost instead."""
        self._closing.set()
        self._hurry.set()
        with self._box.arrived:
            self._box.arrived.notify_all()
        self._thread.join()
        self._http.close()
        return self._box.close()

    def _deliver(self) -> None:
        box, batching = self._box, self._box.batching
        while not self._closing.is_set():
            with box.arrived:
                box.arrived.wait_for(lambda: self._closing.is_set() or box.waiting)
            self._hurry.wait(batching.flush_seconds)
            self._hurry.clear()
            while not self._closing.is_set() and (parcel := box.next_parcel()) is not None:
                try:
                    box.delivered(parcel, wire.taken_of(self._sent(parcel.call)))
                    self._safe_on_disk = False
                except ClientError as error:
                    box.failed(parcel, error)
                    self._safe_on_disk = self._spools
                    self._closing.wait(batching.retry_seconds)

    def _sent(self, call: Call) -> bytes:
        try:
            answer = self._http.request(
                call.method, call.path, content=call.body, headers=call.headers
            )
        except httpx.TransportError as error:
            raise wire.unreachable(call, error) from error
        if answer.status_code >= 400:
            raise wire.refusal_of(answer.status_code, answer.headers, answer.content)
        return answer.content
