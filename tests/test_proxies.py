"""Proxies: plain requests that go through them whole, tunnels for TLS, and which one a run goes through.

The worker's own pieces run in this process against a server that plays the proxy; a run through a real one is in
`test_connections`.
"""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from loads import load
from proxies import Target, listening, saying
from sites import live

from llmstress.coordinator.errors import UsageError
from llmstress.coordinator.network import describe_way, network_of, proxy_for
from llmstress.coordinator.options import Options
from llmstress.coordinator.target import parse_target
from llmstress.coordinator.texts import Resolve
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
        network_of(asked, parse_target(asked.url or "", OpenAIChat(Ask())), environ)
    assert "secret" not in str(refused.value)


def test_the_way_is_said_without_secrets() -> None:
    assert describe_way([Network()]) == ""
    network = Network(["::1"], ["127.0.0.2"], "http://u:secret@p:1", tls=Tls(insecure=True, cert_file="c"))
    assert describe_way([network]) == (
        "through the proxy http://***@p:1, to ::1, from 127.0.0.2, any certificate will do, with a client certificate"
    )
    two = [Network(sources=["a"]), Network(sources=["b"])]
    assert describe_way(two) == "from 2 source addresses"
