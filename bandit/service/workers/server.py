"""The HTTP server of API and dashboard: uvicorn, which says when it takes requests."""

from __future__ import annotations

import socket

import uvicorn

from streams.readiness import ready_teller


class ReadyServer(uvicorn.Server):
    """A server that tells who started this process when it takes requests."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application and the server; see uvicorn."""
        await super().startup(sockets)
        # uvicorn sets this where the application could not be started.
        if not self.should_exit:
            ready_teller()()
