"""Real connections to go through or to: a proxy process, a relay that records its clients, targets behind TLS."""

import asyncio
import contextlib
import functools
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

from helpers.bench import HEAD, TOKEN
from helpers.live_load import ANSWER, BODY
from helpers.processes import DEADLINE_S


@contextlib.contextmanager
def real_proxy(directory: Path, *options: str) -> Iterator[str]:
    """proxy.py as a process; gives its host and port."""
    ports = directory / "ports"
    command = [sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", "0", "--port-file", str(ports)]
    few = ["--num-workers", "1", "--num-acceptors", "1", "--log-level", "C"]
    with subprocess.Popen([*command, *few, *options]) as process:
        try:
            while not (ports.exists() and ports.read_text().strip()):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
                assert process.returncode is None, "it ended instead of listening"
            yield f"127.0.0.1:{ports.read_text().strip()}"
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


class Relay:
    """Passes on to a port of 127.0.0.1 whatever comes; runs in a thread, for tests whose load is a process."""

    def __init__(self, to_port: int) -> None:
        self.peers: Counter[str] = Counter()
        """Connections from each address."""
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]

    async def serve(self, stopped: asyncio.Event) -> None:
        server = await asyncio.start_server(self._pass_on, sock=self._listener)
        await stopped.wait()
        server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers[writer.get_extra_info("peername")[0]] += 1
        with contextlib.suppress(ConnectionError):
            there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
            await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextlib.contextmanager
def relay(to_port: int) -> Iterator[Relay]:
    made = Relay(to_port)
    with asyncio.Runner() as runner:
        loop, stopped = runner.get_loop(), asyncio.Event()
        thread = threading.Thread(target=lambda: runner.run(made.serve(stopped)))
        thread.start()
        try:
            yield made
        finally:
            loop.call_soon_threadsafe(stopped.set)
            thread.join()


class Target:
    """A server in this process; answers each request as soon as it is whole, and notes what it saw."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.answer = answer
        self.open: set[_TargetPeer] = set()
        self.heads: list[str] = []
        """Heads of the requests, in the order of their arrival."""
        self.peers: Counter[str] = Counter()
        """Connections from each address."""
        self.requests_at: Counter[str] = Counter()
        """Requests that came to each address of ours."""
        self.accepted = 0

    def arrived(self, peer: "_TargetPeer", head: str) -> None:
        """A request is whole."""
        self.heads.append(head)
        if isinstance(name := peer.transport.get_extra_info("sockname"), tuple):
            self.requests_at[name[0]] += 1
        peer.transport.write(self.answer)
        if "connection: close" in head.lower():
            peer.transport.close()


class Flooding(Target):
    """Answers with tokens, and goes on for as long as the client doesn't close the connection."""

    def arrived(self, peer: "_TargetPeer", head: str) -> None:
        self.heads.append(head)
        peer.transport.write(HEAD)
        self._go_on(peer)

    def _go_on(self, peer: "_TargetPeer") -> None:
        if peer in self.open:
            peer.transport.write(TOKEN)
            asyncio.get_running_loop().call_later(0.001, self._go_on, peer)


class _TargetPeer(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, target: Target) -> None:
        self._target = target
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._target.accepted += 1
        self._target.open.add(self)
        if isinstance(name := transport.get_extra_info("peername"), tuple):
            self._target.peers[name[0]] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._target.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if end and body == BODY:
            self._data = b""
            self._target.arrived(self, head.decode())


@contextlib.asynccontextmanager
async def listening(target: Target, *hosts: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Have `target` listen on one port of all `hosts` (127.0.0.1 without any), and see that all connections end."""
    loop = asyncio.get_running_loop()
    first, *others = hosts or ("127.0.0.1",)
    servers = [await loop.create_server(lambda: _TargetPeer(target), first, 0, ssl=tls)]
    port: int = servers[0].sockets[0].getsockname()[1]
    servers += [await loop.create_server(lambda: _TargetPeer(target), host, port, ssl=tls) for host in others]
    async with _served(target, servers):
        yield port


@contextlib.asynccontextmanager
async def listening_at_path(target: Target, path: Path) -> AsyncIterator[None]:
    """Have `target` listen on a Unix socket."""
    server = await asyncio.get_running_loop().create_unix_server(lambda: _TargetPeer(target), str(path))
    async with _served(target, [server]):
        yield


@contextlib.asynccontextmanager
async def _served(target: Target, servers: list[asyncio.Server]) -> AsyncIterator[None]:
    try:
        yield
        async with asyncio.timeout(DEADLINE_S):
            while target.open:  # who connected has closed all connections, or will never
                await asyncio.sleep(0.001)
    finally:
        for peer in list(target.open):
            peer.transport.abort()
        for server in servers:
            await _close(server)


async def _close(server: asyncio.Server) -> None:
    """Close it, and wait for the end of its connections, those included whose handshake is still going on."""
    all_gone = asyncio.ensure_future(server.wait_closed())  # after `close` uvloop's would not wait any more
    await asyncio.sleep(0)
    server.close()
    await asyncio.wait_for(all_gone, DEADLINE_S)


@contextlib.asynccontextmanager
async def saying(*words: bytes, hold: bool = False, reset: bool = False) -> AsyncIterator[int]:
    """A server that reads something and then says its words, whatever was asked; gives its port. It closes the
    connection then, unless it shall `hold` it; `reset`: not politely."""
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(1 << 16)
            writer.write(b"".join(words))
            if hold:
                await over.wait()
        if reset:
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        await _close(server)


@contextlib.contextmanager
def strict_tls(context: ssl.SSLContext, answer: bytes = ANSWER, *, drops: bool = False) -> Iterator[int]:
    """A TLS server that tells whom it refuses why, as OpenSSL does and asyncio doesn't; gives its port. `drops`: after
    an answer it closes the connection without TLS's goodbye."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)

    def talk(plain: socket.socket) -> None:
        with plain.dup() as same:
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                while connection.recv(1 << 16):
                    connection.sendall(answer)
                    if drops:
                        break
            with contextlib.suppress(OSError):
                same.shutdown(socket.SHUT_WR)
                while same.recv(1 << 16):  # unread bytes would turn the end into a reset, which discards what was sent
                    pass

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                _thread(functools.partial(talk, plain))

    thread = _thread(accept)
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def _thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
