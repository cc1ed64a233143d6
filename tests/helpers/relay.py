"""A relay before another server, which keeps what was asked on which connection, and what was answered."""

import contextlib
import http.client
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from helpers.http_servers import Handler, served


class Relayed(NamedTuple):
    """One request and its answer."""

    connection: int
    """Port of the client's end."""
    body: dict[str, Any]
    answer: bytes


@contextlib.contextmanager
def relaying(url: str, kept: list[Relayed]) -> Iterator[str]:
    """The URL of the relay before the server at `url`; what passes is added to `kept`, in the order of the answers."""
    target = urlsplit(url).netloc

    class Relay(Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.body()
            connection = http.client.HTTPConnection(target)
            with contextlib.closing(connection):
                connection.request("POST", self.path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
            kept.append(Relayed(self.client_address[1], msgspec.json.decode(body), answer))
            self.answer(response.status, answer, {"Content-Type": response.headers["Content-Type"]})

    with served(Relay) as own:
        yield own
