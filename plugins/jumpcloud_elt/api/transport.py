"""Requests that got no answer: what stood in the way, and whether it can heal."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from urllib3.exceptions import ReadTimeoutError

from jumpcloud_elt.errors import JumpCloudError, RequestError, TransientError

PROXY_LOGIN = "the proxy demands authentication (407): name its user and password in HTTPS_PROXY and HTTP_PROXY"
# What http.client says where a proxy refuses a CONNECT; nothing else holds the status.
TUNNEL_STATUS = re.compile(r"Tunnel connection failed: ([0-9]{3})")


@contextmanager
def transport_errors(what: str) -> Iterator[None]:
    """Raise TransientError for what broke on the way of the request `what`, RequestError for what no wait heals.

    That is a certificate that does not verify, a proxy that demands authentication, and the rest of what requests
    raises. No message holds an address or a header: the exceptions' own texts do.
    """
    try:
        yield
    except requests.exceptions.ContentDecodingError as error:
        raise TransientError(f"{what}: the body cannot be decompressed") from error
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        if lasting := _lasting(error):
            raise RequestError(f"{what}: {lasting}") from error
        raise TransientError(f"{what}: {_passing(error)}") from error
    except requests.RequestException as error:
        raise RequestError(f"{what}: {type(error).__name__}") from error
    except OSError as error:
        # requests lets it through, as an error of no class of its own.
        if "TLS CA certificate bundle" not in str(error):
            raise
        raise RequestError(f"{what}: there is no file of CA certificates where REQUESTS_CA_BUNDLE names one") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what brought it about, down to the operating system's error; not what was handled before."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, JumpCloudError):
        yield cause
        cause = cause.__cause__ or cause.__context__


def _lasting(error: requests.RequestException) -> str | None:
    """What stays as it is until a person changes it; None for what may pass."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = cause.verify_message.partition(",")[0]
            return (
                f"the server's certificate does not verify ({reason}). Check Base URL; where a proxy or a server of "
                "your own presents it, name the file of its CA in REQUESTS_CA_BUNDLE"
            )
    return PROXY_LOGIN if _tunnel_status(error) == "407" else None


def _passing(error: requests.RequestException) -> str:
    if status := _tunnel_status(error):
        return f"the proxy let no connection through ({status})"
    words = _of_connection(error)
    return f"the proxy cannot be reached: {words}" if isinstance(error, requests.exceptions.ProxyError) else words


def _of_connection(error: requests.RequestException) -> str:  # noqa: PLR0911 - one return for each failure
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    # While it reads a body, requests raises it as an error of the connection.
    if isinstance(error, requests.Timeout) or any(isinstance(one, ReadTimeoutError) for one in _causes(error)):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke before the body was complete"
    if isinstance(error, requests.exceptions.SSLError):
        return "the TLS connection failed"
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "the host name cannot be resolved (DNS)"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection was refused"
    return "the connection failed or broke"


def _tunnel_status(error: requests.RequestException) -> str | None:
    found = TUNNEL_STATUS.search(str(error))
    return found[1] if found else None
