"""Runs in which nothing is streamed: the console, the summary and the screen speak of whole answers."""

import io

import pytest
from helpers.bench import Bench
from helpers.screens import QueueSource, S, facts, on_screen, press, text_of
from helpers.summaries import facts_of
from textual.pilot import Pilot

from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import summarise
from llmstress.engine.api.ask import Ask
from llmstress.engine.schedule import windows
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.tui.app import StressApp
from llmstress.tui.charts import catalog, lines
from llmstress.tui.format.picture import TOO_EARLY, picture_of
from llmstress.tui.panes.tiles import tiles_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
VECTORS = b'{"data":[{"embedding":[0.5]},{"embedding":[0.5]}],"usage":{"prompt_tokens":6}}'
CHAT = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"completion_tokens":7}}'

KINDS = {
    "embeddings": ("openai-embeddings", Ask(batch=2), VECTORS),
    "http": ("http", Ask(), b"{}"),
    "chat": ("openai-chat", Ask(stream=False), CHAT),
}


def run_of(kind: str, requests: int = 100) -> Aggregate:
    """A run of a second, of requests that take 10 ms each; it goes on."""
    api, ask, body = KINDS[kind]
    bench = Bench(api=api, ask=ask)
    total = Aggregate.over([1], windows=windows(steady_ns=S))
    total.workers[0].state = "running"
    for number in range(requests):
        bench.begin(10 * number)
        bench.read(10 * number + 5, HEAD % len(body))
        bench.read(10 * number + 10, body)
        if number % 25 == 24:
            total.merge(bench.cut())
    return total


def summary_of(total: Aggregate) -> Summary:
    return summarise(total, facts_of(streams=1, steady_s=1.0))


def said(total: Aggregate) -> tuple[str, str]:
    """The line of a second, and the table at the end."""
    line, table = io.StringIO(), io.StringIO()
    Console(line).progress(snapshot.take(total))
    Console(table).table(summary_of(total))
    return line.getvalue(), table.getvalue()


@pytest.mark.parametrize(
    ("kind", "work"),
    [("embeddings", "200 inputs/s  100 req/s"), ("http", "100 req/s"), ("chat", "700 tok/s  100 req/s")],
)
def test_the_line_of_a_second_speaks_of_whole_answers(kind: str, work: str) -> None:
    line, _ = said(run_of(kind))
    assert f"open 0/1  {work}  E2E p50 10.0 ms p99 10.0 ms  failed 0 %" in line


def test_before_the_first_answer_nobody_knows() -> None:
    run = Aggregate.over([1])
    run.elapsed_ns = 1_000_000_000
    line, _ = said(run)
    assert "0.00 tok/s  0.00 req/s  TTFT p50 – p99 –  ITL p50 – p99 –" in line


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("embeddings", ["inputs    200   200/s", "tokens    600 input (by usage)"]),
        ("http", []),
        ("chat", ["tokens    700 output, 700/s (by usage)"]),
    ],
)
def test_the_table_has_what_there_is(kind: str, lines: list[str]) -> None:
    _, table = said(run_of(kind))
    shown = table.splitlines()
    assert [line for line in shown if line.startswith(("inputs", "tokens"))] == lines
    begin = next(number for number, line in enumerate(shown) if "p99.9" in line)
    assert [line.split()[0] for line in shown[begin + 1 :]] == ["ttfb", "e2e"]
    assert shown[1:3] == [
        f"outcome: all {summary_of(run_of(kind)).requests.ok} requests succeeded",
        "measurement: valid",
    ]


def test_the_summary_counts_inputs_and_has_whole_answers_in_its_timeline() -> None:
    summary = summary_of(run_of("embeddings"))
    tokens = summary.tokens
    assert (tokens.inputs, tokens.inputs_per_s, tokens.input, tokens.input_per_s) == (200, 200, 600, 600)
    assert tokens.source == "usage"
    [row] = [row for row in summary.timeline if row.requests]
    assert (row.ttft_p50, row.ttft_p99) == (None, None)
    assert row.e2e_p50 == pytest.approx(10, rel=0.001)
    assert summary_of(run_of("http")).tokens.source is None


def test_a_run_that_streams_has_first_tokens_in_its_timeline() -> None:
    total = run_of("chat")
    total.parts[2].counters.events = 5
    [row] = [row for row in summary_of(total).timeline if row.requests]
    assert row.e2e_p50 == pytest.approx(10, rel=0.01), "of the whole answers, in coarse bins"
    assert row.itl_p50 is None


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [("embeddings", "inputs/s", "200"), ("http", "tokens/s", "–"), ("chat", "tokens/s", "700")],
)
@pytest.mark.parametrize("whole", [True, False], ids=["the window", "the last seconds"])
def test_the_screen_s_figures_are_those_of_whole_answers(kind: str, name: str, value: str, whole: bool) -> None:
    total = run_of(kind)
    view = RunView(facts(procs=1, streams=1, ramp_s=0.0, warmup_s=0.0, steady_s=1.0), total)
    picture = picture_of(view, whole=whole)
    tiles = {tile.name: tile.value for tile in tiles_of(picture)}
    assert len(tiles) == 8
    assert tiles[name] == value
    assert tiles["E2E p50"] == "10.0 ms"
    assert tiles["TTFB p50"] == "5.00 ms"
    assert picture.verdict is not TOO_EARLY, "although there are no tokens"


def test_the_screen_s_charts_are_those_of_whole_answers() -> None:
    view = RunView(facts(procs=1, streams=1, ramp_s=0.0, warmup_s=0.0, steady_s=1.0), run_of("embeddings"))
    drawing = catalog.drawing_of("requests", view, lines.TimelineCache(), 100)
    assert drawing.title.startswith("requests/s")
    assert [value for _, value in drawing.lines[0].points] == [100]
    drawing = catalog.drawing_of("e2e", view, lines.TimelineCache(), 100)
    assert drawing.title.startswith("E2E p50, ")
    assert [value for _, value in drawing.lines[0].points] == [pytest.approx(10_000, rel=0.001)]


def test_the_latency_that_is_shown_first_is_that_of_whole_answers() -> None:
    async def steps(pilot: Pilot[int]) -> None:
        await press(pilot, "2")
        assert "from the start of a request to the end" in text_of(app)
        assert "e2e · " in text_of(app)

    app = StressApp(QueueSource(RunView(facts(procs=1, streams=1), run_of("embeddings"))))
    on_screen(app, steps)
