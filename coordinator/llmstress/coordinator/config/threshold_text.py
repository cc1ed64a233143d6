"""Parser of the thresholds of `--fail-if` and `--abort-if`: `ttft.p99>800ms over 30s`. Pure functions."""

import re

from llmstress.engine.telemetry.durations import parse_duration
from llmstress.engine.telemetry.subjects import FIRST_WORDS, Subject, find
from llmstress.engine.telemetry.thresholds import STATUSES, Comparison, Threshold

_SHAPE = re.compile(r"\s*(?P<name>[\w.:/@+-]+)\s*(?P<comparison>>=|<=|==|!=|>|<|=)\s*(?P<rest>.*)", re.DOTALL)

_NUMBER = re.compile(
    r"(?P<number>[0-9][0-9_]*(?:\.[0-9]+)?)(?:\s?(?P<unit>%|(?!in\b|over\b|after\b)[a-zA-Zµ]+))?(?=\s|$)(?P<rest>.*)",
    re.DOTALL,
)

_SUFFIX = re.compile(
    r"\s*(?P<word>in|over|after)\s+(?P<value>\"[^\"]*\"|'[^']*'|stage\s+\d+|\S+)(?=\s|$)(?P<rest>.*)", re.DOTALL
)

_LATENCY_US = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}

_SCALE = {"": 1.0, "k": 1e3, "M": 1e6}

_MOST = 1e15

LONGEST = 300
"""Characters of a threshold."""

EXAMPLE = "'ttft.p99>800ms'"


def parse_threshold(text: str) -> Threshold:
    """The threshold of `ttft.p99>800ms`, `errors.rate>1% in stage 3`, `tokens.output_per_s<5k over 30s after 10s`, or
    `verdict=invalid`. `chat.ttft.p99>800ms` is about the requests of the task chat, and `rag/search.e2e.p95>300ms`
    about those of its step search.

    Raises:
        ValueError: the text has another form, or names something that can't be judged; the text says what to write.
    """
    given = " ".join(text.split())
    if len(given) > LONGEST or not given.isprintable():
        raise ValueError(f"a threshold is a printable text of at most {LONGEST} characters like {EXAMPLE}")
    match = _SHAPE.fullmatch(given)
    if match is None:
        quoted = "; in a shell the threshold must be quoted, because > redirects the output" if given else ""
        raise ValueError(f"{given!r} has no comparison; write it like {EXAMPLE}{quoted}")
    task, (subject, argument) = _find(match["name"])
    comparison, rest = match["comparison"], match["rest"]
    if subject.unit == "status":
        if task:
            raise ValueError(f"{given!r}: a verdict is about the run, not about a task")
        return _of_status(given, comparison, rest)
    if comparison not in (">", ">=", "<", "<="):
        raise ValueError(f"{given!r}: {match['name']} is compared with >, >=, < or <=, not with {comparison}")
    limit, rest = _limit(given, subject, rest)
    _refuse_impossible(given, subject, comparison, limit)
    suffixes = _suffixes(given, rest)
    kind: Comparison = comparison  # type: ignore[assignment]
    return Threshold(
        text=given,
        subject=subject.name,
        argument=argument,
        unit=subject.unit,
        comparison=kind,
        limit=limit,
        task=task,
        window=suffixes.get("in", ""),
        over_s=_length(given, suffixes, "over"),
        after_s=_length(given, suffixes, "after"),
    )


def _find(name: str) -> tuple[str, tuple[Subject, str]]:
    """The name of the task or step (empty: none), and subject and argument: `chat.ttft.p99` is the TTFT of the task
    chat. The name of a task may contain dots."""
    words = name.split(".")
    for at in range(1, len(words)):
        if words[0] not in FIRST_WORDS and words[at] in FIRST_WORDS:
            return ".".join(words[:at]), find(".".join(words[at:]))
    return "", find(name)


def _of_status(text: str, comparison: str, rest: str) -> Threshold:
    status = rest.strip()
    if comparison != "=" or status not in STATUSES[1:]:
        raise ValueError(f"{text!r}: write verdict=invalid or verdict=degraded; a suffix is not possible")
    return Threshold(text=text, subject="verdict", unit="status", comparison="=", status=status)


def _limit(text: str, subject: Subject, given: str) -> tuple[float, str]:
    """The limit in the unit of the subject, and the rest of the text."""
    match = _NUMBER.fullmatch(given)
    if match is None:
        raise ValueError(f"{text!r} has no limit after the comparison; write it like {EXAMPLE}")
    number, unit = float(match["number"].replace("_", "")), match["unit"] or ""
    if subject.unit == "latency":
        if unit not in _LATENCY_US:
            raise ValueError(f"{text!r}: the limit of a latency needs a unit: us, ms or s")
        limit = number * _LATENCY_US[unit]
    elif subject.unit == "share":
        if unit not in ("%", ""):
            raise ValueError(f"{text!r}: the limit of a share is a percentage like 1%, or a fraction like 0.01")
        if not unit and number >= 1:
            raise ValueError(f"{text!r}: write {match['number']}%, or a fraction below 1 like 0.01")
        limit = number / 100 if unit else number
    else:
        if unit not in _SCALE:
            raise ValueError(f"{text!r}: the limit is a number like 5000, 5k or 1.5M, without another unit")
        limit = number * _SCALE[unit]
    if limit > _MOST:
        raise ValueError(f"{text!r}: the limit is too large")
    return limit, match["rest"]


def _refuse_impossible(text: str, subject: Subject, comparison: str, limit: float) -> None:
    """Refuse a limit that no value can cross: such a threshold would look like a check and be none."""
    if subject.unit == "share" and limit > 1:
        raise ValueError(f"{text!r}: a share is at most 100%")
    if (comparison == "<" and limit == 0) or (comparison == ">" and limit == 1 and subject.unit == "share"):
        raise ValueError(f"{text!r} is never true")


def _suffixes(text: str, rest: str) -> dict[str, str]:
    """Word -> value of the suffixes `in`, `over` and `after`."""
    found: dict[str, str] = {}
    while rest.strip():
        match = _SUFFIX.fullmatch(rest)
        if match is None:
            raise ValueError(f"{text!r}: after the limit there can be `in stage 3`, `over 30s` and `after 30s`")
        if match["word"] in found:
            raise ValueError(f"{text!r} has two suffixes {match['word']!r}")
        found[match["word"]] = match["value"].strip("\"'")
        rest = match["rest"]
    return found


def _length(text: str, suffixes: dict[str, str], word: str) -> float:
    if word not in suffixes:
        return 0.0
    try:
        seconds = parse_duration(suffixes[word])
    except ValueError as error:
        raise ValueError(f"{text!r}: {word} {error}") from None
    if word == "over" and seconds < 1:
        raise ValueError(f"{text!r}: a window of `over` is at least 1 s long")
    return seconds
