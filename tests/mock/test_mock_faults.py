"""The mock's faults as seen on the wire: what is sent, how the answer ends, and what the mock's statistics say."""

import json
import ssl
from collections import Counter
from typing import Any, NamedTuple

import pytest
import trustme
from helpers.processes import mock_server
from helpers.wire_client import CHAT, MESSAGES, RESPONSES, Client, Ended, Heard, ask

from llmstress.engine.mock.endings import ENDLESS, AnswerPlan, Termination, plan_for
from llmstress.engine.mock.faults import HARMLESS, Fault

FAST = ("--ttft-ms", "1", "--gap-ms", "1")
WORDS = [f" tok{i % 10}" for i in range(8)]
STRUCK = 3
"""Number of tokens after which the fault of the first answer takes effect, with seed 0."""
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


# plans


@pytest.mark.parametrize("events", [1, 2, 3, 64])
@pytest.mark.parametrize("fault", [*Fault, None])
def test_a_course_leaves_something_to_be_seen_and_something_to_be_missed(fault: Fault | None, events: int) -> None:
    plans = [plan_for(fault, at / 100, events) for at in range(100)]
    struck = {plan.events for plan in plans}
    if fault in (
        Fault.STALL_MID_STREAM,
        Fault.ERROR_EVENT,
        Fault.CUT,
        Fault.CUT_CLOSE_DELIMITED,
        Fault.RESET_MID_STREAM,
    ):
        assert struck == set(range(1, max(2, events)))
        assert all(plan.last != "closing" for plan in plans)
    elif fault in (Fault.STALL_FIRST_TOKEN, Fault.NEVER_ENDS):
        assert struck == {0 if fault is Fault.STALL_FIRST_TOKEN else ENDLESS}
    else:
        assert struck == {events}
    if fault is Fault.MALFORMED_JSON:
        assert {plan.malformed_at for plan in plans} == set(range(min(1, events - 1), events)) - ({0} - {events - 1})


def test_an_answer_without_tokens_has_nothing_that_could_break() -> None:
    assert plan_for(Fault.NEVER_ENDS, 0.5, 0) == AnswerPlan(0)
    assert plan_for(Fault.MALFORMED_JSON, 0.5, 0) == AnswerPlan(0)
    assert plan_for(Fault.CUT, 0.5, 0) == AnswerPlan(0, "nothing", Termination.CLOSE, separate=True)


# each fault


class Seen(NamedTuple):
    """What a client sees of a chat stream."""

    ended: Ended
    status: int = 200
    words: str = "all"
    """`all`, `some`, `none`."""
    finish: str = ""
    done: bool = False
    """Whether [DONE] was received."""
    usage: bool = False


SEEN = {
    Fault.RESET_BEFORE_HEAD: Seen("reset", status=0, words="none"),
    Fault.CLOSE_BEFORE_HEAD: Seen("closed", status=0, words="none"),
    Fault.HTTP_400: Seen("order", status=400, words="none"),
    Fault.HTTP_401: Seen("order", status=401, words="none"),
    Fault.HTTP_404: Seen("order", status=404, words="none"),
    Fault.HTTP_429: Seen("order", status=429, words="none"),
    Fault.HTTP_QUOTA: Seen("order", status=429, words="none"),
    Fault.HTTP_500: Seen("order", status=500, words="none"),
    Fault.HTTP_503_HTML: Seen("order", status=503, words="none"),
    Fault.HTTP_529: Seen("order", status=529, words="none"),
    Fault.STALL_FIRST_TOKEN: Seen("left", words="none"),
    Fault.STALL_MID_STREAM: Seen("left", words="some"),
    Fault.ERROR_EVENT: Seen("order", words="some"),
    Fault.MALFORMED_JSON: Seen("order", finish="stop", done=True, usage=True),
    Fault.CUT: Seen("closed", words="some"),
    Fault.CUT_CLOSE_DELIMITED: Seen("closed", words="some"),
    Fault.RESET_MID_STREAM: Seen("reset", words="some"),
    Fault.NO_FINISH: Seen("order"),
    Fault.NEVER_ENDS: Seen("left"),
    Fault.EMPTY: Seen("order", words="none", finish="stop", done=True, usage=True),
    Fault.FILTERED: Seen("order", words="some", finish="content_filter", done=True, usage=True),
    Fault.NO_USAGE: Seen("order", finish="stop", done=True),
    Fault.KEEPALIVE_EVENTS: Seen("order", finish="stop", done=True, usage=True),
}


def whole_events(heard: Heard) -> Heard:
    """Only the events with valid JSON."""
    blocks = [block for block in heard.body.split(b"\n\n") if not block.startswith(b"data: {") or _is_json(block[6:])]
    return heard._replace(body=b"\n\n".join(blocks))


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def enough_of(fault: Fault, data: bytes) -> bool:
    """When the client disconnects from an answer that does not end by itself."""
    if fault is Fault.STALL_FIRST_TOKEN:
        return data.endswith(b"\r\n\r\n")
    if fault is Fault.STALL_MID_STREAM:
        return data.count(b" tok") == STRUCK
    return fault is Fault.NEVER_ENDS and data.count(b" tok") > 50


def suffer(fault: Fault, *switches: str, path: str = CHAT, **fields: Any) -> tuple[Heard, dict[str, Any]]:
    """An answer with this fault, then one without on another connection, and the mock's statistics of both."""
    with mock_server(*FAST, *switches, "--fault", f"{fault}=100%", "--faults-until", "1") as server:
        with Client(server.url) as client:
            client.send(path, **fields)
            heard = client.hear(lambda data: enough_of(fault, data))
        assert ask(server.url, path, **fields).ended in ("order", "closed")
        # the second answer may end before the server notices that the first client has disconnected
        with Client(server.url) as other:
            other.ask("/v1/nothing")
        return heard, server.stop()


def test_every_fault_is_seen_below() -> None:
    assert set(SEEN) == set(Fault)


@pytest.mark.parametrize("fault", Fault)
def test_each_fault_on_the_wire(fault: Fault) -> None:
    heard, truth = suffer(fault, **USAGE)
    seen = SEEN[fault]
    assert (heard.status, heard.ended) == (seen.status, seen.ended)
    if seen.status == 200:
        clean = whole_events(heard)
        if fault is Fault.NEVER_ENDS:
            assert clean.words[:50] == [f" tok{i % 10}" for i in range(50)]
        else:
            assert clean.words == WORDS[: {"all": 8, "some": STRUCK, "none": 0}[seen.words]]
            assert clean.finish == ([seen.finish] if seen.finish else [])
        assert ("[DONE]" in clean.data) == seen.done
        assert (clean.usage is not None) == seen.usage
        if clean.usage is not None:
            assert clean.usage["completion_tokens"] == len(clean.words), "it tells of what was sent"
    harmless = fault in HARMLESS
    assert truth["faults"] == {fault: 1}
    counts = {"requests": 2, "done": 1 + harmless, "failed": 1 - harmless, "aborted": 0, "rate_limited": 0}
    assert {name: truth[name] for name in counts} == counts
    statuses = Counter([str(seen.status), "200", "404"])
    statuses.pop("0", None)
    assert truth["statuses"] == statuses
    # latencies of failed requests are kept separately, so that both can be compared with a client's figures
    sent = len(whole_events(heard).words) if seen.status == 200 else 0
    if fault is Fault.NEVER_ENDS:
        assert truth["gap_failed_ms"]["count"] >= sent - 1
        return
    good, bad = (8 + sent, 0) if harmless else (8, sent)
    assert truth["ttft_ms"]["count"] + truth["gap_ms"]["count"] == good
    assert truth["ttft_failed_ms"]["count"] + truth["gap_failed_ms"]["count"] == bad
    assert truth["events"] == truth["tokens"] == good + bad
    assert truth["endings"] == dict(Counter(["stop", seen.finish] if seen.finish else ["stop"]))
    assert truth["usage"]["answers"] == 1 + seen.usage
    assert truth["usage"]["output"] == 8 + sent * seen.usage


def test_what_the_errors_say() -> None:
    assert b"insufficient_quota" in suffer(Fault.HTTP_QUOTA)[0].body
    limited, _ = suffer(Fault.HTTP_429)
    assert limited.headers["retry-after"] == "1"
    assert b"insufficient_quota" not in limited.body
    page, _ = suffer(Fault.HTTP_503_HTML)
    assert page.headers["content-type"] == "text/html"
    assert b"</html>" in page.body
    assert json.loads(suffer(Fault.HTTP_529, path=MESSAGES)[0].body)["error"]["type"] == "overloaded_error"
    assert b"enforced_spend_limit_reached" in suffer(Fault.HTTP_QUOTA, path=MESSAGES)[0].body


def test_an_error_within_a_stream_is_in_the_words_of_the_api() -> None:
    chat, _ = suffer(Fault.ERROR_EVENT)
    assert set(chat.events[-1]["error"]) == {"message", "type", "param", "code"}
    claude, _ = suffer(Fault.ERROR_EVENT, path=MESSAGES)
    assert claude.events[-1]["type"] == "error"
    assert b"event: error\n" in claude.body
    responses, _ = suffer(Fault.ERROR_EVENT, path=RESPONSES, input="x")
    assert [each["type"] for each in responses.events[-2:]] == ["error", "response.failed"]
    assert [each["sequence_number"] for each in responses.events] == list(range(len(responses.events)))


def test_where_an_api_has_no_words_for_an_error_the_connection_breaks() -> None:
    heard, truth = suffer(Fault.ERROR_EVENT, path="/text", prompt="x", stream=None)
    assert heard.ended == "closed"
    assert truth["failed"] == 1


def test_a_broken_event_costs_no_token() -> None:
    heard, _ = suffer(Fault.MALFORMED_JSON)
    broken = [each for each in heard.data if each != "[DONE]" and not _is_json(each.encode())]
    assert len(broken) == 1
    assert whole_events(heard).words == WORDS


def test_something_that_means_nothing_before_each_token() -> None:
    heard, truth = suffer(Fault.KEEPALIVE_EVENTS)
    assert heard.text.count(b": ping\n\n") == truth["pings"] == 8
    responses, _ = suffer(Fault.KEEPALIVE_EVENTS, path=RESPONSES, input="x")
    assert [each["type"] for each in responses.events].count("keepalive") == 8
    claude, _ = suffer(Fault.KEEPALIVE_EVENTS, path=MESSAGES)
    assert claude.text.count(b"event: ping\n") == 8 + 1, "one it says by itself"


def test_a_moderated_answer_in_other_apis() -> None:
    claude, _ = suffer(Fault.FILTERED, path=MESSAGES)
    assert [each["delta"]["stop_reason"] for each in claude.events if each["type"] == "message_delta"] == ["refusal"]
    responses, _ = suffer(Fault.FILTERED, path=RESPONSES, input="x")
    assert responses.events[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}


def test_the_connection_goes_on_after_what_ends_in_order() -> None:
    for fault in (Fault.HTTP_500, Fault.ERROR_EVENT, Fault.NO_FINISH, Fault.EMPTY, Fault.MALFORMED_JSON):
        switches = ("--fault", f"{fault}=100%", "--faults-until", "1")
        with mock_server(*FAST, *switches) as server, Client(server.url) as client:
            client.ask()
            assert client.ask().words == WORDS
            assert server.stop()["connections"] == 1


# answers in other forms

WHOLE = {
    Fault.STALL_FIRST_TOKEN: None,
    Fault.NEVER_ENDS: None,
    Fault.CUT: "closed",
    Fault.CUT_CLOSE_DELIMITED: "closed",
    Fault.RESET_MID_STREAM: "reset",
    Fault.MALFORMED_JSON: "order",
    Fault.NO_FINISH: "order",
    Fault.ERROR_EVENT: "order",
    Fault.EMPTY: "order",
    Fault.FILTERED: "order",
    Fault.KEEPALIVE_EVENTS: "order",
}


@pytest.mark.parametrize("fault", WHOLE)
def test_faults_of_answers_in_one_piece(fault: Fault) -> None:
    switches = ("--fault", f"{fault}=100%", "--faults-until", "1")
    with mock_server(*FAST, *switches) as server:
        with Client(server.url) as client:
            client.send(stream=False)
            if WHOLE[fault] is None:
                # another answer takes as long as this one would have taken
                assert ask(server.url, stream=False).status == 200
                assert client.heard_of_late == b""
                heard = None
            else:
                heard = client.hear()
        ask(server.url, "/v1/nothing")
        truth = server.stop()
    assert truth["faults"] == {fault: 1}
    assert truth["failed"] == (fault not in HARMLESS)
    assert truth["aborted"] == 0
    if heard is None:
        return
    assert (heard.status, heard.ended) == (200, WHOLE[fault])
    if fault is Fault.CUT_CLOSE_DELIMITED:
        assert "content-length" not in heard.headers
    elif heard.ended != "order":
        assert 0 < len(heard.body) < int(heard.headers["content-length"])
    if fault in (Fault.MALFORMED_JSON, Fault.NO_FINISH) or heard.ended != "order":
        assert not _is_json(heard.body)
        assert truth["tokens"] == 0
        return
    told = json.loads(heard.body)
    if fault is Fault.ERROR_EVENT:
        assert set(told) == {"error"}
    else:
        length = {Fault.EMPTY: 0, Fault.FILTERED: STRUCK}.get(fault, 8)
        assert told["usage"]["completion_tokens"] == length == truth["tokens"]


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.MALFORMED_JSON, Fault.NO_FINISH])
def test_embeddings_break_too(fault: Fault) -> None:
    with mock_server(*FAST, "--fault", f"{fault}=100%") as server:
        heard = ask(server.url, "/v1/embeddings", input=["a", "b"], stream=None)
        truth = server.stop()
    assert heard.ended == ("closed" if fault is Fault.CUT else "order")
    assert not _is_json(heard.body)
    assert (truth["failed"], truth["inputs"], truth["usage"]) == (1, 0, {})


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET_MID_STREAM, Fault.STALL_MID_STREAM])
def test_streams_sent_as_a_whole_break_off_within_their_length(fault: Fault) -> None:
    with (
        mock_server(*FAST, "--content-length", "--fault", f"{fault}=100%") as server,
        Client(server.url) as client,
    ):
        client.send()
        heard = client.hear(lambda data: data.count(b" tok") == STRUCK)
    assert len(heard.body) < int(heard.headers["content-length"])
    assert heard.words == WORDS[:STRUCK]


def test_several_events_in_a_write_break_off_between_them() -> None:
    heard, truth = suffer(Fault.CUT, "--events-per-write", "2")
    assert heard.words == WORDS[:STRUCK]
    assert truth["events"] == 8 + STRUCK
    assert truth["gap_failed_ms"]["count"] == STRUCK - 1


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.RESET_MID_STREAM])
def test_connections_break_over_tls_too(fault: Fault) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with (
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.tempfile() as pem,
        mock_server(*FAST, "--tls-cert", pem, "--fault", f"{fault}=100%") as server,
        Client(server.url.replace("https", "http")) as client,
    ):
        client.socket = context.wrap_socket(client.socket, server_hostname="127.0.0.1")
        heard = client.ask()
    # before 3.13 Python's ssl does not tell a reset from an end
    assert heard.ended in ({"closed"} if fault is Fault.CUT else {"closed", "reset"})
    assert heard.words == WORDS[:STRUCK]


# shares of requests

MIXED = [f"{name}={share}%" for name, share in (("http_500", 20), ("empty", 20), ("cut", 20), ("no_finish", 10))]


def outcomes(seed: str, *switches: str, count: int = 60) -> tuple[list[tuple[int, Ended, int]], dict[str, Any]]:
    faults = [word for each in MIXED for word in ("--fault", each)]
    with mock_server(*FAST, "--gap-ms", "0", "--seed", seed, *faults, *switches) as server:
        answers = [ask(server.url) for _ in range(count)]
        return [(each.status, each.ended, len(each.words)) for each in answers], server.stop()


def test_the_same_seed_gives_the_same_faults() -> None:
    first, truth = outcomes("5")
    assert outcomes("5")[0] == first
    assert outcomes("5", "--delays", "exponential", "--ping-every-ms", "1")[0] == first, "whatever else is drawn"
    assert outcomes("6")[0] != first
    seen = {
        "http_500": sum(status == 500 for status, _, _ in first),
        "cut": sum(ended == "closed" for _, ended, _ in first),
        "empty": sum(status == 200 and not words for status, _, words in first),
    }
    assert seen == {fault: truth["faults"][fault] for fault in seen}
    assert min(seen.values()) > 2
    assert truth["failed"] == sum(truth["faults"].values())
    assert truth["failed"] + truth["done"] == truth["requests"] == 60


def test_faults_among_the_first_requests_only() -> None:
    first, truth = outcomes("5", "--faults-until", "20")
    free, _ = outcomes("5")
    assert first[:20] == free[:20]
    assert set(first[20:]) == {(200, "order", 8)}
    assert sum(truth["faults"].values()) > 5


def test_processes_share_the_first_requests() -> None:
    switches = ("--procs", "2", "--fault", "http_500=100%", "--faults-until", "10")
    with mock_server(*FAST, *switches) as server:
        statuses = [ask(server.url).status for _ in range(60)]
        truth = server.stop()
    # five in each process, if the kernel gives each as many connections
    assert truth["faults"]["http_500"] == statuses.count(500) <= 10
    assert truth["statuses"] == dict(Counter(map(str, statuses)))
