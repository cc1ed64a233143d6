"""The result of a run as JUnit XML, which CI systems read: one test case for each threshold and one for the run."""

import re
from xml.etree import ElementTree

from llmstress.coordinator.output.judging_schema import ThresholdRow
from llmstress.coordinator.output.schema import Summary

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, not even as references."""

SUITE = "llmstress"


def junit(summary: Summary, run_failure: str, *, undecided_passes: bool) -> bytes:
    """The report.

    Args:
        summary: of the run.
        run_failure: why the run itself failed, apart from its thresholds; empty: it did not.
        undecided_passes: an undecided threshold is a skipped test case, not a failed one.
    """
    phases = summary.run.phases_s
    seconds = f"{phases.ramp + phases.warmup + phases.steady + phases.drain:.3f}"
    cases = [_case("run", "run", seconds)]
    if run_failure:
        _add(cases[0], "failure", run_failure, "run")
    cases[0].append(_output(_about(summary)))
    for row in summary.thresholds:
        case = _case("thresholds", row.text, "0")
        if row.state == "failed":
            _add(case, "failure", row.says, "threshold")
        elif row.state == "undecided":
            why = f"not enough data: {row.says}"
            _add(case, "skipped" if undecided_passes else "failure", why, "undecided")
        case.append(_output(_details(row)))
        cases.append(case)
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": "0",
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": seconds,
    }
    root = ElementTree.Element("testsuites", {"name": SUITE, **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, **counts, "timestamp": _timestamp(summary)})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(summary).items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    suite.extend(cases)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _case(group: str, name: str, seconds: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", {"classname": f"{SUITE}.{group}", "name": _clean(name), "time": seconds})


def _add(case: ElementTree.Element, tag: str, message: str, kind: str) -> None:
    attributes = {"message": _clean(message)} | ({"type": kind} if tag == "failure" else {})
    found = ElementTree.SubElement(case, tag, attributes)
    found.text = _clean(message)


def _output(text: str) -> ElementTree.Element:
    made = ElementTree.Element("system-out")
    made.text = _clean(text)
    return made


def _about(summary: Summary) -> str:
    lines = [f"outcome: {summary.outcome.text}", f"measurement: {summary.verdict.status}"]
    lines += [*summary.verdict.reasons, *summary.verdict.notes, f"ended by: {summary.ended_by}"]
    return "\n".join(lines)


def _details(row: ThresholdRow) -> str:
    return f"{row.state}: {row.says}\njudged: {row.scope}"


def _properties(summary: Summary) -> dict[str, str]:
    run = summary.run
    return {
        "llmstress.version": run.version,
        "target": run.url,
        "api": run.api,
        "model": run.model,
        "streams": str(run.total_streams),
        "ended_by": summary.ended_by,
        "verdict": summary.verdict.status,
        "requests.started": str(summary.requests.started),
        "requests.ok": str(summary.requests.ok),
        "requests.failed": str(summary.requests.failed),
    }


def _timestamp(summary: Summary) -> str:
    """The begin in the form of the schema: without fractions and zone; it is UTC."""
    return summary.run.started_at[:19]


def _clean(text: str) -> str:
    """`text` with a replacement for every character that XML does not allow."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
