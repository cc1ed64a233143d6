"""HTTP servers in threads, for tests whose load is a process; each test writes its own answers."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Handler(BaseHTTPRequestHandler):
    """What most of them need."""

    def body(self) -> bytes:
        """Of the request."""
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024


@contextlib.contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port; gives the URL."""
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


ANSWER = msgspec.json.encode(
    {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}
)


@contextlib.contextmanager
def keeping(bodies: list[dict[str, Any]]) -> Iterator[str]:
    """The URL of a server that keeps the bodies of all requests and gives the same answer to all."""

    class Keeper(Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(msgspec.json.decode(self.body()))
            self.answer(200, ANSWER, {"Content-Type": "application/json"})

    with served(Keeper) as url:
        yield url
