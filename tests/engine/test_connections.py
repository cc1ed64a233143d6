"""Connections to the target: addresses, Unix sockets, connect errors, and how long a connection is used.

Where a variant is about the connection alone, the worker's own pieces run in this process against a server that plays
its part; what ties everything together is tried with the command and the mock as processes.
"""

import asyncio
import contextlib
import errno
import itertools
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import yarl
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_reqrep import ConnectionKey
from helpers.bench import DONE, END, FINISH, HEAD, TOKEN, Bench
from helpers.live_load import live, until
from helpers.processes import DEADLINE_S, MockServer, llmstress, mock_server
from helpers.proxies import Target, listening, listening_at_path, real_proxy, relay, strict_tls
from helpers.short_runs import NAME, Files, load, make_files, server_tls

from llmstress.coordinator.target.network import with_sources
from llmstress.engine.connect.connect_errors import end_of_failed_connect
from llmstress.engine.connect.dialer import Dialer, TakenOver
from llmstress.engine.control import Network, Tls
from llmstress.engine.telemetry.messages import Phase
from llmstress.engine.worker_log import _LoggingDialer

HAS_IPV6 = Path("/proc/net/if_inet6").exists() and "00000000000000000000000000000001" in Path(
    "/proc/net/if_inet6"
).read_text("ascii")
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no ::1")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("tls"))


# --- connect errors


def refusals() -> Iterator[tuple[str, Exception, str, str]]:
    """All known exceptions of aiohttp's connector: name, exception, class, a part of the text."""
    key = ConnectionKey("llm.test", 443, True, True, None, None, None)
    request = aiohttp.RequestInfo(yarl.URL("https://llm.test"), "CONNECT", None, None)  # type: ignore[arg-type]
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    none_left = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
    expired = ssl.SSLCertVerificationError(1, "certificate verify failed")
    expired.verify_message = "certificate has expired."
    yield "certificate", aiohttp.ClientConnectorCertificateError(key, expired), "tls", "has expired (use --cacert"
    yield "ssl", aiohttp.ClientConnectorSSLError(key, ssl.SSLError(1, "[SSL] no shared cipher")), "tls", "cipher"
    yield "ssl-itself", ssl.SSLError(1, "internal error"), "tls", "internal error"
    yield "dns", aiohttp.ClientConnectorDNSError(key, socket.gaierror(-2, "Name unknown")), "dns", "llm.test:443: "
    yield "dns-itself", socket.gaierror(-2, "Name or service not known"), "dns", "not known"
    yield "name", UnicodeError("label empty or too long"), "dns", "too long"
    yield "timeout", aiohttp.ConnectionTimeoutError("x"), "connect_timeout", "--timeout-connect"
    yield "socket-timeout", aiohttp.SocketTimeoutError("x"), "connect_timeout", "--timeout-connect"
    yield "kernel-timeout", aiohttp.ClientConnectorError(key, TimeoutError(errno.ETIMEDOUT, "x")), "connect_timeout", ""
    yield "slow-handshake", aiohttp.ClientConnectorError(key, ConnectionAbortedError("60 s")), "connect_timeout", "60 s"
    yield "refused", aiohttp.ClientConnectorError(key, refused), "connect_refused", "refused"
    yield "reset", aiohttp.ClientConnectorError(key, ConnectionResetError()), "tls", "handshake"
    yield "no-port", aiohttp.ClientConnectorError(key, none_left), "local", "Cannot assign"
    yield "no-port-to-proxy", aiohttp.ClientProxyConnectionError(key, none_left), "local", "Cannot assign"
    yield "files", OSError(errno.EMFILE, "Too many open files"), "local", "open files"
    yield "proxy", aiohttp.ClientProxyConnectionError(key, refused), "proxy", "proxy llm.test:443: "
    yield "tunnel", aiohttp.ClientHttpProxyError(request, (), status=403, message="No"), "proxy", "tunnel: 403 No"
    yield "several", aiohttp.ClientConnectorError(key, OSError("Multiple exceptions: a, b")), "unreachable", "a, b"
    yield "no-route", aiohttp.ClientConnectorError(key, OSError(errno.EHOSTUNREACH, "No route")), "unreachable", "route"
    yield "no-address", AssertionError(), "unreachable", "source addresses"
    yield "path", UnixClientConnectorError("/x", key, refused), "connect_refused", "/x: Connection refused"
    yield "url", aiohttp.InvalidURL("x"), "unreachable", "InvalidURL: x"
    yield "uvloop", RuntimeError("unable to perform operation"), "unreachable", "RuntimeError: unable"
    yield "closed", aiohttp.ClientConnectionError("Connector is closed."), "unreachable", "closed"


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        ((111, "Connect call failed ('127.0.0.1', 80)"), "Connection refused (127.0.0.1:80)"),
        (
            (111, "Multiple exceptions: [Errno 111] Connect call failed ('::1', 80, 0, 0), [Errno 111] x"),
            "Connection refused ([::1]:80), x",
        ),
        ((113, "No route to host"), "No route to host"),
        (("without a number",), "without a number"),
    ],
)
def test_system_messages_have_no_errno(raised: tuple[object, ...], words: str) -> None:
    assert end_of_failed_connect(OSError(*raised), https=False, proxied=False).text == words


@pytest.mark.parametrize(("name", "error", "outcome", "words"), list(refusals()), ids=lambda value: str(value)[:20])
@live
async def test_whatever_the_connector_raises_ends_requests_and_not_the_worker(
    name: str, error: Exception, outcome: str, words: str
) -> None:
    assert (end := end_of_failed_connect(error, https=True, proxied=False)).outcome == outcome
    assert words in end.text

    class Failing(Dialer):
        async def open(self) -> TakenOver:
            async def connect(*_: object) -> None:
                raise error

            self._connector.connect = connect  # type: ignore[method-assign, assignment]
            return await super().open()

    done = await load("https://llm.test", Network(tls=Tls(insecure=True)), make_dialer=Failing)
    assert done.ended == {outcome: 6}


class Slow(Dialer):
    """Takes a connection over so late that its end has been noticed."""

    async def open(self) -> TakenOver:
        connect = self._connector.connect

        async def late(*arguments: Any) -> Any:
            connection = await connect(*arguments)
            await until(lambda: connection.transport is None)
            return connection

        self._connector.connect = late  # type: ignore[method-assign, assignment]
        try:
            return await super().open()
        finally:
            self._connector.connect = connect  # type: ignore[method-assign]


class SlowLogging(_LoggingDialer, Slow):
    """A verbose dialer that takes a connection over after its end, so it knows no addresses."""


@pytest.mark.parametrize("make_dialer", [Slow, SlowLogging], ids=["silent", "verbose"])
@live
async def test_a_connection_that_is_closed_before_it_can_be_used(files: Files, make_dialer: type[Dialer]) -> None:
    target = Target()
    async with listening(target) as port:
        closer = asyncio.create_task(_close_all(target))
        done = await load(f"http://127.0.0.1:{port}", make_dialer=make_dialer, streams=1)
        closer.cancel()
    assert done.ended == {"reset": 6}
    assert done.connections == 6
    with strict_tls(server_tls(files.server, client_ca=files.ca)) as port:
        tls = Network(tls=Tls(ca_file=files.ca))
        done = await load(f"https://127.0.0.1:{port}", tls, make_dialer=make_dialer, streams=1)
    assert done.ended == {"tls": 6}
    assert "--cert" in done.texts[0]


@live
async def test_a_connection_that_is_reset_before_it_is_logged() -> None:
    connected = threading.Semaphore(0)
    noticed: list[bool] = []

    class Reset(Dialer):
        """Takes a connection over when the kernel has noticed its end and the loop has not."""

        async def open(self) -> TakenOver:
            link = await super().open()
            sock = link.transport.get_extra_info("socket")
            ended = select.poll()
            ended.register(sock.fileno(), select.POLLIN)
            connected.release()
            assert ended.poll(DEADLINE_S * 1000)
            with pytest.raises(OSError, match="not connected"):
                sock.getpeername()
            noticed.append(True)
            return link

    class ResetLogging(_LoggingDialer, Reset):
        pass

    def reset_all(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                accepted, _ = listener.accept()
                with accepted:
                    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connected.acquire()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=reset_all, args=(listener,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            done = await load(url, make_dialer=ResetLogging, streams=1, requests=2)
        finally:
            connected.release()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert noticed == [True, True]
    assert done.ended == {"reset": 2}


async def _close_all(target: Target) -> None:
    while True:
        for peer in list(target.open):
            peer.transport.close()
        await asyncio.sleep(0)


# --- addresses


@live
async def test_connections_are_spread_over_pinned_addresses() -> None:
    target = Target()
    async with listening(target, "127.0.0.1", "127.0.0.2") as port:
        network = Network(["127.0.0.1", "127.0.0.2"])
        done = await load(f"http://{NAME}:{port}", network, requests=40, requests_per_connection=1)
    assert done.ended == {"ok": 40}
    # A connection that takes over 250 ms is tried at the next address as well, which can happen on a busy machine.
    assert min(target.requests_at.values()) >= 18, target.requests_at
    assert all(f"Host: {NAME}:{port}\r\n" in head for head in target.heads)


@live
async def test_an_address_without_a_listener_is_skipped() -> None:
    target = Target()
    async with listening(target) as port:
        url = f"http://{NAME}:{port}"
        none = await load(url, Network(["127.0.0.3"]), requests_per_connection=1)
        some = await load(url, Network(["127.0.0.3", "127.0.0.1"]), requests_per_connection=1)
    assert none.ended == {"connect_refused": 6}
    assert some.ended == {"ok": 6}


@needs_ipv6
@live
async def test_ipv6(files: Files) -> None:
    plain, secure = Target(), Target()
    async with listening(plain, "::1") as port:
        over_http = await load(f"http://[::1]:{port}")
    assert over_http.ended == {"ok": 6}
    assert f"\r\nHost: [::1]:{port}\r\n" in plain.heads[0]
    async with listening(secure, "::1", tls=server_tls(files.server)) as port:
        over_https = await load(f"https://[::1]:{port}", Network(tls=Tls(ca_file=files.ca)))
    assert over_https.ended == {"ok": 6}


@live
async def test_connections_come_from_the_source_addresses_in_turn() -> None:
    target = Target()
    async with listening(target) as port:
        sources = Network(sources=["127.0.0.5", "127.0.0.6", "127.0.0.7"])
        done = await load(f"http://127.0.0.1:{port}", sources, requests=30, requests_per_connection=1)
    assert done.ended == {"ok": 30}
    assert target.peers == {"127.0.0.5": 10, "127.0.0.6": 10, "127.0.0.7": 10}


@needs_ipv6
@live
async def test_a_source_address_goes_with_targets_of_its_family() -> None:
    target = Target()
    async with listening(target, "127.0.0.1", "::1") as port:
        both = Network(["127.0.0.1", "::1"], sources=["::1"])
        done = await load(f"http://{NAME}:{port}", both, requests_per_connection=1)
        literal = await load(f"http://[::1]:{port}", Network(sources=["127.0.0.5"]))
        pinned = await load(f"http://{NAME}:{port}", Network(["::1"], sources=["127.0.0.5"]))
    assert (done.ended, target.peers) == ({"ok": 6}, {"::1": 6})
    assert literal.ended == {"unreachable": 6}
    assert pinned.ended == {"dns": 6}
    assert all("source addresses" in text for text in literal.texts + pinned.texts)


@live
async def test_a_source_address_that_is_not_ours() -> None:
    target = Target()
    async with listening(target) as port:
        done = await load(f"http://127.0.0.1:{port}", Network(sources=["192.0.2.1"]))
    assert done.ended == {"local": 6}
    assert "cannot connect from 192.0.2.1" in done.texts[0]


@live
async def test_an_invalid_host_name() -> None:
    done = await load(f"http://{'a' * 64}.test")
    assert done.ended == {"dns": 6}


def test_loopback_sources_are_made_where_one_address_has_too_few_ports() -> None:
    def sources(
        shares: list[int], *addresses: str, network: Network | None = None, ports: int = 28_232
    ) -> list[list[str]]:
        return [each.sources for each in with_sources(network or Network(), list(addresses), shares, ports)]

    assert sources([7_058, 7_058], "127.0.0.1") == [[], []], "14,116 from one address: half of its ports"
    assert sources([7_058, 7_059], "127.0.0.1") == [["127.0.0.2"], ["127.0.0.3"]]
    assert sources([28_232], "127.0.0.1") == [["127.0.0.2", "127.0.0.3"]]
    assert sources([28_233], "127.0.0.1") == [["127.0.0.2", "127.0.0.3", "127.0.0.4"]]
    assert sources([20_000, 0], "::1", "127.0.0.1") == [["127.0.0.2", "127.0.0.3"], ["127.0.0.4"]]
    assert sources([20_000], "127.0.0.1", "127.0.0.9", "::1") == [["127.0.0.2", "127.0.0.3"]]
    assert sources([20_000], "192.0.2.1") == sources([20_000], "::1") == sources([20_000]) == [[]]
    assert sources([20_000], "127.0.0.1", "10.0.0.1") == [[]], "no loopback address reaches it"
    assert [len(each) for each in sources([14_000, 14_000], "127.0.0.1", ports=10_001)] == [3, 3]
    assert len(set(itertools.chain(*sources([14_000, 14_000], "127.0.0.1", ports=10_001)))) == 6
    assert [len(each) for each in sources([1, 1], "127.0.0.1", ports=0)] == [1, 1]
    many = list(itertools.chain.from_iterable(sources([14_000] * 1_024, "127.0.0.1")))
    assert len(set(many)) == 1_024
    assert not any(address.endswith((".0", ".255")) for address in many)
    named = Network(sources=["a", "b", "c"])
    assert sources([1] * 4, "127.0.0.1", network=named) == [[*"abc"], [*"bca"], [*"cab"], [*"abc"]]


# --- Unix sockets, and how long a connection is kept


@live
async def test_unix_sockets(tmp_path: Path) -> None:
    target = Target()
    async with listening_at_path(target, tmp_path / "s"):
        done = await load("http://llm.test", Network(unix_socket=str(tmp_path / "s")))
    assert done.ended == {"ok": 6}
    assert "\r\nHost: llm.test\r\n" in target.heads[0]
    gone = await load("http://llm.test", Network(unix_socket=str(tmp_path / "other")))
    assert gone.ended == {"unreachable": 6}
    assert gone.texts[0] == f"{tmp_path / 'other'}: No such file or directory"


@live
async def test_a_connection_is_closed_after_so_many_requests(files: Files) -> None:
    target = Target()
    async with listening(target, tls=server_tls(files.server)) as port:
        url, network = f"https://127.0.0.1:{port}", Network(tls=Tls(ca_file=files.ca))
        done = await load(url, network, streams=1, requests=12, requests_per_connection=5)
    assert done.ended == {"ok": 12}
    assert target.accepted == done.connections == done.timed_connects == 3
    assert not any("connection:" in head.lower() for head in target.heads)


@live
async def test_without_keep_alive_every_request_says_so_and_has_its_connection() -> None:
    target = Target()
    async with listening(target) as port:
        headers = [("connection", "keep-alive")]
        done = await load(f"http://127.0.0.1:{port}", headers=headers, requests_per_connection=1)
    assert done.ended == {"ok": 6}
    assert target.accepted == done.connections == done.timed_connects == 6
    assert all(head.lower().count("connection:") == 1 and "\r\nConnection: close\r\n" in head for head in target.heads)


def test_a_peer_that_is_still_sending_is_not_waited_for() -> None:
    bench = Bench()
    bench.task.requests_per_connection = 2
    for whole in (True, True, False):
        bench.begin()
        bench.read(90, HEAD, TOKEN)
        if whole:
            bench.read(100, FINISH, DONE, END)
        else:
            bench.stream.cut(bench.now)
    used_up, cut_off = bench.links
    assert (used_up.closed, used_up.at_once) == (True, False)
    assert (cut_off.closed, cut_off.at_once) == (True, True)
    assert bench.cut().parts[Phase.STEADY].ended == {"ok": 2, "cancelled": 1}


# --- the command

MODEL = ("--model", "mock-7b")
SMALL = ("--procs", "1", "--streams", "10", "--requests", "60")
TWO = ("--procs", "2", "--streams", "5")


def check(server: MockServer, arguments: tuple[str, ...], env: dict[str, str] | None = None) -> tuple[Any, str]:
    """A small run in which every request must succeed. Returns what the server counted, and stderr."""
    code, summary, said = llmstress(*SMALL, *arguments, env=env)
    truth = server.stop()
    assert code == 0, said
    requests = summary["requests"]
    assert requests["ok"] == requests["started"] == truth["requests"] == truth["done"] == 60
    assert summary["tokens"]["output"] == truth["tokens"] == 60 * 8
    assert summary["latency_ms"]["connect"]["count"] == truth["connections"] - ("--no-probe" not in arguments)
    return truth, said


def test_https_end_to_end(files: Files) -> None:
    tls = ("--tls-cert", files.server, "--tls-client-ca", files.ca, "--procs", "2")
    with mock_server(*tls) as server:
        truth, said = check(server, ("--url", server.url, "--cacert", files.ca, "--cert", files.client))
    assert server.url.startswith("https://127.0.0.1:")
    assert truth["connections"] == 10 + 1, "the probe has one of its own"
    assert "  with a client certificate\n" in said


def test_https_to_a_name_at_pinned_addresses(files: Files) -> None:
    with mock_server("--tls-cert", files.server) as server:
        port = urlsplit(server.url).port
        pinned = ("--resolve", f"{NAME}:{port}:127.0.0.1")
        _, said = check(server, ("--url", f"https://{NAME}:{port}", "--cacert", files.ca, *pinned))
    assert "  to 127.0.0.1\n" in said


def test_an_unknown_authority_is_reported_before_the_run_or_counted_without_probe(files: Files) -> None:
    with mock_server("--tls-cert", files.server) as server:
        code, summary, said = llmstress("--url", server.url, *SMALL)
        assert (code, summary) == (3, {})
        assert (
            "can't be reached: certificate not accepted: unable to get local issuer certificate (use --cacert" in said
        )
        assert said.count("\n") == 1
        code, summary, said = llmstress(
            "--url", server.url, *SMALL, *MODEL, "--no-probe", "--error-pause", "0", "--proxy", "none"
        )
        truth = server.stop()
    assert code == 5
    assert summary["requests"]["failed"] == summary["requests"]["started"] == summary["errors"]["tls"]["count"] == 60
    assert "--cacert" in summary["errors"]["tls"]["samples"][0]["text"]
    assert truth["requests"] == truth["connections"] == 0


@needs_ipv6
def test_https_over_ipv6(files: Files) -> None:
    with mock_server("--tls-cert", files.server, "--host", "::1") as server:
        check(server, ("--url", server.url, "--insecure"))
    assert server.url.startswith("https://[::1]:")


@pytest.mark.slow
def test_a_real_proxy_for_http_and_https(files: Files, tmp_path: Path) -> None:
    with real_proxy(tmp_path, "--basic-auth", "user:p%w") as address:
        with mock_server() as server:
            _, said = check(server, ("--url", server.url, "--proxy", f"http://user:p%25w@{address}"))
        assert f"  through the proxy http://***@{address}\n" in said
        with mock_server("--tls-cert", files.server) as server:
            environ = {"HTTPS_PROXY": f"http://user:p%25w@{address}"}
            _, said = check(server, ("--url", server.url, "--cacert", files.ca), env=environ)
        assert f"  through the proxy http://***@{address}\n" in said
        code, _, said = llmstress("--url", "https://llm.test", *MODEL, env={"https_proxy": f"http://user:x@{address}"})
    assert code == 3
    assert "the proxy refused the tunnel: 407 Proxy Authentication Required; put user and password into its URL" in said


def test_a_unix_socket_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "llm.sock"
    with mock_server("--unix-socket", str(path), "--procs", "2") as server:
        _, said = check(server, ("--url", server.url, "--unix-socket", str(path)), {"http_proxy": "http://p:1"})
    assert f"  over the Unix socket {path}\n" in said
    assert "using the only one listed, mock-7b" in said
    assert not path.exists()


@pytest.mark.slow
def test_no_keepalive_and_a_limit_of_requests(files: Files) -> None:
    with mock_server("--tls-cert", files.server) as server:
        truth, _ = check(server, ("--url", server.url, "--insecure", "--no-keepalive"))
        assert truth["connections"] == 60 + 1
    with mock_server() as server:
        truth, _ = check(server, ("--url", server.url, *TWO, "--streams", "1", "--requests-per-connection", "7"))
        assert truth["connections"] == 2 * 5 + 1, "30 requests of each process: 7 + 7 + 7 + 7 + 2"


def test_source_addresses_of_several_processes() -> None:
    with mock_server() as server, relay(urlsplit(server.url).port or 0) as between:
        sources = (*TWO, "--source-ip", "127.0.0.5", "--source-ip", "127.0.0.6")
        _, said = check(
            server, ("--url", f"http://127.0.0.1:{between.port}", *MODEL, "--no-probe", "--no-keepalive", *sources)
        )
    assert between.peers == {"127.0.0.5": 30, "127.0.0.6": 30}
    assert "  from 2 source addresses\n" in said
