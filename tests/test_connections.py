"""The way to the target: TLS, addresses, proxies, Unix sockets, and how long a connection is kept.

Where a variant is about the connection alone, the worker's own pieces run in this process against a server that plays
its part; what ties everything together is tried with the command and the mock as processes.
"""

import asyncio
import datetime
import errno
import gc
import itertools
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest
import trustme
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_reqrep import ConnectionKey
from processes import MockServer, llmstress, mock_server
from proxies import ANSWER, Flooding, Target, listening, listening_at_path, real_proxy, relay, saying, strict_tls
from sites import live, plan_of, until
from support import DONE, END, FINISH, HEAD, TOKEN, Bench

from llmstress.coordinator.errors import UsageError
from llmstress.coordinator.network import describe_way, network_of, proxy_for, with_sources
from llmstress.coordinator.options import Options
from llmstress.coordinator.target import parse_target
from llmstress.coordinator.texts import Resolve
from llmstress.engine.connect_errors import end_of_failed_connect
from llmstress.engine.control import Network, Timeouts, Tls
from llmstress.engine.load import ClosedLoad
from llmstress.engine.recorder import NEVER, Recorder
from llmstress.engine.telemetry.messages import Part, Phase
from llmstress.engine.transport import Dialer, TakenOver

HAS_IPV6 = Path("/proc/net/if_inet6").exists() and "00000000000000000000000000000001" in Path(
    "/proc/net/if_inet6"
).read_text("ascii")
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no ::1")

BOTH_TLS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])

NAME = "llm.test"


class Files(msgspec.Struct):
    """Paths of what an authority has made."""

    ca: str
    server: str
    """For 127.0.0.1, ::1, localhost and NAME, with its key."""
    expired: str
    client: str
    strangers_ca: str


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    yesterday = datetime.datetime.now() - datetime.timedelta(days=1)
    leaves = {
        "server": authority.issue_cert("127.0.0.1", "::1", "localhost", NAME),
        "expired": authority.issue_cert("127.0.0.1", not_after=yesterday),
        "client": authority.issue_cert("client@llm.test"),
    }
    paths = {name: str(directory / f"{name}.pem") for name in ("ca", "strangers_ca", *leaves)}
    authority.cert_pem.write_to_path(paths["ca"])
    trustme.CA().cert_pem.write_to_path(paths["strangers_ca"])
    for name, leaf in leaves.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(paths[name])
    return Files(**paths)


def server_tls(certificate: str, *, version: ssl.TLSVersion | None = None, client_ca: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Outcome:
    """What became of a load that ran to its end."""

    def __init__(self, part: Part, texts: list[str]) -> None:
        self.ended = part.ended
        self.connections = part.counters.connections
        self.timed_connects = part.latency["connect"].count if "connect" in part.latency else 0
        self.texts = texts
        """The words of the samples."""


async def load(url: str, network: Network | None = None, **changes: Any) -> Outcome:
    """What becomes of a worker's dialer and streams against `url`; see `_run`. Nothing is left behind."""
    nobody_caught: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: nobody_caught.append(context))
    outcome = await _run(url, network or Network(), **changes)
    gc.collect(1)  # a connection that nobody closed says so
    await asyncio.sleep(0)
    assert not nobody_caught
    return outcome


async def _run(
    url: str,
    network: Network,
    *,
    streams: int = 2,
    requests: int | None = 6,
    cut_when: Callable[[], object] | None = None,
    make_dialer: Callable[..., Dialer] = Dialer,
    **changes: Any,
) -> Outcome:
    """Until the requests are used up, or `cut_when` says so."""
    given = {"error_pause_s": 0, "timeouts": Timeouts(30, 0, 0, 0), "network": network, "requests": requests}
    plan = plan_of(f"{url}/v1/chat/completions", streams, **{**given, **changes})
    recorder = Recorder(0)
    async with make_dialer(plan.url, network, plan.timeouts) as dialer:
        running = ClosedLoad(plan, recorder, dialer)
        recorder.begin(time.monotonic_ns(), (0, 0, None), running.in_flight)
        await running.start(time.monotonic_ns(), NEVER)
        await until(lambda: running.exhausted.is_set() or (cut_when is not None and cut_when()))
        if running.fault is not None:
            raise running.fault
        running.cut()
        await asyncio.gather(*running._dials, return_exceptions=True)
    delta = recorder.cut(time.monotonic_ns(), 0)
    part = delta.parts[Phase.STEADY]
    assert recorder.open == 0
    assert part.counters.started == sum(part.ended.values())
    return Outcome(part, [sample.text for sample in delta.samples])


# --- TLS


@BOTH_TLS
@live
async def test_a_server_whose_authority_is_trusted(files: Files, version: ssl.TLSVersion) -> None:
    target = Target()
    async with listening(target, tls=server_tls(files.server, version=version)) as port:
        done = await load(f"https://127.0.0.1:{port}", Network(tls=Tls(ca_file=files.ca)))
    assert done.ended == {"ok": 6}
    assert (target.accepted, done.connections, done.timed_connects) == (2, 2, 2), "a stream keeps its connection"


@pytest.mark.parametrize(
    ("certificate", "ca", "host", "words"),
    [
        ("server", "strangers_ca", "127.0.0.1", "unable to get local issuer certificate (--cacert"),
        ("server", "", "127.0.0.1", "unable to get local issuer certificate (--cacert"),
        ("expired", "ca", "127.0.0.1", "certificate has expired"),
        ("server", "ca", "other.test", "certificate is not valid for 'other.test'"),
        ("server", "ca", "127.0.0.2", "certificate is not valid for '127.0.0.2'"),
    ],
    ids=["unknown-authority", "not-this-machines", "expired", "wrong-name", "wrong-address"],
)
@live
async def test_a_certificate_that_is_not_accepted(
    files: Files, certificate: str, ca: str, host: str, words: str
) -> None:
    target = Target()
    addresses = ["127.0.0.1"] if host.endswith(".test") else []
    tls = Tls(ca_file=getattr(files, ca) if ca else "")
    async with listening(target, "127.0.0.1", "127.0.0.2", tls=server_tls(getattr(files, certificate))) as port:
        refused = await load(f"https://{host}:{port}", Network(addresses, tls=tls))
        taken = await load(f"https://{host}:{port}", Network(addresses, tls=Tls(insecure=True)))
    assert refused.ended == {"tls": 6}
    assert refused.connections == 0
    assert all(text.startswith("certificate not accepted: ") and words in text for text in refused.texts)
    assert taken.ended == {"ok": 6}


@BOTH_TLS
@live
async def test_a_server_that_wants_certificates_of_its_clients(files: Files, version: ssl.TLSVersion) -> None:
    with strict_tls(server_tls(files.server, version=version, client_ca=files.ca)) as port:
        url = f"https://127.0.0.1:{port}"
        without = await load(url, Network(tls=Tls(ca_file=files.ca)))
        shown = await load(url, Network(tls=Tls(ca_file=files.ca, cert_file=files.client)))
    assert without.ended == {"tls": 6}
    assert all("--cert" in text for text in without.texts)
    assert shown.ended == {"ok": 6}


@live
async def test_a_client_certificate_that_the_server_does_not_trust(files: Files) -> None:
    with strict_tls(server_tls(files.server, client_ca=files.strangers_ca)) as port:
        refused = await load(
            f"https://127.0.0.1:{port}",
            Network(tls=Tls(ca_file=files.ca, cert_file=files.client, key_file=files.client)),
        )
    assert refused.ended == {"tls": 6}
    assert all("authority of the client's certificate" in text for text in refused.texts)


@live
async def test_the_server_hears_the_name_of_the_url(files: Files) -> None:
    heard: list[str | None] = []
    context = server_tls(files.server)

    def choose(_: object, name: str | None, __: object) -> int | None:
        heard.append(name)
        return None if name == NAME else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = choose
    with strict_tls(context) as port:
        network = Network(["127.0.0.1"], tls=Tls(ca_file=files.ca))
        known = await load(f"https://{NAME}:{port}", network)
        unknown = await load(f"https://other.test:{port}", network)
    assert known.ended == {"ok": 6}
    assert unknown.ended == {"tls": 6}
    assert all("no certificate for this host name" in text for text in unknown.texts)
    assert set(heard) == {NAME, "other.test"}


@pytest.mark.parametrize(
    ("what", "reset", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "http:// instead of https://"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False, "http:// instead of https://"),
        (b"", False, "closed within the TLS handshake"),
        (b"", True, "closed within the TLS handshake"),
    ],
    ids=["http", "ssh", "closed", "reset"],
)
@live
async def test_a_server_that_does_not_finish_the_handshake(what: bytes, reset: bool, words: str) -> None:
    async with saying(what, reset=reset) as port:
        refused = await load(f"https://127.0.0.1:{port}")
    assert refused.ended == {"tls": 6}
    assert all(words in text for text in refused.texts)


@live
async def test_a_handshake_that_takes_too_long() -> None:
    async with saying(hold=True) as port:
        refused = await load(f"https://127.0.0.1:{port}", timeouts=Timeouts(0.05, 0, 0, 0))
    assert refused.ended == {"connect_timeout": 6}
    assert "--timeout-connect" in refused.texts[0]


@live
async def test_handshakes_under_way_are_cut_off(files: Files) -> None:
    async with saying(hold=True) as port:
        started = iter((False, False, True))
        done = await load(f"https://127.0.0.1:{port}", cut_when=lambda: next(started))
    assert done.ended == {"cancelled": 2}


@BOTH_TLS
@live
async def test_streams_in_flight_are_cut_off_and_closed_at_once(files: Files, version: ssl.TLSVersion) -> None:
    # a polite goodbye would wait for a server that goes on sending; `listening` waits until all connections are closed
    target = Flooding()
    async with listening(target, tls=server_tls(files.server, version=version)) as port:
        done = await load(
            f"https://127.0.0.1:{port}",
            Network(tls=Tls(ca_file=files.ca)),
            streams=20,
            requests=None,
            cut_when=lambda: len(target.heads) == 20,
        )
    assert done.ended == {"cancelled": 20}


@pytest.mark.parametrize(
    ("answer", "ended"),
    [(ANSWER, "ok"), (ANSWER.partition(FINISH)[0], "truncated"), (ANSWER[:20], "reset")],
    ids=["behind-the-answer", "within-the-answer", "within-the-head"],
)
@BOTH_TLS
@live
async def test_a_server_that_leaves_tls_without_a_goodbye(
    files: Files, version: ssl.TLSVersion, answer: bytes, ended: str
) -> None:
    with strict_tls(server_tls(files.server, version=version), answer, drops=True) as port:
        done = await load(f"https://127.0.0.1:{port}", Network(tls=Tls(ca_file=files.ca)))
    assert done.ended == {ended: 6}


# --- why there is no connection


def refusals() -> Iterator[tuple[str, Exception, str, str]]:
    """Everything that aiohttp's connector is known to raise: name, exception, class, some of the words."""
    key = ConnectionKey("llm.test", 443, True, True, None, None, None)
    request = aiohttp.RequestInfo(aiohttp.client.URL("https://llm.test"), "CONNECT", None, None)  # type: ignore[arg-type]
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    none_left = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
    expired = ssl.SSLCertVerificationError(1, "certificate verify failed")
    expired.verify_message = "certificate has expired."
    yield "certificate", aiohttp.ClientConnectorCertificateError(key, expired), "tls", "has expired (--cacert"
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


@live
async def test_a_connection_that_is_closed_before_it_can_be_used(files: Files) -> None:
    class Slow(Dialer):
        """Takes over so late that the end has been noticed."""

        async def open(self) -> TakenOver:
            connect = self._connector.connect

            async def late(*arguments: Any) -> Any:
                connection = await connect(*arguments)
                await until(lambda: connection.transport is None)
                return connection

            self._connector.connect = late  # type: ignore[method-assign]
            try:
                return await super().open()
            finally:
                self._connector.connect = connect  # type: ignore[method-assign]

    target = Target()
    async with listening(target) as port:
        closer = asyncio.create_task(_close_all(target))
        done = await load(f"http://127.0.0.1:{port}", make_dialer=Slow, streams=1)
        closer.cancel()
    assert done.ended == {"reset": 6}
    assert done.connections == 6
    with strict_tls(server_tls(files.server, client_ca=files.ca)) as port:
        done = await load(f"https://127.0.0.1:{port}", Network(tls=Tls(ca_file=files.ca)), make_dialer=Slow, streams=1)
    assert done.ended == {"tls": 6}
    assert "--cert" in done.texts[0]


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
    # a connection that takes over 250 ms is tried elsewhere too, which a machine that is busy may bring about
    assert min(target.requests_at.values()) >= 18, target.requests_at
    assert all(f"Host: {NAME}:{port}\r\n" in head for head in target.heads)


@live
async def test_an_address_where_nobody_listens_is_survived() -> None:
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
    assert "can't connect from 192.0.2.1" in done.texts[0]


@live
async def test_a_name_that_no_dns_can_know() -> None:
    done = await load(f"http://{'a' * 64}.test")
    assert done.ended == {"dns": 6}


def test_loopback_sources_are_made_where_one_address_has_too_few_ports() -> None:
    def sources(shares: list[int], *addresses: str, network: Network | None = None) -> list[list[str]]:
        return [each.sources for each in with_sources(network or Network(), list(addresses), shares)]

    assert sources([7_000, 7_000], "127.0.0.1") == [[], []], "14,000 from one address"
    assert sources([7_000, 7_001], "127.0.0.1") == [["127.0.0.2"], ["127.0.0.3"]]
    assert sources([28_001], "127.0.0.1") == [["127.0.0.2", "127.0.0.3", "127.0.0.4"]]
    assert sources([20_000, 0], "::1", "127.0.0.1") == [["127.0.0.2", "127.0.0.3"], ["127.0.0.4"]]
    assert sources([20_000], "192.0.2.1") == sources([20_000], "::1") == sources([20_000]) == [[]]
    many = list(itertools.chain.from_iterable(sources([14_000] * 1_024, "127.0.0.1")))
    assert len(set(many)) == 1_024
    assert not any(address.endswith((".0", ".255")) for address in many)
    named = Network(sources=["a", "b", "c"])
    assert sources([1] * 4, "127.0.0.1", network=named) == [[*"abc"], [*"bca"], [*"cab"], [*"abc"]]


# --- proxies


@live
async def test_plain_requests_go_through_a_proxy_whole_and_keep_their_connection() -> None:
    proxy = Target()
    async with listening(proxy) as port:
        done = await load("http://llm.test:8000", Network(proxy=f"http://us%40er:p%25w@127.0.0.1:{port}"))
    assert done.ended == {"ok": 6}
    assert proxy.accepted == 2
    for head in proxy.heads:
        assert head.startswith("POST http://llm.test:8000/v1/chat/completions HTTP/1.1\r\nHost: llm.test:8000\r\n")
        assert "\r\nProxy-Authorization: Basic dXNAZXI6cCV3\r\n" in head, "us@er:p%w"


@pytest.mark.parametrize("status", [502, 407])
@live
async def test_what_a_proxy_answers_to_plain_requests_is_an_answer(status: int) -> None:
    async with listening(Target(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status)) as port:
        done = await load("http://llm.test", Network(proxy=f"http://127.0.0.1:{port}"))
    assert done.ended == {f"http_{status}": 6}
    assert done.connections == 2


@live
async def test_a_proxy_that_closes_connections_instead_of_answering() -> None:
    async with saying() as port:
        done = await load("http://llm.test", Network(proxy=f"http://127.0.0.1:{port}"))
    assert done.ended == {"reset": 6}


@pytest.mark.parametrize("url", ["http://llm.test", "https://llm.test"])
@live
async def test_a_proxy_that_is_not_there(url: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        done = await load(url, Network(proxy=f"http://127.0.0.1:{port}"))
    assert done.ended == {"proxy": 6}
    assert f"no connection to the proxy 127.0.0.1:{port}: " in done.texts[0]


@pytest.mark.parametrize(
    ("said", "reset", "words"),
    [
        (b"HTTP/1.1 403 Not you\r\nContent-Length: 2\r\n\r\nno", False, "refused the tunnel: 403 Not you"),
        (b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", False, "tunnel: 407 Who; user and password belong"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", False, "refused the tunnel: 502 Bad Gateway"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False, "opened no tunnel"),
        (b"", False, "opened no tunnel"),
        (b"", True, "opened no tunnel"),
        (b"HTTP/1.1 200", False, "opened no tunnel"),
    ],
    ids=["403", "407", "502", "no-proxy", "closed", "reset", "closed-midway"],
)
@live
async def test_a_proxy_that_opens_no_tunnel(said: bytes, reset: bool, words: str) -> None:
    async with saying(said, reset=reset) as port:
        done = await load("https://llm.test", Network(proxy=f"http://127.0.0.1:{port}"))
    assert done.ended == {"proxy": 6}
    assert all(words in text for text in done.texts)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 Connection established\r\n\r\n"], ids=["connect", "handshake"])
@live
async def test_a_tunnel_that_takes_too_long(said: bytes) -> None:
    async with saying(said, hold=True) as port:
        proxy = Network(proxy=f"http://127.0.0.1:{port}")
        done = await load("https://llm.test", proxy, timeouts=Timeouts(0.05, 0, 0, 0))
    assert done.ended == {"connect_timeout": 6}


@live
async def test_a_tunnel_that_leads_nowhere() -> None:
    async with saying(b"HTTP/1.1 200 Connection established\r\n\r\n") as port:
        done = await load("https://llm.test", Network(proxy=f"http://127.0.0.1:{port}"))
    assert done.ended == {"tls": 6}
    assert "handshake" in done.texts[0]


def options(**given: Any) -> Options:
    return Options(**{"url": "http://llm.test", "procs": 1, "prompt": "x", **given})


@pytest.mark.parametrize(
    ("environ", "url", "wanted"),
    [
        ({"http_proxy": "http://p:1"}, "http://llm.test", "http://p:1"),
        ({"HTTP_PROXY": "p:1"}, "http://llm.test", "http://p:1"),
        ({"HTTP_PROXY": "http://upper:1", "http_proxy": "http://lower:1"}, "http://llm.test", "http://lower:1"),
        ({"http_proxy": "http://p:1"}, "https://llm.test", ""),
        ({"https_proxy": "http://p:1"}, "https://llm.test", "http://p:1"),
        ({"all_proxy": "http://p:1"}, "https://llm.test", "http://p:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://p:1"}, "https://llm.test", "http://p:1"),
        ({"http_proxy": ""}, "http://llm.test", ""),
        ({"http_proxy": "p:1", "no_proxy": "llm.test"}, "http://llm.test", ""),
        ({"http_proxy": "p:1", "NO_PROXY": "a.test, .Test"}, "http://LLM.test", ""),
        ({"http_proxy": "p:1", "no_proxy": "*"}, "http://llm.test", ""),
        ({"http_proxy": "p:1", "no_proxy": "m.test"}, "http://llm.test", "http://p:1"),
        ({"http_proxy": "p:1", "no_proxy": "localhost,10.0.0.0/8"}, "http://10.1.2.3", ""),
        ({"http_proxy": "p:1", "no_proxy": "10.0.0.0/8"}, "http://11.1.2.3", "http://p:1"),
        ({"http_proxy": "p:1", "no_proxy": "[::1]"}, "http://[::1]:8000", ""),
        ({"http_proxy": "p:1", "no_proxy": "::/0"}, "http://127.0.0.1", "http://p:1"),
    ],
)
def test_the_proxy_that_the_environment_names(environ: dict[str, str], url: str, wanted: str) -> None:
    split = urlsplit(url)
    assert proxy_for(options(), split.scheme, split.hostname or "", environ) == wanted
    assert proxy_for(options(proxy="none"), split.scheme, split.hostname or "", environ) == ""
    assert proxy_for(options(proxy="http://q:2"), split.scheme, split.hostname or "", environ) == "http://q:2"


@pytest.mark.parametrize(
    ("given", "environ", "words"),
    [
        ({"proxy": "socks5://p:1"}, {}, "--proxy needs the URL of an HTTP proxy like http://proxy:3128"),
        ({"proxy": "https://p:1"}, {}, "--proxy needs the URL of an HTTP proxy"),
        ({}, {"ALL_PROXY": "socks5://u:secret@p:1"}, "environment's ALL_PROXY \\(--proxy none ignores it\\) needs"),
        ({"resolve": (Resolve("llm.test", 81, ("127.0.0.1",)),)}, {}, "--resolve names llm.test:81, but the target is"),
        ({"resolve": (Resolve("127.0.0.1", 80, ("::1",)),), "url": "http://127.0.0.1"}, {}, "--resolve has no meaning"),
    ],
)
def test_ways_that_can_not_be_gone(given: dict[str, Any], environ: dict[str, str], words: str) -> None:
    asked = options(**given)
    with pytest.raises(UsageError, match=words) as refused:
        network_of(asked, parse_target(asked.url or "", "/chat/completions"), environ)
    assert "secret" not in str(refused.value)


def test_the_way_is_said_without_secrets() -> None:
    assert describe_way([Network()]) == ""
    network = Network(["::1"], ["127.0.0.2"], "http://u:secret@p:1", tls=Tls(insecure=True, cert_file="c"))
    assert describe_way([network]) == (
        "through the proxy http://***@p:1, to ::1, from 127.0.0.2, any certificate will do, with a client certificate"
    )
    two = [Network(sources=["a"]), Network(sources=["b"])]
    assert describe_way(two) == "from 2 source addresses"


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


def test_what_is_still_being_sent_is_not_waited_for() -> None:
    bench = Bench()
    bench.requests_per_connection = 2
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
SMALL = ("--procs", "2", "--streams", "5", "--requests", "60")


def check(server: MockServer, arguments: tuple[str, ...], env: dict[str, str] | None = None) -> tuple[Any, str]:
    """A small run, all of which is to succeed; gives the truth of the server and what was said."""
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


def test_an_unknown_authority_is_said_before_anything_starts_and_counted_when_not_asked(files: Files) -> None:
    with mock_server("--tls-cert", files.server) as server:
        code, summary, said = llmstress("--url", server.url, *SMALL)
        assert (code, summary) == (3, {})
        assert "can't be reached: certificate not accepted: unable to get local issuer certificate (--cacert" in said
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
    assert "the proxy refused the tunnel: 407 Proxy Authentication Required; user and password belong" in said


def test_a_unix_socket_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "llm.sock"
    with mock_server("--unix-socket", str(path), "--procs", "2") as server:
        _, said = check(server, ("--url", server.url, "--unix-socket", str(path)), {"http_proxy": "http://p:1"})
    assert f"  over the Unix socket {path}\n" in said
    assert "using the only one listed, mock-7b" in said
    assert not path.exists()


def test_no_keepalive_and_a_limit_of_requests(files: Files) -> None:
    with mock_server("--tls-cert", files.server) as server:
        truth, _ = check(server, ("--url", server.url, "--insecure", "--no-keepalive"))
        assert truth["connections"] == 60 + 1
    with mock_server() as server:
        truth, _ = check(server, ("--url", server.url, "--streams", "1", "--requests-per-connection", "7"))
        assert truth["connections"] == 2 * 5 + 1, "30 requests of each process: 7 + 7 + 7 + 7 + 2"


def test_source_addresses_of_several_processes() -> None:
    with mock_server() as server, relay(urlsplit(server.url).port or 0) as between:
        sources = ("--source-ip", "127.0.0.5", "--source-ip", "127.0.0.6")
        _, said = check(
            server, ("--url", f"http://127.0.0.1:{between.port}", *MODEL, "--no-probe", "--no-keepalive", *sources)
        )
    assert between.peers == {"127.0.0.5": 30, "127.0.0.6": 30}
    assert "  from 2 source addresses\n" in said
