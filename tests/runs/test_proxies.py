"""Proxies: plain requests that go through them whole, tunnels for TLS, and which one a run goes through.

The worker's own pieces run in this process against a server that plays the proxy; a run through a real one is in
`test_connections`.
"""

import socket
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from helpers.http_servers import Handler, served
from helpers.live_load import live
from helpers.proxies import Target, listening, saying
from helpers.short_runs import load

from llmstress.coordinator.commands import cli
from llmstress.coordinator.config.errors import CouldNotStart, UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.parsing import Resolve
from llmstress.coordinator.config.target_url import parse_target
from llmstress.coordinator.target.model_listing import ModelListing, choose_model
from llmstress.coordinator.target.network import describe_way, network_of, proxy_for
from llmstress.coordinator.target.proxies import Source, hint_of, source_of
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.openai_chat import OpenAIChat
from llmstress.engine.control import Network, Timeouts, Tls


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
        (b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", False, "tunnel: 407 Who; put user and password"),
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


@pytest.mark.parametrize(
    ("status", "headers", "body", "host", "source"),
    [
        pytest.param(407, {}, "", "llm.test", Source.PROXY, id="407"),
        pytest.param(401, {"proxy-authenticate": "Basic"}, "", "llm.test", Source.PROXY, id="proxy-authenticate"),
        pytest.param(404, {"server": "squid/6.1"}, "<html>", "llm.test", Source.PROXY, id="squid's own page"),
        pytest.param(503, {"x-squid-error": "ERR_DNS_FAIL 0"}, "", "llm.test", Source.PROXY, id="squid's error"),
        pytest.param(502, {"proxy-status": "p; error=dns_error"}, "", "llm.test", Source.PROXY, id="RFC 9209"),
        pytest.param(502, {}, "Bad Gateway", "127.0.0.1", Source.PROXY, id="this machine"),
        pytest.param(403, {}, "<html>", "localhost", Source.PROXY, id="localhost"),
        pytest.param(504, {}, "", "10.1.2.3", Source.PROXY, id="a private address"),
        pytest.param(503, {}, "", "fd00::1", Source.PROXY, id="a private address of IPv6"),
        pytest.param(502, {}, "Bad Gateway", "llm.test", Source.EITHER, id="502"),
        pytest.param(403, {"via": "1.1 p"}, "<html>", "llm.test", Source.EITHER, id="403"),
        pytest.param(403, {"via": "1.1 p"}, '{"error": {}}', "127.0.0.1", Source.TARGET, id="JSON"),
        pytest.param(503, {}, '{"error": {"message": "cut o', "llm.test", Source.TARGET, id="JSON, cut off"),
        pytest.param(401, {"via": "1.1 p"}, "", "127.0.0.1", Source.TARGET, id="401"),
        pytest.param(404, {"via": "1.1 p"}, "", "127.0.0.1", Source.TARGET, id="404"),
        pytest.param(200, {"server": "squid"}, "{}", "127.0.0.1", Source.TARGET, id="200"),
    ],
)
def test_whose_answer_it_is(status: int, headers: dict[str, str], body: str, host: str, source: Source) -> None:
    assert source_of(status, headers, body, host) is source
    assert (f"no_proxy={host} " in hint_of(status, headers, body, host)) is (source is not Source.TARGET)


class Refusing(Handler):
    """A proxy that passes nothing on."""

    status: ClassVar[int]

    def do_GET(self) -> None:
        self.answer(self.status, b"<html>not through here</html>")

    do_CONNECT = do_GET


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("http://127.0.0.1:9", 407, "(the environment's http_proxy) answered 407: "),
        ("http://127.0.0.1:9", 502, "(the environment's http_proxy) answered 502: "),
        ("http://llm.test", 403, "(the environment's http_proxy), refused the request for its models with 403"),
        ("https://llm.test", 403, "(the environment's https_proxy) could not connect to the target: "),
    ],
)
def test_a_proxy_of_the_environment_that_refuses_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, status: int, words: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Refusing, "status", status, raising=False)
    with served(Refusing) as proxy:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.replace("://", "://user:hunter22@"))
        asked = ("--url", url, "--model", "m", "--procs", "1", "--streams", "1", "--requests", "1", "--headless")
        code = cli.run(asked)
    said = capsys.readouterr().err
    assert code == 3
    assert f"the proxy {proxy.replace('://', '://***@')} {words}" in said
    assert "no_proxy" in said
    assert "key" not in said
    assert "hunter22" not in said


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
        ({"resolve": (Resolve("127.0.0.1", 80, ("::1",)),), "url": "http://127.0.0.1"}, {}, "--resolve has no effect"),
    ],
)
def test_ways_that_can_not_be_gone(given: dict[str, Any], environ: dict[str, str], words: str) -> None:
    asked = options(**given)
    with pytest.raises(UsageError, match=words) as refused:
        network_of(asked, parse_target(asked.url or "", OpenAIChat(Ask())), environ)
    assert "secret" not in str(refused.value)


def test_the_way_is_said_without_secrets() -> None:
    assert describe_way([Network()]) == ""
    network = Network(["::1"], ["127.0.0.2"], "http://u:secret@p:1", tls=Tls(insecure=True, cert_file="c"))
    assert describe_way([network]) == (
        "through the proxy http://***@p:1, to ::1, from 127.0.0.2, without checking certificates, with a client "
        "certificate"
    )
    two = [Network(sources=["a"]), Network(sources=["b"])]
    assert describe_way(two) == "from 2 source addresses"


def test_an_answer_that_may_be_the_proxy_s_is_warned_of_and_no_reason_not_to_start() -> None:
    listing = ModelListing(reason="it answered 502", warning="it answered 502: the proxy may say so")
    assert choose_model(options(model="m"), listing) == ("m", "it answered 502: the proxy may say so")
    with pytest.raises(CouldNotStart, match="the proxy may say so"):
        choose_model(options(), listing)
