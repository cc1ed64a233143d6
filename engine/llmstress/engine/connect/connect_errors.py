"""Maps the exceptions of aiohttp's connector to classes of failures, with a text that says what to do.

Every exception has a class: an unexpected one ends its request and not the worker.
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
"""errno -> class of failure. Any other errno (no route, network down) is `unreachable`."""

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
"""Reason of an `ssl.SSLError` -> a hint for the user. The reasons are those of the OpenSSL in Python 3.11 to 3.14."""

_CONNECT_CALL = re.compile(r"Connect call failed \('([^']*)', (\d+)[^)]*\)")
"""Text that asyncio writes in place of the system's message; it contains the address."""

_ERRNO = re.compile(r"\[Errno (-?\d+)\] ")


def end_of_failed_connect(error: BaseException, *, https: bool, proxied: bool) -> End:
    """The class of failure for an exception of the connector, and its text.

    https: the target uses TLS. proxied: the connection goes through a proxy, for https through a tunnel (CONNECT).

    The first rule that applies decides. The order matters because one exception can match several rules:
    `ssl.SSLError`, `socket.gaierror`, `TimeoutError` and `ConnectionAbortedError` are all `OSError`s.
    """
    # The cause instead of the connector's error: the connector's text names a TLS setting even without TLS.
    cause: BaseException = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    number = cause.errno if isinstance(cause, OSError) else None
    outcome = _CLASS_OF_ERRNO.get(number or 0, "unreachable")
    text = str(cause) or type(cause).__name__
    # TLS comes first, because the errno of an SSLError is a code of OpenSSL and not of the system. If TLS fails after
    # the connection was opened, aiohttp replaces the SSLError by an error of its own, and only its text tells.
    if isinstance(cause, ssl.SSLError) or text.startswith(("[SSL", f"[Errno {number}] [SSL")):
        return End("tls", _tls_text(cause))
    text = _system_text(text)
    # DNS comes before the rules about errno and proxies: the errno of a gaierror is an EAI_ code, and a proxy whose
    # name has no address is a DNS failure, too. UnicodeError: a label of the name is empty or too long, so there was no
    # query.
    if isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(cause, socket.gaierror | UnicodeError):
        return End("dns", f"{_host_of(error)}{text}")
    # A TimeoutError without errno is our own limit; the kernel's has ETIMEDOUT, which is in the table. This comes
    # before the rule about the tunnel, because the limit can expire while the tunnel is being opened.
    if isinstance(cause, TimeoutError) and number is None:
        return End("connect_timeout", "no connection within the limit (--timeout-connect)")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        hint = "; put user and password into its URL" if error.status == 407 else ""
        bypass = "use --proxy none or no_proxy to bypass it"
        return End("proxy", f"the proxy refused the tunnel: {error.status} {error.message}{hint}; {bypass}")
    # Before the next rule: if this machine has no port or descriptor left, the proxy is not the reason.
    if outcome == "local":
        return End("local", text)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return End("proxy", f"no connection to the proxy {_host_of(error)}{text}")
    # The connection to the proxy is open, or the rule above would have applied. Failures of TLS within the tunnel are
    # ClientConnectorErrors, so any other error is a failure to open the tunnel.
    if https and proxied and not isinstance(error, aiohttp.ClientConnectorError):
        return End("proxy", f"the proxy opened no tunnel: {' '.join(text.split())}")
    # uvloop has a limit of 60 s for a handshake. Before the next rule, which would report a closed connection.
    if isinstance(cause, ConnectionAbortedError) and number is None:
        return End("connect_timeout", text)
    # A refused connection never begins the handshake. Any other connection that ends while it is being opened ends
    # within the handshake.
    if https and error is not cause and isinstance(cause, ConnectionError) and outcome != "connect_refused":
        return End("tls", "the connection was closed during the TLS handshake")
    # Before the rule for all OSErrors, to add the path of the socket.
    if isinstance(error, UnixClientConnectorError):
        return End(outcome, f"{error.path}: {error.os_error.strerror or text}")
    if isinstance(cause, OSError):
        return End(outcome, text)
    # The connector asserts that it has an address to try.
    if isinstance(error, AssertionError):
        return End(outcome, "the host has no address that the source addresses can reach")
    return End(outcome, f"{type(error).__name__}: {text}")


def end_before_head(error: Exception | None) -> End:
    """The end of a request whose connection was lost before the head of the answer was complete.

    error: what the transport reported; None: the peer closed the connection.
    """
    # In TLS 1.3 the client has finished its handshake before the server checks the client's certificate, so a refusal
    # arrives as the answer to the first request.
    if isinstance(error, ssl.SSLError):
        return End("tls", _tls_text(error))
    how = "reset" if error is not None else "closed"
    return End("reset", f"the connection was {how} before the answer's head was complete")


def _system_text(text: str) -> str:
    """The text of an `OSError` without the numbers of its errors, and with the system's message where asyncio has
    written `Connect call failed`. One text may contain several errors, one for each address that was tried."""
    pieces = _ERRNO.split(text)
    result = pieces[0]
    for number, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        call = _CONNECT_CALL.search(piece)
        if call is None:
            result += piece
            continue
        host = f"[{call[1]}]" if ":" in call[1] else call[1]
        result += f"{piece[: call.start()]}{os.strerror(int(number))} ({host}:{call[2]}){piece[call.end() :]}"
    return result.removeprefix("Multiple exceptions: ")


def _tls_text(error: BaseException) -> str:
    """The text for a failure of TLS, with the flag that may help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = (getattr(error, "verify_message", None) or str(error)).rstrip(".")
        return f"certificate not accepted: {why} (use --cacert for its authority, or --insecure to accept any)"
    text = str(error)
    return next((f"{hint} ({reason})" for reason, hint in _TLS_HINTS.items() if f": {reason}]" in text), text)


def _host_of(error: BaseException) -> str:
    return f"{error.host}:{error.port}: " if isinstance(error, aiohttp.ClientConnectorError) else ""
