"""Servers on loopback that answer as a test says, and a hook that asks them."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from jumpcloud_elt.api import rate_limit
from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.hook import JumpCloudHook
from support.connections import API_KEY, connection_json

ORGANIZATION = "5f0a1c2e9d3b4a0011223301"
USERS = "/api/systemusers"
Json = dict[str, Any]


class Loopback(ThreadingHTTPServer):
    """A server of this test's own: gives `answers` in turn, the last one for good, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self, *answers: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.answers = list(answers)
        self.received: list[tuple[str, str, dict[str, str]]] = []
        self.connections = 0
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connections += 1
        return super().get_request()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Loopback

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((self.command, self.path, headers))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = do_GET

    def log_message(self, *_: object) -> None:
        pass


def reply(body: Any = None, status: int = 200, headers: Json | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
    content = body if isinstance(body, bytes) else json.dumps(body if body is not None else {"ok": 1}).encode()

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": len(content), **(headers or {})}.items():
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(content)

    return send


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    reply(b'{"ok":', headers={"Content-Length": 1000})(handler)
    handler.wfile.flush()
    handler.close_connection = True


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Loopback]]:
    """Start a `Loopback`; the first one becomes `jumpcloud_default`."""
    servers: list[Loopback] = []

    def start(*answers: Callable[[BaseHTTPRequestHandler], None]) -> Loopback:
        server = Loopback(*(answers or [reply()]))
        if not servers:
            monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(server.url, API_KEY))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts. None happens; the rate limiter's clock moves on by them."""
    waited: list[float] = []
    monkeypatch.setattr(JumpCloudClient, "pause", lambda _, seconds: waited.append(seconds))
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + sum(waited)))
    return waited


@pytest.fixture
def hook(waits: list[float]) -> Iterator[JumpCloudHook]:
    """A hook on whatever `jumpcloud_default` is when it is first used: 4 attempts, waits from 1 to 120 seconds."""
    patient = dataclasses.replace(
        read_settings(), request_attempts=4, retry_wait_seconds=1.0, retry_wait_max_seconds=120.0
    )
    with JumpCloudHook(settings=patient) as opened:
        yield opened


def use_service_account(monkeypatch: pytest.MonkeyPatch, url: str, secret: str = "sandbox-secret") -> None:
    value = connection_json(url, secret, login="sandbox-client")
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", value)
