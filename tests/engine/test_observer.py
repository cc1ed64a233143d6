"""Observers of requests: what they are told, with which stamps, and that other requests don't change."""

import pytest
from helpers.bench import BEGIN, DONE, END, FINISH, HEAD, MS, ROLE, TOKEN, Bench, answer, body_of, values

from llmstress.engine.api.meaning import Meaning
from llmstress.engine.http.response import Head
from llmstress.engine.outcome import End
from llmstress.engine.stream.observer import Ending, Observer


class Notes(Observer):
    """Keeps everything."""

    def __init__(self) -> None:
        self.heads: list[tuple[int, int]] = []
        self.pieces: list[tuple[int, bytes]] = []
        self.retries: list[tuple[int, str]] = []
        self.endings: list[Ending] = []

    def head(self, head: Head, stamp: int) -> None:
        self.heads.append(((stamp - BEGIN) // MS, head.status))

    def piece(self, data: bytes, stamp: int) -> None:
        self.pieces.append(((stamp - BEGIN) // MS, data))

    def retried(self, end: End, stamp: int) -> None:
        self.retries.append(((stamp - BEGIN) // MS, end.outcome))

    def ended(self, ending: Ending) -> None:
        self.endings.append(ending)


class EventNotes(Notes):
    """Keeps events, too."""

    EVENTS = True

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def read(self, data: bytes, stamp: int) -> None:
        self.told.append(f"read {len(data)}")

    def event(self, name: bytes, data: bytes, meaning: Meaning) -> None:
        self.told.append("token" if meaning.tokens else "done" if meaning.done else "event")

    def comment(self) -> None:
        self.told.append("comment")


def test_pieces_of_the_body_come_with_the_stamps_of_their_reads_whichever_way_they_take() -> None:
    notes = Notes()
    bench = Bench(observer=notes)
    bench.begin()
    bench.read(90, HEAD + ROLE)
    bench.read(200, TOKEN)
    bench.read(220, TOKEN)  # the fast path
    bench.read(240, TOKEN + TOKEN + TOKEN)  # the fast path, for several
    bench.read(260, FINISH + DONE)
    assert notes.endings == []
    bench.read(265, END)
    assert notes.heads == [(90, 200)]
    assert [ms for ms, _ in notes.pieces] == [90, 200, 220, 240, 240, 240, 260, 260]
    assert b"".join(data for _, data in notes.pieces) == body_of(ROLE, *[TOKEN] * 5, FINISH, DONE)
    [ending] = notes.endings
    assert (ending.end.outcome, ending.stamp, ending.complete, ending.keep_alive) == (
        "ok",
        BEGIN + 265 * MS,
        True,
        True,
    )
    part = bench.steady()
    assert values(part.latency, "itl") == [0, 0, 20, 20]
    assert part.ended == {"ok": 1}


def test_an_observer_of_pieces_leaves_the_fast_path_to_the_events() -> None:
    for observer, fast in ((None, True), (Notes(), True), (EventNotes(), False)):
        bench = Bench(observer=observer)
        bench.begin()
        bench.read(90, HEAD + TOKEN)
        assert (bench.stream.fast is not None) == fast


def test_events_and_comments_are_told_in_their_order() -> None:
    notes = EventNotes()
    bench = Bench(observer=notes)
    bench.begin()
    bench.read(90, HEAD + b"8\r\n: ping\n\n\r\n" + TOKEN)
    bench.read(95, FINISH + DONE + END)
    assert [each for each in notes.told if not each.startswith("read")] == ["comment", "token", "event", "done"]


def test_an_attempt_that_is_followed_by_another_one_is_no_end() -> None:
    notes = Notes()
    bench = Bench(observer=notes, retries=1)
    bench.begin()
    bench.read(90, answer("503 No", b"later"))
    assert (notes.retries, notes.endings) == ([(90, "http_503")], [])
    bench.at(500).stream.resume()
    bench.read(600, HEAD + TOKEN + FINISH + DONE + END)
    assert [ending.end.outcome for ending in notes.endings] == ["ok"]


@pytest.mark.parametrize(
    ("reads", "outcome", "complete", "body"),
    [
        pytest.param([HEAD + TOKEN + END], "truncated", True, None, id="HTTP is complete, the answer is not"),
        pytest.param([answer("500 No", b"oh no")], "http_500", True, b"oh no", id="an error's body"),
        pytest.param([HEAD + TOKEN], "cancelled", False, None, id="cut off"),
        pytest.param([], "cancelled", False, None, id="cut off before the head"),
    ],
)
def test_how_http_ended_is_told_apart(reads: list[bytes], outcome: str, complete: bool, body: bytes | None) -> None:
    notes = Notes()
    bench = Bench(observer=notes)
    bench.begin()
    for data in reads:
        bench.read(90, data)
    bench.stream.cut(bench.now)
    [ending] = notes.endings
    assert (ending.end.outcome, ending.complete, ending.body) == (outcome, complete, body)


def test_the_next_request_of_the_stream_has_no_observer_of_the_last_one() -> None:
    notes = Notes()
    bench = Bench(observer=notes)
    bench.begin()
    bench.read(90, HEAD + TOKEN + FINISH + DONE + END)
    told = len(notes.pieces)
    bench.observer = None
    bench.begin(100)
    bench.read(190, HEAD + TOKEN + FINISH + DONE + END)
    assert (len(notes.pieces), len(notes.endings)) == (told, 1)
    assert bench.steady().ended == {"ok": 2}
