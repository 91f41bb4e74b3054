"""No answer at all: what stood in the way is told apart, and only what can heal is asked for again."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jumpcloud_elt.connections.causes import explain
from jumpcloud_elt.errors import RequestError, TransientError
from jumpcloud_elt.hook import JumpCloudHook
from support.connections import API_KEY, connection_json
from support.loopback import USERS, Loopback, reply

ELSEWHERE = "https://jumpcloud.example"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of `other.example` that it signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other.example")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("other.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        signed.public_bytes(encoding) + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    )
    return path


def use_tls(server: Loopback, certificate: Path) -> str:
    """Serve over TLS from now on; return the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    return server.url.replace("http", "https")


def connect(monkeypatch: pytest.MonkeyPatch, url: str, **fields: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(url, API_KEY, **fields))


def failure(hook: JumpCloudHook, *, attempts: int) -> str:
    """The message of the error that a GET ends in, after so many requests; more than one only if it can heal."""
    with pytest.raises(RequestError) as raised:
        hook.get(USERS)
    assert hook.request_count == attempts
    assert isinstance(raised.value, TransientError) == (attempts > 1)
    assert str(raised.value) in str(explain(raised.value, hook.account, "organizations"))
    return str(raised.value).removeprefix(f"GET {USERS}: ")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return int(closed.getsockname()[1])


@pytest.mark.parametrize(("is_trusted", "reason"), [(False, "self-signed certificate"), (True, "IP address mismatch")])
def test_a_certificate_that_does_not_verify_is_told_at_once(
    is_trusted: bool, reason: str, certificate: Path, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, use_tls(serve(), certificate))
    if is_trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert failure(hook, attempts=1) == (
        f"the server's certificate does not verify ({reason}). Check Base URL; where a proxy or a server of your own "
        "presents it, name the file of its CA in REQUESTS_CA_BUNDLE"
    )


def test_the_certificate_of_the_token_route_is_told_at_once_too(
    certificate: Path, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_url = use_tls(serve(), certificate) + "/oauth2/token"
    connect(monkeypatch, ELSEWHERE, login="client", extra={"token_url": token_url})
    assert failure(hook, attempts=1).startswith(
        "POST token for the service account: the server's certificate does not verify (self-signed certificate)"
    )


def test_a_ca_bundle_that_is_not_there_is_told_at_once(hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, ELSEWHERE)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    assert failure(hook, attempts=1) == "there is no file of CA certificates where REQUESTS_CA_BUNDLE names one"


def test_a_server_that_speaks_no_tls_is_tried_again(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, serve().url.replace("http", "https"))
    assert failure(hook, attempts=4) == "the TLS connection failed; tried 4 times"


def test_a_name_that_cannot_be_resolved_is_tried_again(hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    connect(monkeypatch, ELSEWHERE)
    hook.account  # noqa: B018 - read before names fail
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert failure(hook, attempts=4) == "the host name cannot be resolved (DNS); tried 4 times"


def test_a_connection_that_is_refused_is_tried_again(hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, f"http://127.0.0.1:{closed_port()}")
    assert failure(hook, attempts=4) == "the connection was refused; tried 4 times"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_demands_a_login_is_told_at_once(
    scheme: str, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(b"", 407))
    connect(monkeypatch, f"{scheme}://jumpcloud.example")
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", server.url)
    words = "the proxy demands authentication (407): name its user and password in HTTPS_PROXY and HTTP_PROXY"
    assert words in failure(hook, attempts=1)
    assert [command for command, _, _ in server.received] == ["GET" if scheme == "http" else "CONNECT"]


def test_a_proxy_that_lets_nothing_through_is_tried_again(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", serve(reply(b"", 503)).url)
    connect(monkeypatch, ELSEWHERE)
    assert failure(hook, attempts=4) == "the proxy let no connection through (503); tried 4 times"


def test_a_proxy_that_is_not_there_is_tried_again(hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, ELSEWHERE)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{closed_port()}")
    assert failure(hook, attempts=4) == "the proxy cannot be reached: the connection was refused; tried 4 times"


@pytest.mark.parametrize("is_token", [False, True])
def test_an_answer_that_stops_in_its_body_is_no_answer_in_time(
    is_token: bool, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stall(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n ")
        handler.wfile.flush()
        time.sleep(0.6)

    hook.settings = dataclasses.replace(hook.settings, read_timeout_seconds=0.2, request_attempts=1)
    connect(monkeypatch, serve(stall).url, **({"login": "client"} if is_token else {}))
    with pytest.raises(TransientError, match="no answer in time"):
        hook.get(USERS)
