"""Pooled connections on which one request and the whole of its answer end in time, however slowly the answer comes.

A read timeout alone bounds each wait for the next bytes: a server that sends one byte now and then would hold a thread
for ever. So each wait for bytes, of headers and body alike, is cut to what is left of the time.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import time
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class DeadlineAdapter(HTTPAdapter):
    """An `HTTPAdapter` whose answers raise a read timeout once `seconds` have passed since the request was begun."""

    def __init__(self, seconds: float, **options: Any) -> None:
        self._pool_classes = _pool_classes(seconds)
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> urllib3.PoolManager:
        manager: urllib3.PoolManager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pool_classes
        return manager


class _Reader(io.RawIOBase):
    """What is received on a socket, waited for no longer than until `deadline` (monotonic clock)."""

    def __init__(self, received: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._received = received
        self._socket = sock
        self._deadline = deadline
        self._timeout = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the request has passed")
        self._socket.settimeout(left if self._timeout is None else min(self._timeout, left))
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock, deadline))


def _pool_classes(seconds: float) -> dict[str, Any]:
    """The pools of a pool manager, by scheme."""

    class Timed(HTTPConnection):
        def request(self, *args: Any, **kwargs: Any) -> None:
            response_class: Any = functools.partial(_Response, deadline=time.monotonic() + seconds)
            self.response_class = response_class
            super().request(*args, **kwargs)

    class TimedTls(Timed, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Timed

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = TimedTls

    return {"http": Pool, "https": TlsPool}
