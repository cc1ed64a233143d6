"""Coverage-guided fuzzing of framing, content codings, SSE, API parsing and headers that throttle: `make fuzz`, or

    python benchmarks/fuzz.py [-max_total_time=60] [any option of libFuzzer] [corpus directory, or files to try]

An input is one byte of switches, three that say where the answer is cut, and the answer's own bytes (see
`tests/helpers/fuzzing.py` for what must hold of it). What breaks something is written to `.fuzz/crash-...`; running
this with that file as its argument shows it again.
"""

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "engine"), str(ROOT / "tests")]

with atheris.instrument_imports(include=["llmstress.engine"]):
    from helpers import fuzzing

    from llmstress.engine.api import APIS
    from llmstress.engine.api.ask import Ask

SPOKEN = [*(api(Ask()) for api in APIS.values()), APIS["sse"](Ask(text="choices.0.delta.content"))]

LOST, WHOLE, PLAIN_API = 1, 2, 4
"""Bits of the first byte: the connection is closed at the end; the answer isn't streamed; an event, not an answer."""

API_SHIFT = 4
"""The upper four bits say which API the answer is of, from `fuzzing.EVENTS`; 0 and numbers beyond are openai-chat."""


def try_one(data: bytes) -> None:
    """Read one input."""
    if len(data) < 4:
        return
    switches, cuts, wire = data[0], data[1:4], data[4:]
    if switches & PLAIN_API:
        for api in SPOKEN:
            api.classify(wire, b"error" if switches & LOST else b"")
            api.read_answer(wire)
        fuzzing.check_vectors(wire)
        fuzzing.check_waits(wire.decode("latin-1"))
        return
    places = [cut * max(1, len(wire)) >> 8 for cut in cuts]
    others = list(fuzzing.EVENTS)
    number = switches >> API_SHIFT
    if 0 < number <= len(others):
        fuzzing.check(wire, places, lost=bool(switches & LOST), api=others[number - 1])
    else:
        fuzzing.check(wire, places, lost=bool(switches & LOST), streamed=not switches & WHOLE)


def main() -> None:
    """Fuzz, with the good answers to begin from; what is found to be of interest is kept for the next time."""
    home = ROOT / ".fuzz"
    arguments = sys.argv[1:]
    if all(argument.startswith("-") for argument in arguments):
        corpus = home / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        _write_seeds(corpus)
        arguments = ["-max_len=4096", f"-artifact_prefix={home}/", *arguments, str(corpus)]
    atheris.Setup([sys.argv[0], *arguments], try_one)
    atheris.Fuzz()


def _write_seeds(corpus: Path) -> None:
    for number, wire in enumerate(fuzzing.CORPUS):
        for switches in (0, LOST, WHOLE):
            (corpus / f"answer-{number}-{switches}").write_bytes(bytes([switches, 60, 128, 200]) + wire)
    for number, api in enumerate(fuzzing.EVENTS, start=1):
        for kind, wire in enumerate(fuzzing.wires_of(api)):
            (corpus / f"answer-{api}-{kind}").write_bytes(bytes([number << API_SHIFT, 60, 128, 200]) + wire)
        for kind, event in enumerate(fuzzing.EVENTS[api]):
            data = event.rpartition(b"data: ")[2].removesuffix(b"\n\n")
            (corpus / f"event-{api}-{kind}").write_bytes(bytes([PLAIN_API, 0, 0, 0]) + data)
    for number, words in enumerate(fuzzing.WAITS):
        (corpus / f"wait-{number}").write_bytes(bytes([PLAIN_API, 0, 0, 0]) + words)
    for number, event in enumerate((fuzzing.BODY.split(b"\n\n")[1][6:], fuzzing.JSON_ANSWER)):
        (corpus / f"event-{number}").write_bytes(bytes([PLAIN_API, 0, 0, 0]) + event)


if __name__ == "__main__":
    main()
