import asyncio
import inspect
import threading

import pytest

from bandit.client import AsyncClient, Client
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import running


class Blocking:
    """An `AsyncClient` on an event loop of its own, with the methods of a `Client`."""

    def __init__(self, *arguments, **options):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self._client = self._run(self._made(*arguments, **options))
        except BaseException:
            self._end()
            raise

    async def _made(self, *arguments, **options):
        return AsyncClient(*arguments, **options)

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *arguments, **options: self._run(found(*arguments, **options))

    def as_caller(self, credential):
        other = object.__new__(Blocking)
        other.__dict__ = {**self.__dict__, "_client": self._client.as_caller(credential)}
        return other

    def close(self, *arguments):
        lost = self._run(self._client.close(*arguments))
        self._end()
        return lost

    def _end(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(params=[Client, Blocking], ids=["sync", "async"])
def connect(request):
    """Makes clients, which are closed at the end."""
    made = []

    def make(*arguments, **options):
        made.append(request.param(*arguments, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    log = SqliteLog(tmp_path_factory.mktemp("client") / "log.db")
    with running(log) as api:
        yield api
    log.close()
