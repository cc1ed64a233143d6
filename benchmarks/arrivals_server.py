"""The server of `arrivals.py`: notes when each request comes. On SIGTERM it prints the stamps as one line of JSON.

The stamp of a request is that of the kernel for the last packet of it (SO_TIMESTAMPNS), in nanoseconds, so it does not
matter how busy this process is. With stamps of its own, two requests that came 20 µs apart were 60 µs apart. The answer
is a stream of one token after a fixed time.
"""

import json
import select
import signal
import socket
import struct
import sys
import time
from array import array
from collections import deque

BODY = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("ll")
ROOM = socket.CMSG_SPACE(TIMESPEC.size)


class Server:
    """Reads requests from all connections and answers each after `after_s` seconds."""

    def __init__(self, port: int, after_s: float) -> None:
        self._after_s = after_s
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # its connections inherit it
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._begun: dict[int, bytes] = {}
        self._answers: deque[tuple[float, socket.socket]] = deque()
        self.stamps: array[int] = array("q")

    def serve(self) -> None:
        """Until SIGTERM raises `SystemExit`."""
        while True:
            wait = self._answers[0][0] - time.monotonic() if self._answers else None
            for fd, _ in self._poll.poll(None if wait is None else max(0.0, wait)):
                if fd == self._listener.fileno():
                    self._accept()
                else:
                    self._read(fd)
            while self._answers and self._answers[0][0] <= time.monotonic():
                self._answers.popleft()[1].send(ANSWER)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = connection
        self._poll.register(connection, select.EPOLLIN)

    def _read(self, fd: int) -> None:
        connection = self._connections[fd]
        try:
            data, ancillary, _, _ = connection.recvmsg(65536, ROOM)
        except ConnectionResetError:  # closed without having read its last answer
            data, ancillary = b"", []
        if not data:
            self._poll.unregister(fd)
            self._connections.pop(fd).close()
            self._answers = deque(each for each in self._answers if each[1] is not connection)
            return
        data = self._begun.pop(fd, b"") + data
        head, end, body = data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
        if not end or len(body) < int(length or 0):
            self._begun[fd] = data
            return
        if head.startswith(b"POST"):
            seconds, ns = TIMESPEC.unpack(ancillary[0][2])
            self.stamps.append(seconds * 1_000_000_000 + ns)
        self._answers.append((time.monotonic() + self._after_s, connection))


def main() -> None:
    """Serve on the port of the first argument; answer after the milliseconds of the second."""
    server = Server(int(sys.argv[1]), float(sys.argv[2]) / 1000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        server.serve()
    except SystemExit:
        print(json.dumps(list(server.stamps)))


if __name__ == "__main__":
    main()
