"""What the kernel knows of a TCP connection."""

import asyncio
import socket
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
