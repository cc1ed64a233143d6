"""Each rule of the verdict, by itself: when it applies, and what it says."""

import string

import msgspec
import pytest

from llmstress.engine.telemetry.aggregate import Aggregate, Notice, WorkerState
from llmstress.engine.telemetry.collecting import collected
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase
from llmstress.engine.telemetry.rules import Finding, Measured, findings
from llmstress.engine.telemetry.verdict import RULES, judge

S = 1_000_000_000


def lag(us: int) -> Histogram:
    """Of a worker whose event loop was always so late."""
    made = Histogram()
    made.record_many([us] * 1000)
    return made


def run(ended: dict[str, int] | None = None, **counts: int) -> Measured:
    """A run with these endings and counters."""
    ends = {"ok": 100} if ended is None else ended
    started = counts.pop("started", sum(ends.values()))
    counters = Counters(**{"usage_seen": ends.get("ok", 0), **counts, "started": started})
    return Measured(whole=Part(counters=counters, ended=ends))


def steady(**counts: int) -> Measured:
    """A run with these counters in its steady window."""
    return Measured(whole=run().whole, steady=Part(counters=Counters(**counts)))


def of_worker(worker: WorkerState) -> Measured:
    return Measured(whole=Part(), steady_s=10.0, workers=[worker])


def in_blocks(share: float) -> Measured:
    """A run in whose 100 long answers events came 16 at a time, 160 ms apart."""
    n = round(100 * share)
    counters = Counters(
        long_answers=100, in_blocks=n, blocks=5 * n, blocks_events=80 * n, blocks_gaps_ns=n * 640_000_000
    )
    return Measured(whole=Part(), blocks=collected(counters, ["server: nginx"]))


def undetermined(count: int, *, has_tpot: bool) -> Measured:
    part = Part(ended={"ok": 100}, counters=Counters(started=100, usage_seen=100))
    for _ in range(count):
        part.add_undetermined("hidden tokens", 5_000, 20_000)
    return Measured(whole=part, has_tpot=has_tpot)


def of_host(**counts: int) -> Measured:
    return Measured(whole=Part(), steady=Part(counters=Counters(host_ns=100 * S, **counts)))


def arrived(due: int, *, started: int, dropped: int = 0, waiting_max: int = 0, queue_us: int = 0) -> Measured:
    """A run of the open model, all of it steady, whose requests all started so late."""
    counters = Counters(due=due, started=started, dropped=dropped, usage_seen=started)
    part = Part(counters=counters, ended={"ok": started}, latency={"queue": lag(queue_us), "ttft": lag(120_000)})
    return Measured(whole=part, steady=part, steady_s=10.0, workers=[WorkerState(0, 10)], waiting_max=waiting_max)


CASES: dict[str, tuple[Measured, str]] = {
    "lost-worker": (of_worker(WorkerState(3, 10, state="lost", reason="killed")), "worker 3 was lost: killed"),
    "busy-worker": (
        of_worker(WorkerState(3, 10, steady_cpu_ns=91 * S // 10)),
        "worker 3 used 91% of its core, so its time stamps may be late: use more --procs",
    ),
    "late-worker": (
        of_worker(WorkerState(3, 10, loop_lag=lag(2_100))),
        "worker 3's event loop was up to 2.1 ms late (p99; limit 2.0 ms), so latencies may be too high: use fewer "
        "--streams per process, more --procs, or a less busy machine",
    ),
    "cut-off": (
        run({"ok": 9_800, "cancelled": 200}),
        "200 of 10,000 requests were cut off at the end, so e2e and tpot are biased to short answers: use a longer "
        "--grace or --duration",
    ),
    "timed-out": (
        run({"ok": 98, "timeout_idle": 1, "connect_timeout": 1}),
        "2 of 100 requests ran into a time limit, so the slowest 2 are missing from the percentiles of ttft and e2e: "
        "use longer --timeout-... limits or less load",
    ),
    "tpot-partial": (
        undetermined(2, has_tpot=True),
        "the tpot of 2 of 100 answers can't be determined (2 had more tokens by usage than the text has room for): 5 "
        "ms by usage, 20 ms by events; they are missing from tpot and tps_user, and ttft and e2e include them",
    ),
    "lost-reports": (of_worker(WorkerState(3, 10, gaps=2)), "2 reports of worker 3 were lost: counts are too low"),
    "user-code": (
        Measured(whole=Part(counters=Counters(user_errors=3)), steady=Part(), steady_s=10.0, workers=[]),
        "the code of the scenario raised 3 exceptions, so what it would have asked after them is missing: look at the "
        "samples of `scenario`, which name file and line",
    ),
    "blocks": (
        in_blocks(0.6),
        "answers come in blocks: in 60% of them 16.0 token events shared a read, so itl measures blocks; e2e is right. "
        "The target or a proxy collects them (the answers' headers: server: nginx): set proxy_buffering off in nginx, "
        "or send X-Accel-Buffering: no in the target's answers",
    ),
    "dropped": (
        arrived(10_000, started=9_989, dropped=11),
        "11 of 10,000 requests that were due never started, so the load was lower than asked and the slowest requests "
        "are missing: they waited for a connection, or the run ended: use a longer --ramp-up",
    ),
    "behind": (
        arrived(10_000, started=9_949),
        "51 of 10,000 requests that were due in the steady window had not started by its end, so the load was lower "
        "than asked: they waited for a connection, or the run ended: use a longer --ramp-up",
    ),
    "slip": (
        arrived(10_000, started=10_000, queue_us=6_100),
        "requests started up to 6.1 ms after they were due (p99; limit 6.0 ms) although streams were free: this client "
        "was late, or opened connections: use more --procs, a less busy machine, or a --warmup",
    ),
    "some-blocks": (
        in_blocks(0.5),
        "answers come in blocks: in 50% of them 16.0 token events shared a read, so itl measures blocks; e2e is right. "
        "The target or a proxy collects them (the answers' headers: server: nginx): set proxy_buffering off in nginx, "
        "or send X-Accel-Buffering: no in the target's answers",
    ),
    "tpot-undetermined": (
        undetermined(2, has_tpot=False),
        "the tpot of 2 of 100 answers can't be determined (2 had more tokens by usage than the text has room for): 5 "
        "ms by usage, 20 ms by events",
    ),
    "slo-unknown": (
        Measured(whole=Part(), steady=Part(Counters(slo_met=50, slo_unknown=25), {"ok": 90, "http_503": 10})),
        "it is unknown whether 25 of 90 answers met the SLOs, because their tpot is undetermined or they were not "
        "streamed: goodput is 50.0–75.0 % of the finished requests",
    ),
    "tokens-per-event": (
        run(events_ok=100, output_streamed=121),
        "usage counts 1.21 tokens per token event: itl is the gap between events",
    ),
    "cached-input": (
        run(input=1_000, cached_input=380),
        "38% of the input came from the server's cache (380 of 1,000 tokens): TTFT is shorter than with prompts that "
        "the server has not seen: for prompts that no cache has, use --prompt-tokens, or --salt with --prompts",
    ),
    "usage-contradicts": (
        run(contradicted=3, contradicted_output=1_200, contradicted_events=3_000),
        "usage contradicts the events of 3 of 100 answers: it counts 1,200 output tokens, and 3,000 token events came: "
        "don't rely on tokens, tpot and per_event",
    ),
    "tokens-unknown": (
        run(usage_seen=97, tokens_unknown=3),
        "tokens unknown for 3 of 100 answers: the server sent no usage",
    ),
    "no-usage": (run(usage_seen=97), "3 of 100 answers came without usage: tokens are counted in events"),
    "no-text": (
        run({"ok": 1}, without_text=1),
        "the answer had tokens but no text (a prefill, or a special token): ttft is the time of the finish event",
    ),
    "no-finish-reason": (
        Measured(whole=Part(ended={"ok": 4}, finish={"none": 1, "stop": 3}, counters=Counters(usage_seen=4))),
        "1 of 4 answers (25%) ended with the protocol's end event but without a finish reason; --require-finish counts "
        "them as truncated",
    ),
    "short-answers": (
        run(short=3),
        "3 of 100 answers (3%) had fewer tokens than --min-tokens or --ignore-eos asked for: the server does not "
        "support or ignores them",
    ),
    "asked-input": (
        steady(asked_input=1_000, delivered_input=1_021, made_words=1_000),
        "the server counts 1,021 tokens in the made prompts, and 1,000 were asked for (+2.1%): its template and a "
        "system message come on top, and its tokenizer may have other words: --words-per-token "
        "0.979 comes closer in the next run; --tokenizer with the model's tokenizer.json makes exact texts, to which "
        "the template is added",
    ),
    "asked-output": (
        steady(asked_output=1_000, delivered_output=979),
        "the answers have 979 tokens, and lengths of 1,000 were asked for (-2.1%): if the server supports it, "
        "--ignore-eos makes answers as long as asked",
    ),
    "open-body": (
        run(stayed_open=1, stayed_open_ns=S // 2),
        "the body stayed open after the end of 1 of 100 answers: streams waited 0.5 s in all, then llmstress closed "
        "the connections",
    ),
    "shared-reads": (
        run(events=100, events_shared=21),
        "21% of the events shared a read with another one: they were sent together or this client read them late, so "
        "single gaps in itl are not meaningful",
    ),
    "stream-ignored": (
        run(stream_ignored=1_000),
        "1,000 requests asked for a stream but got a single JSON body: they have no ttft",
    ),
    "unknown-events": (run(events_unknown=7), "7 events were JSON of an unknown shape and were ignored"),
    "foreign-events": (run(events_foreign=7), "7 events were not messages of the API (e.g. pings) and were ignored"),
    "unknown-fields": (
        Measured(whole=Part(), fields=["{thinking}", "b"]),
        "text in unknown fields ({thinking}, b) was counted as reasoning",
    ),
    "busy-host": (
        of_host(host_busy_ns=96 * S),
        "the cores of this machine were 96% busy: if the target runs on it too, llmstress may have slowed it down",
    ),
    "stolen-host": (
        of_host(host_stolen_ns=3 * S),
        "3% of this machine's CPU time went to other machines on its host: time stamps may be late for that reason",
    ),
    "repeated-connects": (
        run(connections=1_000, connects_repeated=5),
        "5 of 1,000 connections lost packets while they opened, which costs a second each; often the target's listen "
        "queue is full: use a longer --ramp-up",
    ),
    "stale-connections": (
        run(stale_retries=5),
        "5 requests were sent again on a new connection because the server had closed the idle one",
    ),
    "gateway-retries": (
        run(tried_again=5),
        "5 answers were not a gateway's first attempt, according to their headers (x-litellm-attempted-retries, "
        "-fallbacks): their latencies include the failed attempts",
    ),
    "retries": (
        Measured(whole=Part(retried={"http_503": 5, "rate_limited": 1})),
        "6 retries after failures (--retries): ttft and e2e measure the last attempt, ttft_due and e2e_due include all "
        "attempts and the waits between them",
    ),
    "some-dropped": (
        arrived(10_000, started=9_990, dropped=10),
        "10 of 10,000 requests that were due never started",
    ),
    "waited": (
        arrived(10_000, started=10_000, waiting_max=30, queue_us=900_000),
        "up to 30 requests waited because all 10 streams were in use: queue, ttft_due and e2e_due include the wait, "
        "ttft and e2e do not",
    ),
    "changed-load": (
        Measured(whole=Part(), load_changes=2),
        "the load was changed manually 2 times during the run: figures may mix values from before and after",
    ),
    "failed-checks": (
        run({"ok": 5, "validation": 60, "http_503": 40}),
        "the server answered, but not as --check expects: 60 of 100 failures are of class validation, and their "
        "latencies are among those of failed requests: look at the samples of validation",
    ),
    "abandoned": (
        run({"ok": 80, "cancelled": 20}, abandoned=20),
        "20 of 100 requests were abandoned: ttft and itl include them, tpot and e2e do not, so these show only the "
        "answers that came in time",
    ),
}
"""Rule -> a run in which it applies and no other does, and its words."""


def test_every_rule_has_a_case_and_an_id_of_its_own() -> None:
    assert [rule.id for rule in RULES] == list(CASES)


@pytest.mark.parametrize("id", CASES)
def test_a_rule_applies_and_says(id: str) -> None:
    measured, words = CASES[id]
    [status] = [rule.status for rule in RULES if rule.id == id]
    assert findings(RULES, measured) == [Finding(id, status, words)]


@pytest.mark.parametrize(
    ("measured", "why", "advice"),
    [
        (
            arrived(100, started=50, dropped=50, waiting_max=7),
            "up to 7 waited because all 10 streams were in use",
            "use more --total-streams, or a lower --rate",
        ),
        (
            msgspec.structs.replace(
                arrived(100, started=50, dropped=50, waiting_max=7),
                workers=[WorkerState(0, 10, steady_cpu_ns=91 * S // 10)],
            ),
            "this client was too slow",
            "use more --procs or a less busy machine",
        ),
    ],
)
def test_the_bottleneck_of_the_open_model_is_named(measured: Measured, why: str, advice: str) -> None:
    [found] = [each for each in findings(RULES, measured) if each.id == "dropped"]
    assert found.text.endswith(f": {why}: {advice}")


@pytest.mark.parametrize(
    "measured",
    [
        arrived(10_000, started=9_950),
        arrived(10_000, started=10_000, queue_us=5_900),
        arrived(0, started=10_000, queue_us=900_000),  # closed model
    ],
)
def test_a_load_that_is_as_asked_has_no_findings(measured: Measured) -> None:
    assert findings(RULES, measured) == []


def test_other_words_per_token_are_no_advice_for_prompts_of_a_trace_or_a_file() -> None:
    [found] = findings(RULES, steady(asked_input=1_000, delivered_input=1_100))
    assert "--tokenizer" in found.text
    assert "--words-per-token" not in found.text


def test_a_good_run_and_an_empty_one_have_no_findings() -> None:
    good = run(events=1000, events_ok=1000, output_streamed=1000)
    assert findings(RULES, good) == findings(RULES, Measured(whole=Part())) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_placeholders_are_plain_names(rule: msgspec.Struct) -> None:
    """They stand in docs/metrics.md as they are."""
    for template in (rule.sentence, rule.advice):  # type: ignore[attr-defined]
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
        assert all(name.isidentifier() for name in fields)


def test_the_verdict_names_the_rule_of_each_reason_and_note() -> None:
    total = Aggregate.over([1, 1])
    part = Part(counters=Counters(started=100, usage_seen=90, stale_retries=1), ended={"ok": 98, "cancelled": 2})
    total.merge(Delta(0, 0, 0, S, Phase.STEADY, 0, 0, 0, 1, {int(Phase.STEADY): part}, []))
    total.note(Notice(S, "load", "more streams"))
    verdict = judge(total, 1)
    assert verdict.status == "degraded"
    assert [each.id for each in verdict.rules] == ["cut-off", "no-usage", "stale-connections", "changed-load"]
    assert [each.text for each in verdict.rules] == [*verdict.reasons, *verdict.notes]
    assert [each.status for each in verdict.rules] == ["degraded", "note", "note", "note"]
    total.lose(1, "killed")
    verdict = judge(total, 1)
    assert verdict.status == "invalid"
    assert [each.id for each in verdict.rules][:2] == ["lost-worker", "cut-off"]
    assert len(verdict.reasons) == 2
