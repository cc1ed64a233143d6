"""Facts about an open connection: retransmissions, addresses, TLS."""

import asyncio
import socket
import ssl
import struct

_TOTAL_RETRANS = struct.Struct("100xI")
"""The field `tcpi_total_retrans` at offset 100 of `struct tcp_info` (<linux/tcp.h>)."""


def retransmissions(transport: asyncio.BaseTransport) -> int:
    """Number of segments that were retransmitted on this connection so far; 0 if it is not a TCP connection.

    Just after the connection was made, a retransmitted segment is its SYN or, with TLS, a part of the handshake. A SYN
    is sent again if the target's listen queue was full: after one second, then two, then four. The call takes 2 µs.
    """
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    try:
        (count,) = _TOTAL_RETRANS.unpack(
            connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOTAL_RETRANS.size)
        )
    except (OSError, struct.error):
        return 0  # the connection is closed already, or an old kernel has a shorter struct
    return int(count)


def ends_of(transport: asyncio.BaseTransport) -> tuple[str, str]:
    """The local address and the peer's, as `host:port`; both empty if the connection is closed already."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    try:
        if connection is None:
            return "", ""
        return address_text(connection.getsockname()), address_text(connection.getpeername())
    except OSError:
        return "", ""


def tls_of(transport: asyncio.BaseTransport) -> str:
    """Version and cipher of TLS, for instance `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty: no TLS."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    cipher = tls.cipher() if tls is not None else None
    return "" if tls is None or cipher is None else f"{tls.version()} {cipher[0]}"


def address_text(address: object) -> str:
    """A socket's address as text: `host:port`, or the path of a Unix socket."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address) or "a Unix socket"
