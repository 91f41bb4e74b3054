"""An S3 server on loopback, moto's: started once, in a process of its own; a bucket for each test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CONNECTION_ID = "object_store"
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server for the tests of one module."""
    with s3_server() as url:
        yield url


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server that ends with this process, or on leaving."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Its own credentials are of no concern; it must not ask a proxy or the machine for any.
        env=os.environ | {"AWS_ACCESS_KEY_ID": "moto-key", "AWS_SECRET_ACCESS_KEY": "moto-secret"},
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


def connection_to(url: str, **extra: object) -> str:
    """An AIRFLOW_CONN_* value of the server."""
    extra |= {"endpoint_url": url, "region_name": "us-east-1"}
    return json.dumps({"conn_type": "aws", "login": "access-key", "password": "secret-key", "extra": extra})


def make_bucket(bucket: str) -> None:
    from airflow.sdk.io import attach  # noqa: PLC0415, few tests need it

    attach("s3", CONNECTION_ID).fs.mkdir(bucket)
