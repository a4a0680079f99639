"""The Python client of the policy query API, for threads and for asyncio.

    client = Client("http://127.0.0.1:8080", api_key="…")
    decision = client.rank("home", {"device": "phone"})
    show(decision.parts["headline"])
    client.outcome("home", decision.event_id, "click")

Retries, batching of outcomes and an offline mode are options of both; what a call returns has
types, and what goes wrong is a `ClientError` with a stable `code`.
"""

from __future__ import annotations

from bandit.client.clients import AsyncClient, Client
from bandit.client.errors import ApiError, ClientError, OutboxFull, Unreachable
from bandit.client.offline import Baseline, Offline, Retries
from bandit.client.outbox import Batching
from bandit.client.wire import Decision, Refused, SlotDecision, SlotDecisions

__all__ = [
    "ApiError",
    "AsyncClient",
    "Baseline",
    "Batching",
    "Client",
    "ClientError",
    "Decision",
    "Offline",
    "OutboxFull",
    "Refused",
    "Retries",
    "SlotDecision",
    "SlotDecisions",
    "Unreachable",
]
