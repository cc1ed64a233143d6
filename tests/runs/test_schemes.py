"""A URL whose scheme is not what the server speaks: told before anything starts, without giving a key away."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from helpers.live_load import live
from helpers.proxies import saying
from helpers.short_runs import make_files, server_tls

from llmstress.coordinator.config.errors import CouldNotStart
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.target.model_listing import ModelListing, list_models
from llmstress.coordinator.target.resolved_target import resolve_target

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SECRET = "sk-1234567890"


@contextlib.asynccontextmanager
async def answering(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers each head; gives its port and the heads."""
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)
            await reader.read()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1], heads


async def asked(url: str) -> ModelListing:
    options = Options(procs=1, prompt="p", url=url, model="m", proxy="none", headers=(("Authorization", SECRET),))
    resolved = resolve_target(options, url, {})
    return await list_models(resolved, resolved.network)


@live
async def test_http_to_a_port_of_https_and_the_key_stays_here(tmp_path: Path) -> None:
    async with answering(server_tls(make_files(tmp_path).server)) as (port, heads):
        with pytest.raises(CouldNotStart, match=rf"http://127.0.0.1:{port}/\S+ .* write https:// instead of http://"):
            await asked(f"http://127.0.0.1:{port}/v1?api_key={SECRET}")
    assert [head.splitlines()[0] for head in heads] == [b"GET / HTTP/1.1"]
    assert SECRET.encode() not in b"".join(heads)


@pytest.mark.parametrize("answer", [OK, REFUSED], ids=["ok", "400"])
@live
async def test_https_to_a_port_of_http(answer: bytes) -> None:
    async with saying(answer) as port:
        with pytest.raises(CouldNotStart, match="http:// instead of https://"):
            await asked(f"https://127.0.0.1:{port}")


@pytest.mark.slow
@live
async def test_https_to_a_port_of_http_where_nobody_answers_to_tls() -> None:
    async with answering() as (port, heads):
        with pytest.raises(CouldNotStart, match="speaks http, not https: write http:// instead of https://"):
            await asked(f"https://127.0.0.1:{port}/v1?api_key={SECRET}")
    assert heads
    assert SECRET.encode() not in b"".join(heads)


@live
async def test_a_server_that_speaks_the_scheme_badly_is_not_told_to_speak_another() -> None:
    async with saying(REFUSED) as port:
        assert (await asked(f"http://127.0.0.1:{port}")).reason.endswith("with 400")
    async with saying(b"") as port:
        assert "failed (ServerDisconnectedError)" in (await asked(f"http://127.0.0.1:{port}")).reason
