"""Faulty servers: no connection, no TLS, TLS that breaks, closed idle connections, and a server that dies."""

import logging
import resource
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from helpers.bench import FINISH, HEAD, MS, TOKEN, answer
from helpers.faulty_servers import (
    BYSTANDERS,
    CUT,
    GOOD,
    NO_LIMITS,
    STREAM,
    Fault,
    Script,
    ScriptedServer,
    Step,
    gone,
    head,
    kept,
    scene,
    serving,
    suffer,
)
from helpers.live_load import live, until

from llmstress.engine.connect.dialer import Dialer
from llmstress.engine.control import Network, Timeouts, Tls

ASKED, HEARD, HANG = Step.ASKED, Step.HEARD, Step.HANG
CLOSE, RESET, PLAIN = Step.CLOSE, Step.RESET, Step.PLAIN


@pytest.fixture(autouse=True)
def _nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def suffer_to_connect(server: ScriptedServer, first: Dialer, ends: str) -> str:
    """The first connection fails and all others succeed. Returns the text of the failure."""
    async with scene(server, first=first) as made:
        made.start()
        await until(lambda: made.books.outcomes[ends])
        await until(lambda: len(server.peers) == 1 + BYSTANDERS and all(peer.good >= 2 for peer in server.peers))
        part = await made.end()
        assert part.ended == {ends: 1, "ok": part.ended["ok"]}
        assert part.counters.connections == len(server.peers)
        return next(end.text for _, end in made.books.ends if end.outcome == ends)


NO_CONNECTION = {
    "a port without a listener": ("http://127.0.0.1:1", "connect_refused"),
    # The broadcast address of the loopback network: the kernel has no route there for TCP on any machine.
    "an address without a route": ("http://127.255.255.255:9", "unreachable"),
    "a name that doesn't exist": ("http://nobody.invalid:9", "dns"),
    "a name that can't exist": (f"http://{'x' * 64}.invalid:9", "dns"),
}


@pytest.mark.parametrize(
    ("url", "ends"), NO_CONNECTION.values(), ids=[f"{name}: {row[1]}" for name, row in NO_CONNECTION.items()]
)
@live
async def test_a_failed_connection_ends_in_its_class_and_affects_no_other_stream(url: str, ends: str) -> None:
    async with serving() as server:
        assert await suffer_to_connect(server, Dialer(url, Network(), NO_LIMITS), ends)


NO_TLS: dict[str, tuple[Script, str]] = {
    "plain HTTP instead of TLS": ((HEARD, answer("400 No", b"plain HTTP was expected")), "tls"),
    "garbage instead of TLS": ((b"\0\xffgarbage" * 99,), "tls"),
    "a TLS alert": ((HEARD, b"\x15\x03\x03\x00\x02\x02\x28"), "tls"),
    "closed on accept, TLS": ((CLOSE,), "tls"),
    "closed within the handshake": ((HEARD, CLOSE), "tls"),
    "reset within the handshake": ((HEARD, RESET), "tls"),
    "a handshake that never ends": ((HANG,), "connect_timeout"),
}


@pytest.mark.parametrize(("script", "ends"), NO_TLS.values(), ids=[f"{name}: {row[1]}" for name, row in NO_TLS.items()])
@live
async def test_a_failed_handshake_ends_in_its_class_and_affects_no_other_stream(script: Script, ends: str) -> None:
    async with serving() as server, serving(script) as faulty:
        limits = Timeouts(0.05 if script == (HANG,) else 0, 0, 0, 0)
        assert await suffer_to_connect(server, Dialer(faulty.url.replace("http:", "https:"), Network(), limits), ends)


# --- within TLS


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path) -> Network:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return Network(tls=Tls(ca_file=str(tmp_path / "ca.pem")))


def test_a_certificate_that_nobody_trusts_is_a_tls_failure(tls: ssl.SSLContext) -> None:
    @live
    async def run() -> None:
        async with serving() as server, serving(context=tls) as untrusted:
            text = await suffer_to_connect(server, Dialer(untrusted.url, Network(), NO_LIMITS), "tls")
            assert "certificate not accepted" in text

    run()


WITHIN_TLS = {
    "a good answer, TLS": kept("ok", GOOD),
    "closed before the status, TLS": gone("reset", CLOSE),
    "reset before the status, TLS": gone("reset", RESET),
    "closed in mid-chunk, TLS": gone("truncated", HEAD + TOKEN + TOKEN[:-9], CLOSE),
    "reset in mid-chunk, TLS": gone("truncated", HEAD + TOKEN + TOKEN[:-9], RESET),
    "reset after the finish signal, TLS": gone("ok", HEAD + TOKEN + FINISH, RESET),
    "ended without finish signal, close-delimited, TLS": gone("truncated", head() + CUT, CLOSE),
    "close-delimited and finished, TLS": gone("ok", head() + STREAM, CLOSE),
    "garbage instead of TLS in mid-stream": gone("truncated", HEAD + TOKEN, PLAIN, b"garbage" * 20),
    "garbage instead of TLS before the status": gone("tls", PLAIN, b"garbage" * 20),
    "a stale kept-alive connection, TLS": Fault("ok", False, (ASKED, GOOD, ASKED, CLOSE), stale=1),
}


@pytest.mark.parametrize(
    "fault", WITHIN_TLS.values(), ids=[f"{name}: {fault.ends}" for name, fault in WITHIN_TLS.items()]
)
def test_a_fault_within_tls_ends_in_its_class(fault: Fault, tls: ssl.SSLContext, trusting: Network) -> None:
    @live
    async def run() -> None:
        async with serving(fault.script, context=tls) as server, scene(server, network=trusting) as made:
            await suffer(made, fault)

    run()


# --- while idle, and all at once

IDLE: dict[str, Script] = {
    "408": (answer("408 Request Timeout", b"idle"),),
    "408, then closed": (answer("408 Request Timeout", b"idle", "Connection: close"), CLOSE),
    "an answer to nothing": (GOOD,),
    "garbage": (b"garbage",),
    "closed": (CLOSE,),
    "reset": (RESET,),
}


@pytest.mark.parametrize("script", IDLE.values(), ids=[f"{name} while idle: ok" for name in IDLE])
@live
async def test_the_end_of_an_idle_connection_is_no_failure(script: Script) -> None:
    async with serving() as server, scene(server) as made:
        made.start()
        await until(lambda: len(server.peers) > BYSTANDERS and all(peer.good >= 2 for peer in server.peers))
        made.model.pause(True, 0)
        await until(lambda: not made.load.in_flight())
        made.now += MS
        server.peers[0].play(script)
        await until(lambda: made.at(server.peers[0].port) is None)
        made.now += MS
        made.model.pause(False, 0)
        await until(lambda: len(server.peers) == 2 + BYSTANDERS and server.peers[-1].good >= 2)
        part = await made.end()
        assert set(part.ended) == {"ok"}
        assert part.counters.stale_retries == 0


@live
async def test_a_server_that_dies_under_a_thousand_streams_and_comes_back() -> None:
    """Half of the answers have begun and are truncated. No byte of the others has arrived: reset."""
    streams = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * streams:
        pytest.skip("needs 4,000 file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * streams), hard))
    try:
        half: list[Script] = [(ASKED, HEAD + TOKEN, HANG), (ASKED, HANG)]
        async with (
            serving(*half * (streams // 2)) as server,
            scene(server, streams, error_pause_s=0.02, requests=3 * streams) as made,
        ):
            made.start()
            await until(lambda: sum(exchange.first_token > 0 for exchange in made.load.in_flight()) == streams // 2)
            await until(lambda: sum(peer.heard for peer in server.peers) == streams)
            server.die()
            await until(lambda: made.books.outcomes == {"truncated": streams // 2, "reset": streams // 2})
            made.now += 100 * MS  # all have rested
            await until(lambda: made.books.outcomes["connect_refused"] == streams)
            await server.listen()
            made.now += 100 * MS
            await until(made.load.exhausted.is_set)
            part = await made.end()
            assert part.ended == {
                "truncated": streams // 2,
                "reset": streams // 2,
                "connect_refused": streams,
                "ok": streams,
            }
            assert part.counters.connections > streams
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
