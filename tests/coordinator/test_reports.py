"""What is reported about thresholds: exit code, console, JUnit XML, the summary page of GitHub Actions."""

import io
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from helpers.summaries import S, check, facts_of, histogram

from llmstress.coordinator.config.errors import ExitCode, UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.threshold_text import parse_threshold
from llmstress.coordinator.output.console import Console
from llmstress.coordinator.output.junit import junit
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.step_summary import step_summary
from llmstress.coordinator.output.summary import encode, summarise
from llmstress.coordinator.run.conductor import Result
from llmstress.coordinator.run.ending import exit_code, exit_code_reason, threshold_limit
from llmstress.coordinator.run.gate import check_thresholds
from llmstress.coordinator.run.reports import write_reports
from llmstress.engine.schedule import windows
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase
from llmstress.engine.telemetry.thresholds import Judgement, Reading, judge

FAILED = ("ttft.p99>800ms", Reading(value=9e5, low=8.5e5, high=9.5e5, interval=True))
PASSED = ("errors.http_503>0", Reading(value=0, rises=True))
UNDECIDED = ("errors.rate>1%", Reading(value=0.0, low=0.0, high=0.05, interval=True))
VERDICT = ("verdict=degraded", Reading(value=None, status="degraded"))


def judged(*cases: tuple[str, Reading]) -> tuple[Judgement, ...]:
    return tuple(judge(parse_threshold(text), reading, over=True) for text, reading in cases)


def summary_of(*cases: tuple[str, Reading], ended: dict[str, int] | None = None, ended_by: str = "duration") -> Summary:
    total = Aggregate.over([10])
    ends = {"ok": 100} if ended is None else ended
    n = sum(ends.values())
    counters = Counters(started=n, events=10 * n, events_ok=10 * n, output=10 * n, output_streamed=10 * n, usage_seen=n)
    part = Part(counters, ends, latency={"ttft": histogram(200_000, n), "itl": histogram(20_000, 10 * n)})
    total.merge(Delta(0, 0, 0, 10 * S, Phase.STEADY, 0, 10, 0, 1_000_000, {2: part}, []))
    return summarise(total, msgspec.structs.replace(facts_of(ended_by=ended_by), judgements=judged(*cases)))


def options(**given: Any) -> Options:
    return Options(procs=1, prompt="p", **given)


@pytest.mark.parametrize(
    ("cases", "undecided", "ended", "signals", "code", "words"),
    [
        pytest.param([PASSED], "fail", {"ok": 9}, [], 0, "", id="passed"),
        pytest.param([PASSED, FAILED], "fail", {"ok": 9}, [], 99, "a threshold was crossed: ttft.p99", id="failed"),
        pytest.param([FAILED, FAILED], "fail", {"ok": 9}, [], 99, "ttft.p99>800ms (and 1 more)", id="two failed"),
        pytest.param(
            [UNDECIDED], "fail", {"ok": 9}, [], 97, "not enough data to decide errors.rate>1%", id="undecided"
        ),
        pytest.param([UNDECIDED], "pass", {"ok": 9}, [], 0, "", id="undecided and accepted"),
        pytest.param([VERDICT, UNDECIDED], "fail", {"ok": 9}, [], 98, "verdict=degraded", id="the verdict"),
        pytest.param([VERDICT, FAILED], "fail", {"ok": 9}, [], 99, "verdict=degraded", id="99 before 98"),
        pytest.param([FAILED], "pass", {"ok": 9}, [], 99, "a threshold", id="failed is not undecided"),
        pytest.param([FAILED], "fail", {"reset": 9}, [], 99, "a threshold", id="99 before 5"),
        pytest.param([UNDECIDED], "fail", {"reset": 9}, [], 5, "no request succeeded", id="5 before 97"),
        pytest.param([FAILED], "fail", {"ok": 9}, [2], 130, "", id="130 before 99"),
        pytest.param([FAILED], "fail", {"ok": 9}, [15], 143, "", id="143 before 99"),
    ],
)
def test_the_exit_code(
    cases: list[tuple[str, Reading]], undecided: str, ended: dict[str, int], signals: list[int], code: int, words: str
) -> None:
    summary, given = summary_of(*cases, ended=ended), options(undecided=undecided)
    assert exit_code(given, summary, signals) == code
    said = exit_code_reason(given, summary, next(each for each in ExitCode if each == code))
    assert words in said
    assert bool(words) == bool(said)


def test_max_errors_and_a_lost_worker_beside_thresholds() -> None:
    failing = summary_of(FAILED, ended={"ok": 5, "reset": 5}, ended_by="errors")
    assert exit_code(options(), failing, []) == 99
    undecided = summary_of(UNDECIDED, ended={"ok": 5, "reset": 5}, ended_by="errors")
    assert exit_code(options(), undecided, []) == 6
    assert exit_code(options(), msgspec.structs.replace(failing, complete=False), []) == 4


def test_rows_of_the_summary() -> None:
    summary = summary_of(FAILED, UNDECIDED, VERDICT)
    data = msgspec.json.decode(encode(summary))
    check(data)
    first, second, third = data["thresholds"]
    assert first == {
        "text": "ttft.p99>800ms",
        "state": "failed",
        "says": "900 ms (99 % interval: 850 ms to 950 ms), 100 ms above the limit",
        "subject": "ttft.p99",
        "scope": "steady windows",
        "unit": "ms",
        "value": 900,
        "low": 850,
        "high": 950,
        "limit": 800,
        "distance": -100,
        "why": "",
        "at_s": None,
        "abort": False,
    }
    assert (second["unit"], second["limit"], second["distance"], second["scope"]) == ("share", 0.01, 0.01, "whole run")
    assert (third["unit"], third["value"], third["limit"], third["state"]) == ("status", None, None, "failed")
    assert "thresholds" not in msgspec.json.decode(encode(summary_of()))


def test_intervals_are_in_the_summary() -> None:
    found = summary_of().latency_ms["ttft"]
    assert set(found.intervals) == {"p50", "p90", "p95", "p99", "p99_9"}
    low, high = found.intervals["p50"]
    assert low == high == pytest.approx(200, rel=0.001)
    assert found.intervals["p99"][1] is None, "100 samples have no upper limit for p99"


def test_the_interval_of_tokens_per_second_is_that_of_the_time_per_token_upside_down() -> None:
    total = Aggregate.over([10])
    part = Part(Counters(started=100), {"ok": 100}, latency={"tpot": histogram(20_000, 90)})
    part.latency["tpot"].record_many([40_000] * 10)
    total.merge(Delta(0, 0, 0, 10 * S, Phase.STEADY, 0, 10, 0, 1_000_000, {2: part}, []))
    found = summarise(total, facts_of()).tps_user
    assert found.p50 == pytest.approx(50, rel=0.001)
    assert found.intervals["p50"] == pytest.approx((50, 50), rel=0.001)
    assert found.intervals["p10"] == pytest.approx((25, 50), rel=0.001)
    assert found.intervals["p1"][0] is None, "an upper limit of the p99 of tpot is missing"


def test_the_table_of_the_console() -> None:
    lines = io.StringIO()
    Console(lines).table(summary_of(PASSED, UNDECIDED, FAILED), intervals=True)
    said = lines.getvalue().splitlines()
    assert said[-4:] == [
        "thresholds: 1 failed, 1 undecided, 1 passed",
        "  failed    ttft.p99>800ms     900 ms (99 % interval: 850 ms to 950 ms), 100 ms above the limit",
        "  undecided errors.rate>1%     0 % (99 % interval: 0 % to 5 %), 1 % points below the limit; the interval "
        "contains the limit",
        "  passed    errors.http_503>0  0, exactly the limit",
    ]
    [ttft] = [at for at, line in enumerate(said) if line.startswith("ttft ")]
    assert said[ttft + 1].split() == ["from", *["200", "ms"] * 5]
    assert said[ttft + 2].split() == ["to", *["200", "ms"] * 2, "–", "–", "–"]
    plain = io.StringIO()
    Console(plain).table(summary_of())
    assert "from" not in plain.getvalue()
    assert "thresholds" not in plain.getvalue()


def suite_of(data: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(data)
    assert root.tag == "testsuites"
    [suite] = root
    for name in ("tests", "failures", "errors", "skipped", "time", "name"):
        assert suite.get(name) == root.get(name)
    return suite


def test_junit_has_a_case_for_the_run_and_one_for_each_threshold() -> None:
    suite = suite_of(junit(summary_of(PASSED, FAILED, UNDECIDED), "", undecided_passes=False))
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["4", "2", "0"]
    assert suite.get("timestamp") == "2026-01-01T00:00:00"
    run, passed, failed, undecided = suite.iter("testcase")
    assert (run.get("classname"), run.get("name")) == ("llmstress.run", "run")
    assert [each.tag for each in run] == [each.tag for each in passed] == ["system-out"]
    assert "measurement: valid" in str(run.findtext("system-out"))
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "900 ms (99 % interval: 850 ms to 950 ms), 100 ms above the limit"
    assert failure.get("type") == "threshold"
    undecided_failure = undecided.find("failure")
    assert undecided_failure is not None
    assert undecided_failure.get("type") == "undecided"
    names = {each.get("name") for each in suite.iter("property")}
    assert {"target", "model", "verdict", "requests.ok"} <= names


def test_junit_skips_what_is_undecided_and_accepted() -> None:
    suite = suite_of(junit(summary_of(UNDECIDED), "", undecided_passes=True))
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["2", "0", "1"]
    [skipped] = suite.iter("skipped")
    assert str(skipped.get("message")).startswith("not enough data: 0 %")


def test_junit_of_a_run_that_failed_itself_and_of_hostile_texts() -> None:
    summary = summary_of(PASSED)
    run = msgspec.structs.replace(summary.run, model="\x1b[31m<&\"'>\ud800\uffff\0 漢")
    data = junit(msgspec.structs.replace(summary, run=run), "no \0request ]]> succeeded", undecided_passes=False)
    suite = suite_of(data)
    assert suite.get("failures") == "1"
    [failure] = suite.iter("failure")
    assert (failure.get("message"), failure.get("type")) == ("no \ufffdrequest ]]> succeeded", "run")
    assert {each.get("name"): each.get("value") for each in suite.iter("property")}["model"] == (
        "\ufffd[31m<&\"'>\ufffd\ufffd\ufffd 漢"
    )


def test_the_page_of_github_actions() -> None:
    page = step_summary(summary_of(PASSED, FAILED, UNDECIDED), "a threshold was crossed; exit code 99")
    assert page.startswith("## llmstress: m http://x/v1/chat/completions\n\na threshold was crossed; exit code 99\n\n")
    assert "**measurement:** valid" in page
    states = [line.split(" ")[1] for line in page.splitlines() if line.startswith(("| failed", "| undec", "| passed"))]
    assert states == ["failed", "undecided", "passed"]
    assert "| requests | 100 ok, 0 failed, 10.0/s |" in page
    assert "| ttft | 200 ms | 200 ms | 200 ms | 100 |" in page


def test_the_page_has_no_markdown_of_others() -> None:
    summary = summary_of()
    run = msgspec.structs.replace(summary.run, model="<img> | [x](y) `a` *b*\n# title")
    first = step_summary(msgspec.structs.replace(summary, run=run), "").splitlines()[0]
    assert first == "## llmstress: \\<img\\> \\| \\[x\\](y) \\`a\\` \\*b\\* \\# title http://x/v1/chat/completions"


def result_of(summary: Summary, given: Options) -> Result:
    return Result(summary, Aggregate.over([1]), exit_code(given, summary, []), ExitCode.OK)


def test_reports_are_written_where_they_belong(tmp_path: Path) -> None:
    given = options(junit=str(tmp_path / "j.xml"))
    page = tmp_path / "page.md"
    page.write_text("of an earlier step\n")
    lines = io.StringIO()
    environ = {"GITHUB_STEP_SUMMARY": str(page)}
    assert write_reports(given, result_of(summary_of(FAILED), given), environ, Console(lines))
    assert lines.getvalue() == ""
    assert page.read_text("utf-8").startswith("of an earlier step\n## llmstress")
    assert "exit code 99" in page.read_text("utf-8")
    assert suite_of((tmp_path / "j.xml").read_bytes()).get("failures") == "1"


@pytest.mark.parametrize("kind", ["directory", "missing", "pipe"])
def test_a_page_that_can_t_be_written_is_only_a_warning(kind: str, tmp_path: Path) -> None:
    place = tmp_path if kind == "directory" else tmp_path / kind / "page.md" if kind == "missing" else tmp_path / "pipe"
    if kind == "pipe":
        os.mkfifo(place)
    lines = io.StringIO()
    given = options()
    environ = {"GITHUB_STEP_SUMMARY": str(place)}
    assert write_reports(given, result_of(summary_of(), given), environ, Console(lines))
    assert "the step summary of GitHub Actions could not be written" in lines.getvalue()


def test_a_report_that_can_t_be_written_is_an_error(tmp_path: Path) -> None:
    given = options(junit=str(tmp_path / "gone" / "j.xml"))
    lines = io.StringIO()
    assert not write_reports(given, result_of(summary_of(), given), {}, Console(lines))
    assert f"--junit {given.junit}: " in lines.getvalue()


def test_the_reason_of_an_abort() -> None:
    [judgement] = judged(FAILED)
    limit = threshold_limit(judgement)
    assert limit.ended_by == "threshold"
    assert limit.text.startswith("--abort-if ttft.p99>800ms: 900 ms (")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ttft.p99>1s", ""),
        ("ttft.p99>1s in steady", ""),
        ("ttft.p99>1s in warm-up", ""),
        ("ttft.p99>1s over 10s", ""),
        ("ttft.p99>1s over 5s after 5s", ""),
        (
            "ttft.p99>1s in stage 1",
            "--fail-if ttft.p99>1s in stage 1: the run has no window 'stage 1'; it has 'warm-up'",
        ),
        ("ttft.p99>1s in ramp", "has no window 'ramp'"),
        ("ttft.p99>1s over 11s", "only 10 s are judged, and the threshold needs 11 s"),
        ("ttft.p99>1s over 5s after 6s", "needs 11 s"),
        ("ttft.p99>1s in warm-up over 3s", "only 2 s are judged"),
    ],
)
def test_a_threshold_needs_a_window_that_is_long_enough(text: str, words: str) -> None:
    planned = windows(warmup_ns=2 * S, steady_ns=10 * S)
    if not words:
        check_thresholds([parse_threshold(text)], planned)
        return
    with pytest.raises(UsageError) as refused:
        check_thresholds([parse_threshold(text)], planned)
    assert words in str(refused.value)
