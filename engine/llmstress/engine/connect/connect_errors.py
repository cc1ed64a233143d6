"""Why there is no connection: what the connector raises -> the class of failure, and words that say what to do.

One class each, whatever is raised: an exception that nobody thought of must not end the worker.
"""

import errno
import os
import re
import socket
import ssl

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError

from llmstress.engine.outcome import End

_CLASS_OF_ERRNO = {
    errno.EADDRINUSE: "local",
    errno.EADDRNOTAVAIL: "local",
    errno.EMFILE: "local",
    errno.ENFILE: "local",
    errno.ENOBUFS: "local",
    errno.ENOMEM: "local",
    errno.ECONNREFUSED: "connect_refused",
    errno.ECONNRESET: "reset",
    errno.ETIMEDOUT: "connect_timeout",
}
"""Anything else (no route, network down) is `unreachable`."""

_TLS_HINTS = {
    "WRONG_VERSION_NUMBER": "the server does not speak TLS on this port; use http:// instead of https://",
    "HTTP_REQUEST": "the server does not speak TLS on this port; use http:// instead of https://",
    "PACKET_LENGTH_TOO_LONG": "the server does not speak TLS on this port; use http:// instead of https://",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server requires a client certificate (--cert)",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server refused the handshake; it may require a client certificate (--cert)",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the server refused the client certificate (--cert)",
    "TLSV1_ALERT_UNKNOWN_CA": "the server does not trust the authority of the client certificate (--cert)",
    "TLSV1_UNRECOGNIZED_NAME": "the server has no certificate for this host name",
}
"""Reason of an `ssl.SSLError` -> what it means for whoever runs the test. The OpenSSL of Python 3.11 to 3.14."""

_CALL = re.compile(r"Connect call failed \('([^']*)', (\d+)[^)]*\)")
"""What asyncio says instead of the system's words, with the address."""

_NUMBERED = re.compile(r"\[Errno (-?\d+)\] ")


def end_of_failed_connect(error: BaseException, *, https: bool, proxied: bool) -> End:
    """The class of failure that an exception of the connector means, with its words.

    https: the target is spoken to in TLS. proxied: through a proxy, for https by a tunnel (CONNECT).
    """
    # the connector's own words name a TLS setting even where there is no TLS
    cause: BaseException = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    number = cause.errno if isinstance(cause, OSError) else None
    outcome = _CLASS_OF_ERRNO.get(number or 0, "unreachable")
    text = str(cause) or type(cause).__name__
    if isinstance(cause, ssl.SSLError) or text.startswith(("[SSL", f"[Errno {number}] [SSL")):
        return End("tls", _words_of_tls(cause))  # once a connection stands, aiohttp's error has the words of TLS's only
    text = _words_of_system(text)
    # a name with a label that is empty or too long never gets to DNS
    if isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(cause, socket.gaierror | UnicodeError):
        return End("dns", f"{_host_of(error)}{text}")
    if isinstance(cause, TimeoutError) and number is None:
        return End("connect_timeout", "no connection within the limit (--timeout-connect)")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        hint = "; put user and password into its URL" if error.status == 407 else ""
        around = "use --proxy none or no_proxy to bypass it"
        return End("proxy", f"the proxy refused the tunnel: {error.status} {error.message}{hint}; {around}")
    if outcome == "local":
        return End("local", text)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return End("proxy", f"no connection to the proxy {_host_of(error)}{text}")
    if https and proxied and not isinstance(error, aiohttp.ClientConnectorError):
        return End("proxy", f"the proxy opened no tunnel: {' '.join(text.split())}")
    if isinstance(cause, ConnectionAbortedError) and number is None:
        return End("connect_timeout", text)  # uvloop's own limit of 60 s for a handshake
    if https and error is not cause and isinstance(cause, ConnectionError) and outcome != "connect_refused":
        return End("tls", "the connection was closed during the TLS handshake")
    if isinstance(error, UnixClientConnectorError):
        return End(outcome, f"{error.path}: {error.os_error.strerror or text}")
    if isinstance(cause, OSError):
        return End(outcome, text)
    if isinstance(error, AssertionError):  # the connector's way to say that it has no address to try
        return End(outcome, "the host has no address that the source addresses can reach")
    return End(outcome, f"{type(error).__name__}: {text}")


def end_before_head(error: Exception | None) -> End:
    """How a request ends whose connection was lost before the answer's head was complete; None: the peer closed it."""
    if isinstance(error, ssl.SSLError):  # in TLS 1.3 a server refuses a client after the client's part is done
        return End("tls", _words_of_tls(error))
    how = "reset" if error is not None else "closed"
    return End("reset", f"the connection was {how} before the answer's head was complete")


def _words_of_system(text: str) -> str:
    """The words of an `OSError` without its number, and with those of the system where asyncio has its own."""
    pieces = _NUMBERED.split(text)
    said = pieces[0]
    for number, words in zip(pieces[1::2], pieces[2::2], strict=True):
        called = _CALL.search(words)
        if called is None:
            said += words
            continue
        host = f"[{called[1]}]" if ":" in called[1] else called[1]
        said += f"{words[: called.start()]}{os.strerror(int(number))} ({host}:{called[2]}){words[called.end() :]}"
    return said.removeprefix("Multiple exceptions: ")


def _words_of_tls(error: BaseException) -> str:
    """What a failure of TLS means, and which option may help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = (getattr(error, "verify_message", None) or str(error)).rstrip(".")
        return f"certificate not accepted: {why} (use --cacert for its authority, or --insecure to accept any)"
    words = str(error)
    return next((f"{hint} ({reason})" for reason, hint in _TLS_HINTS.items() if f": {reason}]" in words), words)


def _host_of(error: BaseException) -> str:
    return f"{error.host}:{error.port}: " if isinstance(error, aiohttp.ClientConnectorError) else ""
