"""The server of `arrivals.py`: notes when each request comes. On SIGTERM it prints the stamps as one line of JSON.

It answers after a fixed time with a stream of one token. A stamp is taken when the last byte of a request has come, in
nanoseconds of the monotonic clock, which is the same in all processes of a machine.
"""

import asyncio
import json
import signal
import sys
import time
from array import array
from typing import cast

import uvloop

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b",
    b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
)


class Requests(asyncio.Protocol):
    """The requests of one connection."""

    transport: asyncio.Transport

    def __init__(self, stamps: "array[int]", after_s: float) -> None:
        self._stamps = stamps
        self._after_s = after_s
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Stamp first, then look whether the request is complete."""
        now = time.monotonic_ns()
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
        if end and len(body) >= int(length or 0):
            self._data = b""
            if head.startswith(b"POST"):
                self._stamps.append(now)
            asyncio.get_running_loop().call_later(self._after_s, self._answer)

    def _answer(self) -> None:
        self.transport.write(ANSWER[0] % (len(ANSWER[1]), ANSWER[1]))


async def main() -> None:
    """Serve on the port of the first argument; answer after the milliseconds of the second."""
    stamps: array[int] = array("q")
    port, after_s = int(sys.argv[1]), float(sys.argv[2]) / 1000
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    async with await loop.create_server(lambda: Requests(stamps, after_s), "127.0.0.1", port, backlog=4096):
        await over.wait()
    print(json.dumps(list(stamps)))


if __name__ == "__main__":
    uvloop.run(main())
