"""Serve a sandbox on loopback: ``python -m sandbox --port 0 --announce FILE``."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import uvicorn

from jumpcloud_sandbox.app import create_app
from jumpcloud_sandbox.generate import demo_world
from jumpcloud_sandbox.state import State
from jumpcloud_sandbox.timestamps import parse_ns
from jumpcloud_sandbox.world import Json

HOST = "127.0.0.1"


class AnnouncingServer(uvicorn.Server):
    """Writes its address to a file once it answers, so that nobody has to guess or wait a while."""

    def __init__(self, config: uvicorn.Config, url: str, announce: Path | None) -> None:
        super().__init__(config)
        self._url = url
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._announce is not None:
            beside = self._announce.with_name(f"{self._announce.name}.{os.getpid()}")
            beside.write_text(self._url)
            beside.replace(self._announce)
        print(f"JumpCloud sandbox on {self._url}", flush=True)


def main() -> None:
    options = _options()
    now_ns = parse_ns(options.now) if options.now else None
    world = _world(options.world, options.seed, now_ns or time.time_ns())
    try:
        state = State(world, now_ns=now_ns)
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"sandbox: {options.world} is not a world: {error}") from error
    listener = socket.create_server((HOST, options.port))
    config = uvicorn.Config(
        create_app(state),
        log_level="warning",
        access_log=False,
        # The request log is the sandbox's own, and `front` must see uvicorn's bare `send`.
        proxy_headers=False,
        server_header=False,
        # Longer than any client's idle pool, so that it never closes a connection under a request.
        timeout_keep_alive=600,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    server = AnnouncingServer(config, f"http://{HOST}:{listener.getsockname()[1]}", options.announce)
    if options.exit_with_stdin:
        threading.Thread(target=_await_end_of_stdin, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


def _await_end_of_stdin(server: uvicorn.Server) -> None:
    """The pipe closes with the parent, even one that was killed: no orphan outlives it."""
    sys.stdin.buffer.read()
    server.should_exit = True


def _world(name: str, seed: int, now_ns: int) -> Json:
    if name == "demo":
        return demo_world(seed=seed, now_ns=now_ns)
    world: Json = json.loads(Path(name).read_text(encoding="utf-8"))
    return world


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox", description="A JumpCloud stand-in on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--announce", type=Path, help="file to write the base URL to, once it answers")
    parser.add_argument("--world", default="demo", help="'demo' (default) or a JSON file")
    parser.add_argument("--seed", type=int, default=1, help="of the demo world (default 1)")
    parser.add_argument("--now", help="fix the clock at this RFC 3339 time (default: the machine's)")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input ends")
    return parser.parse_args()


if __name__ == "__main__":
    main()
