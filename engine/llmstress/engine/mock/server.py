"""Runs the mock: sockets, processes, signals."""

import asyncio
import contextlib
import gc
import os
import resource
import secrets
import signal
import socket
import ssl
import traceback
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import uvloop

from llmstress.engine.health.orphan import die_with_parent
from llmstress.engine.mock.connection import ClientConnection, TlsClientConnection
from llmstress.engine.mock.journal import Journal
from llmstress.engine.mock.listen import BACKLOG, listen, server_context, url_of
from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.pacer import Pacer, clock_us
from llmstress.engine.mock.service import Service
from llmstress.engine.mock.truth import Truth, TruthRecorder

_READY = b"+"
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SharedSetup(NamedTuple):
    """Settings that all processes share."""

    options: MockOptions
    tls: ssl.SSLContext | None
    login_key: bytes
    """Signs the tokens of logins."""
    journal_fd: int
    """The file of received requests, opened for appending; -1: there is none."""
    epoch_us: int
    """Stamp of the start, from which freezes are counted, so that all processes freeze together."""


def serve(options: MockOptions, on_listening: Callable[[str], None]) -> Truth:
    """Serve until SIGINT or SIGTERM, and return exact statistics of everything sent.

    `on_listening` gets the base URL once every process accepts connections. This function needs a process of its own
    and its main thread: it sets signal handlers, the garbage collector's thresholds and the limit of open files.

    Raises:
        OSError: the address can't be bound.
        ValueError: a file of TLS or of `keep_requests` can't be used; the text names the option.
        RuntimeError: one of several processes died.
    """
    tls = server_context(options)
    journal_fd = _open_journal(options.keep_requests)
    sockets = listen(options)
    url = url_of(options, sockets[0])
    _raise_file_limit()
    setup = SharedSetup(options, tls, secrets.token_bytes(32), journal_fd, clock_us())
    try:
        if len(sockets) == 1:
            return _serve_here(setup, 0, sockets[0], lambda: on_listening(url))
        return _serve_in_children(setup, sockets, lambda: on_listening(url))
    finally:
        if journal_fd >= 0:
            os.close(journal_fd)
        if options.unix_socket:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(options.unix_socket)


def _open_journal(path: str) -> int:
    if not path:
        return -1
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise ValueError(f"--keep-requests {path}: {error.strerror}") from error


def _raise_file_limit() -> None:
    """Raise the soft limit of open files; the usual 1,024 would limit the number of streams."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _serve_here(setup: SharedSetup, index: int, sock: socket.socket, on_ready: Callable[[], None]) -> Truth:
    # finished streams leave hardly any reference cycles, and a full collection delays tokens
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(setup, index, sock, on_ready))


async def _serve(setup: SharedSetup, index: int, sock: socket.socket, on_ready: Callable[[], None]) -> Truth:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    journal = None if setup.journal_fd < 0 else Journal(setup.journal_fd, index)
    record = TruthRecorder(journal)
    pacer = Pacer(setup.options, index, record, setup.epoch_us)
    service = Service(setup.options, index, record, clock_us, login_key=setup.login_key, journal=journal)
    connections: set[ClientConnection] = set()
    pacer.attach(loop)
    kind = ClientConnection if setup.tls is None else TlsClientConnection

    def accept() -> ClientConnection:
        return kind(service, pacer, connections)

    if setup.options.unix_socket:
        server = await loop.create_unix_server(accept, sock=sock, backlog=BACKLOG)
    else:
        server = await loop.create_server(accept, sock=sock, backlog=BACKLOG, ssl=setup.tls)
    on_ready()
    await stopped.wait()
    record.stamp_cpu()
    server.close()
    pacer.closing = True
    for connection in list(connections):
        connection.abort()
    record.fold_all()
    # the loop closes aborted transports in its next iteration
    await asyncio.sleep(0)
    pacer.close(loop)
    return record.truth


def _serve_in_children(setup: SharedSetup, sockets: list[socket.socket], on_ready: Callable[[], None]) -> Truth:
    # signals are blocked before the forks until each process can handle them, so that none is lost or kills a process
    waited_for = {*_STOP_SIGNALS, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    children: dict[int, int] = {}
    try:
        for index in range(len(sockets)):
            pid, pipe = _fork(setup, index, sockets)
            children[pid] = pipe
        for sock in sockets:
            # an open copy here would queue connections that are never accepted if the child died
            sock.close()
        if all(os.read(pipe, 1) == _READY for pipe in children.values()):
            on_ready()
            signal.sigwait(waited_for)
        return _collect(children)
    finally:
        for pid, pipe in children.items():
            os.close(pipe)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _collect(children: dict[int, int]) -> Truth:
    """Stop the processes (pid -> reading end of its pipe) and return the sum of their statistics."""
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    truths: list[Truth] = []
    for pipe in children.values():
        with open(pipe, "rb", closefd=False) as stream:
            data = stream.read()
        if not data:
            raise RuntimeError("a process of the mock server died")
        truths.append(msgspec.msgpack.decode(data, type=Truth))
    return Truth.merged(truths)


def _fork(setup: SharedSetup, index: int, sockets: list[socket.socket]) -> tuple[int, int]:
    """Start process `index`; returns its pid and the reading end of the pipe for its statistics."""
    parent = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    try:
        die_with_parent(parent)
        os.close(reading)
        for other in sockets[:index] + sockets[index + 1 :]:
            other.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        with open(writing, "wb") as pipe:

            def ready() -> None:
                pipe.write(_READY)
                pipe.flush()

            truth = _serve_here(setup, index, sockets[index], ready)
            pipe.write(msgspec.msgpack.encode(truth))
    except BaseException:
        # only the parent may return from here; the traceback is the only report
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
