"""Listening sockets and TLS settings of the mock."""

import contextlib
import errno
import os
import socket
import ssl
import stat

from llmstress.engine.mock.options import MockOptions

BACKLOG = 65_535


def listen(options: MockOptions) -> list[socket.socket]:
    """One listening socket per process; the kernel distributes the connections over them.

    Raises:
        OSError: the address can't be bound.
    """
    if options.unix_socket:
        return _listen_at_path(options.unix_socket, options.procs)
    family, kind, _, _, address = socket.getaddrinfo(
        options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with contextlib.ExitStack() as unused:
        sockets: list[socket.socket] = []
        for _ in range(options.procs):
            sock = unused.enter_context(socket.socket(family, kind))
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # accepted sockets inherit this option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if options.procs > 1:
                # not for a single process, so that a second mock on the same port fails
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(address)
            # with port 0 the other sockets use the port that the first one got
            address = sock.getsockname()
            sock.listen(BACKLOG)
        unused.pop_all()
    return sockets


def _listen_at_path(path: str, procs: int) -> list[socket.socket]:
    """Sockets for a path, which can be bound only once: all processes accept from the same queue."""
    with contextlib.ExitStack() as unused:
        sock = unused.enter_context(socket.socket(socket.AF_UNIX))
        sock.setblocking(False)
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_left_over(path):
                raise
            os.unlink(path)
            sock.bind(path)
        sock.listen(BACKLOG)
        unused.pop_all()
    return [sock, *(sock.dup() for _ in range(procs - 1))]


def _is_left_over(path: str) -> bool:
    """Whether `path` is a socket without a listener. Other kinds of files refuse connections as well."""
    with socket.socket(socket.AF_UNIX) as sock:
        return stat.S_ISSOCK(os.stat(path).st_mode) and sock.connect_ex(path) == errno.ECONNREFUSED


def url_of(options: MockOptions, sock: socket.socket) -> str:
    """The base URL; for a Unix socket the host has no meaning."""
    if options.unix_socket:
        return "http://localhost"
    host, port = sock.getsockname()[:2]
    return f"{'https' if options.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def server_context(options: MockOptions) -> ssl.SSLContext | None:
    """The TLS context; None: plain HTTP.

    Raises:
        ValueError: a file can't be read or has the wrong content; the text names the option.
    """
    if not options.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    flag = f"--tls-cert {options.tls_cert}" + (f", --tls-key {options.tls_key}" if options.tls_key else "")
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key or None, password="")
        if options.tls_client_ca:
            flag = f"--tls-client-ca {options.tls_client_ca}"
            context.load_verify_locations(options.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise ValueError(f"{flag}: not a matching certificate and key (PEM) ({error.reason or error})") from error
    except OSError as error:
        raise ValueError(f"{flag}: {error.strerror}") from error
    return context
