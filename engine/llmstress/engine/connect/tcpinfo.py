"""What is known of a connection that stands."""

import asyncio
import socket
import ssl
import struct

_TOTAL_RETRANS = struct.Struct("100xI")
"""Offset of `tcpi_total_retrans` in `struct tcp_info` (<linux/tcp.h>)."""


def retransmissions(transport: asyncio.BaseTransport) -> int:
    """Segments that were sent again on this connection so far; 0 if it is no TCP connection.

    Asked just after the connection was made, that is its SYN (the target's listen queue was full, which costs a whole
    second, then two, then four) or, with TLS, a part of the handshake. It takes 2 µs.
    """
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    try:
        (count,) = _TOTAL_RETRANS.unpack(
            connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOTAL_RETRANS.size)
        )
    except (OSError, struct.error):
        return 0  # gone already, or a kernel that says less
    return int(count)


def ends_of(transport: asyncio.BaseTransport) -> tuple[str, str]:
    """The addresses of this end and of the other, as `host:port`; empty if the connection is gone already."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    try:
        return ("", "") if connection is None else (place(connection.getsockname()), place(connection.getpeername()))
    except OSError:
        return "", ""


def tls_of(transport: asyncio.BaseTransport) -> str:
    """Version and cipher of its TLS; empty: it is spoken to without."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    cipher = tls.cipher() if tls is not None else None
    return "" if tls is None or cipher is None else f"{tls.version()} {cipher[0]}"


def place(address: object) -> str:
    """`host:port` of an address as sockets have it."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address) or "a Unix socket"
