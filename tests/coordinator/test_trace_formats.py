"""The rows of trace files: each format, each kind of bad row, and files that are no traces."""

import gzip
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmstress.coordinator.config.errors import CouldNotStart, UsageError
from llmstress.coordinator.traces.formats import date_ns, stamp_ns, tokens
from llmstress.coordinator.traces.read import TraceFacts, at_most, lines_of, read_trace
from llmstress.coordinator.traces.rows import rows_of
from llmstress.engine.trace import UNKNOWN, Arrival, Trace

MS, S = 10**6, 10**9

MOONCAKE = b"""\
{"timestamp": 0, "input_length": 1100, "output_length": 52, "hash_ids": [0, 1, 2]}
{"timestamp": 3000, "input_length": 700, "output_length": 9, "hash_ids": [0, 3]}
{"timestamp": 3000.5, "input_length": 3, "output_length": 1, "hash_ids": []}
"""
BAILIAN = b"""\
{"chat_id": 7, "parent_chat_id": -1, "timestamp": 0.25, "input_length": 20, "output_length": 5, "type": "text", \
"turn": 1, "hash_ids": [4, 5]}
{"chat_id": 8, "parent_chat_id": 7, "timestamp": 1.5, "input_length": 40, "output_length": 6, "type": "text", \
"turn": 2, "hash_ids": [4, 5, 6]}
"""
BURSTGPT = b"""\
Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45.5,GPT-4,1087,0,1087,API log
"""
BURSTGPT_NEWER = b"""\
Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5,a-1,3.5,ChatGPT,472,18,490,Conversation log
45.5,,0.2,GPT-4,1087,0,1087,API log
"""
AZURE = b"""\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319601,110,27
"""
AZURE_ZONES = b"""\
TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 02:00:00.009930+02:00,2162,5
2024-05-10 00:00:00.010931+00:00,2399,6
"""
AZURE_LMM = b"""\
TIMESTAMP,NumImages,ContextTokens,GeneratedTokens
2025-01-06 10:00:00.5,2,900,11
2025-01-06 10:00:01,0,80,12
"""

FILES: list[tuple[bytes, str, str, list[tuple[Any, ...]]]] = [
    (
        MOONCAKE,
        "Mooncake",
        "ms",
        [(0, 1100, 52, (0, 1, 2)), (3000 * MS, 700, 9, (0, 3)), (3000 * MS + MS // 2, 3, 1, ())],
    ),
    (BAILIAN, "Bailian", "s", [(0, 20, 5, (4, 5)), (5 * S // 4, 40, 6, (4, 5, 6))]),
    (BURSTGPT, "BurstGPT", "s", [(0, 472, 18, ()), (81 * S // 2, 1087, 0, ())]),
    (BURSTGPT_NEWER, "BurstGPT", "s", [(0, 472, 18, ()), (81 * S // 2, 1087, 0, ())]),
    (AZURE, "Azure", "dates", [(0, 4808, 10, ()), (52_000_100, 110, 27, ())]),
    (AZURE_ZONES, "Azure", "dates", [(0, 2162, 5, ()), (1_001_000, 2399, 6, ())]),
    (AZURE_LMM, "Azure", "dates", [(0, 900, 11, ()), (S // 2, 80, 12, ())]),
]


def facts_of(
    tmp_path: Path, content: bytes, *, skip: bool = False, name: str = "t"
) -> tuple[TraceFacts, list[tuple[Any, ...]]]:
    """What is known about a file with `content`, and the rows that workers see."""
    file = tmp_path / name
    file.write_bytes(content)
    found = read_trace(str(file), tmp_path / "columns", skip_bad_rows=skip)
    trace = Trace(tmp_path / "columns")
    return found, [(trace.at(row), *trace.shape(row), trace.hash_ids(row)) for row in range(len(trace))]


def refusal(tmp_path: Path, content: bytes, *, skip: bool = False) -> str:
    """The message for a file that is refused."""
    with pytest.raises(UsageError, match=r"^--trace ") as caught:
        facts_of(tmp_path, content, skip=skip)
    return str(caught.value).removeprefix(f"--trace {tmp_path / 't'}")


def crlf(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda content: content,
    "BOM": lambda content: b"\xef\xbb\xbf" + content,
    "CR LF": crlf,
    "blank lines": lambda content: b"\n \n" + content.replace(b"\n", b"\n\n  \n"),
    "no line end": bytes.rstrip,
    "gzip": gzip.compress,
    "gzip in two parts": lambda content: gzip.compress(content[:40]) + gzip.compress(content[40:]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("content", "name", "stamps", "rows"), FILES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_formats(tmp_path: Path, content: bytes, name: str, stamps: str, rows: list[tuple[Any, ...]], way: str) -> None:
    found, read_rows = facts_of(tmp_path, WAYS[way](content))
    assert (found.format, found.stamps, found.bad) == (name, stamps, 0)
    assert read_rows == rows


@pytest.mark.parametrize(
    "content",
    [
        b'" TimeStamp ",generatedtokens,"CONTEXTTOKENS"\n"2023-11-16T18:17:03Z","5","7"\n',
        b'ContextTokens,Note,TIMESTAMP,GeneratedTokens\n7,"a, b\nc ""d""",2023-11-16 18:17:03,5\n',
        b"ContextTokens,Note,TIMESTAMP,GeneratedTokens\n7.0,\xff\xfe,2023-11-16 18:17:03,5.0\n",
        b'{"TIMESTAMP": "2023-11-16 18:17:03", "ContextTokens": 7.0, "GeneratedTokens": 5, "x": {"y": [1]}}',
    ],
    ids=["quotes", "quoted line end", "not UTF-8", "JSON"],
)
def test_columns_are_found_by_name(tmp_path: Path, content: bytes) -> None:
    found, rows = facts_of(tmp_path, content)
    assert (found.format, rows) == ("Azure", [(0, 7, 5, ())])


@pytest.mark.parametrize(
    ("content", "row"),
    [
        (b'{"timestamp": 5, "output_length": 9}', (0, UNKNOWN, 9, ())),
        (b'{"timestamp": 5, "input_length": 9, "output_length": null, "hash_ids": null}', (0, 9, UNKNOWN, ())),
        (b"timestamp,input_length,output_length\n5,,9\n", (0, UNKNOWN, 9, ())),
        (b"timestamp,output_length\n5,9\n", (0, UNKNOWN, 9, ())),
        (b'timestamp,input_length,hash_ids\n5,9,"[1, 2]"\n', (0, 9, UNKNOWN, (1, 2))),
        (b"timestamp,input_length,hash_ids\n5,9,\n", (0, 9, UNKNOWN, ())),
    ],
)
def test_lengths_that_are_not_given(tmp_path: Path, content: bytes, row: tuple[Any, ...]) -> None:
    found, rows = facts_of(tmp_path, content)
    assert rows == [row]
    assert (found.columns.without_input, found.columns.without_output) == (row[1] == UNKNOWN, row[2] == UNKNOWN)


JSON = b'{"timestamp": 1, "input_length": 2, "output_length": 3}\n'
CSV = b"timestamp,input_length,output_length\n1,2,3\n"

BAD_ROWS: list[tuple[bytes, int, str]] = [
    *(
        (JSON + row + b"\n" + JSON, 2, said)
        for row, said in (
            (b'{"timestamp": 1, ', "not a JSON object"),
            (b"[1, 2]", "not a JSON object"),
            (b"null", "not a JSON object"),
            (b'{"timestamp": NaN, "input_length": 2}', "not a JSON object"),
            (b'{"timestamp": 1e999, "input_length": 2}', "not a JSON object"),
            (b'{"timestamp": 1} {"timestamp": 2}', "not a JSON object"),
            (b'{"timestamp": ' + b"[" * 100_000, "not a JSON object"),
            (b"5,6,7", "not a JSON object"),
            (b'{"input_length": 2, "output_length": 3}', "timestamp is missing"),
            (b'{"timestamp": null, "input_length": 2}', "timestamp is missing"),
            (b'{"timestamp": -1, "input_length": 2}', "timestamp is -1, and must be a number of ms from 0 on"),
            (b'{"timestamp": "soon", "input_length": 2}', "timestamp is 'soon'"),
            (b'{"timestamp": true, "input_length": 2}', "timestamp is True"),
            (b'{"timestamp": [1], "input_length": 2}', "timestamp is [1]"),
            (b'{"timestamp": 1e13, "input_length": 2}', "timestamp is 10000000000000.0"),
            (b'{"timestamp": %d, "input_length": 2}' % 10**400, "timestamp is 1000"),
            (b'{"timestamp": 1, "input_length": -2}', "input_length is -2, and must be a number of tokens from 0 to"),
            (b'{"timestamp": 1, "input_length": 2.5}', "input_length is 2.5"),
            (b'{"timestamp": 1, "output_length": 1000000001}', "output_length is 1000000001"),
            (b'{"timestamp": 1, "output_length": "many"}', "output_length is 'many'"),
            (b'{"timestamp": 1, "output_length": {}}', "output_length is {}"),
            (b'{"timestamp": 1, "output_length": 1, "hash_ids": 5}', "hash_ids is 5, and must be a list of numbers"),
            (b'{"timestamp": 1, "output_length": 1, "hash_ids": "12"}', "hash_ids is '12'"),
            (b'{"timestamp": 1, "output_length": 1, "hash_ids": [-1]}', "hash_ids is [-1]"),
            (b'{"timestamp": 1, "output_length": 1, "hash_ids": [1.5]}', "hash_ids is [1.5]"),
            (b'{"timestamp": 1, "output_length": 1, "hash_ids": ["x\\u0007"]}', r"hash_ids is ['x\x07']"),
            (b'{"timestamp": 1, "output_length": 1, "hash_ids": [18446744073709551616]}', "hash_ids is [18446744"),
        )
    ),
    *(
        (CSV + row + b"\n1,2,3\n", 3, said)
        for row, said in (
            (b"1,2", "it has 2 values, and the first line names 3 columns"),
            (b"1,2,3,4", "it has 4 values"),
            (b"timestamp,input_length,output_length", "timestamp is 'timestamp'"),
            (b",2,3", "timestamp is missing"),
            (b"-0.5,2,3", "timestamp is '-0.5'"),
            (b"nan,2,3", "timestamp is 'nan'"),
            (b"inf,2,3", "timestamp is 'inf'"),
            (b"1e30,2,3", "timestamp is '1e30'"),
            (b"1,-2,3", "input_length is '-2'"),
            (b"1,2,nan", "output_length is 'nan'"),
            (b"1,2,3.5", "output_length is '3.5'"),
            (b"1,2,\xc2\xb2", "output_length is '²'"),
            (b"1,2,\xff", "output_length is '\ufffd'"),
            (b'1,2,"3"x', "not a row of CSV"),
            (b"1,2," + b"3" * 200_000, "not a row of CSV"),
            (b"1,2," + b"x" * 5000, "output_length is 'xxxx"),
            (b"1,2\r,3", "not a row of CSV"),
        )
    ),
    (
        AZURE + b"2023-13-01 00:00:00,1,1\n" + AZURE.splitlines(keepends=True)[1],
        4,
        "timestamp is '2023-13-01 00:00:00'",
    ),
    (AZURE + b"1700158623,1,1\n" + AZURE.splitlines(keepends=True)[1], 4, "must be a date like 2023-11-16 18:17:03"),
    (b"\n" + crlf(CSV) + b"\r\n\r\nx,2,3\r\n", 6, "timestamp is 'x'"),
    (b"{\n" + JSON, 1, "not a JSON object"),
]
"""Contents with one bad row, its line, and a part of the reason."""


@pytest.mark.parametrize(
    ("content", "line", "said"), BAD_ROWS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_bad_row_is_refused_or_skipped(tmp_path: Path, content: bytes, line: int, said: str) -> None:
    message = refusal(tmp_path, content)
    assert message.startswith(f", line {line}: ")
    assert said in message
    assert "--skip-bad-rows" in message
    assert len(message) < 300
    assert message.isprintable()
    (tmp_path / "columns").rename(tmp_path / "of the first reading")
    found, rows = facts_of(tmp_path, content, skip=True)
    assert found.bad == 1
    assert [(each.line, said in each.why) for each in found.bad_rows] == [(line, True)]
    others = sum(bool(each.strip()) for each in content.splitlines())
    assert 1 <= len(rows) == found.columns.rows < others


NO_TRACES: list[tuple[bytes, str]] = [
    (b"", "the file is empty"),
    (b"\n \r\n\n", "the file is empty"),
    (b"\xef\xbb\xbf", "the file is empty"),
    (gzip.compress(b""), "the file is empty"),
    (b"timestamp,input_length,output_length\n", "no rows"),
    (b"1,2,3\n4,5,6\n", "no known trace has the columns '1', '2', '3'"),
    (
        b"time,prompt,answer\n1,2,3\n",
        "no known trace has the columns 'time', 'prompt', 'answer'. Understood are BurstGPT",
    ),
    (b"timestamp;input_length;output_length\n1;2;3\n", "the columns 'timestamp;input_length;output_length'"),
    (b"timestamp\n1\n", "no known trace has the columns 'timestamp'"),
    (b"timestamp,timestamp,input_length\n1,2,3\n", "two columns are named 'timestamp'"),
    (",".join(map(str, range(500))).encode() + b"\n", "'7' and 492 more"),
    (b'"timestamp,input_length\n1,2\n', "does not name columns"),
    (b'{"id": 1, "text": "x"}\n', "no known trace has the columns 'id', 'text'"),
    (b"{}\n", "no known trace has the columns"),
    (b"[" + JSON.strip() + b"]", "this is a JSON array"),
    (b"{\n  'timestamp': 5\n}\n", "no line is a JSON object"),
    (b"PAR1\x15\x04", "no text"),
    (CSV.decode().encode("utf-16"), "no text"),
    (bytes(range(256)) * 4, "no text"),
    (gzip.compress(CSV * 100)[:-10], "can't be read after line"),
    (gzip.compress(os.urandom(3000))[:40] + b"x" * 3000, "can't be read after line"),
    (b"\x1f\x8bxxxx", "can't be read after line 0"),
    (CSV + b'"1,2,3\n4,5,6\n7,8,9\n', "a quote that line 3 opens is not closed"),
    (CSV + b'1,2,"3\n4,5,6\n7,8,"9"\n', "a quote that line 3 opens is not closed"),
]


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(("content", "said"), NO_TRACES, ids=lambda value: value if isinstance(value, str) else "")
def test_no_trace(tmp_path: Path, content: bytes, said: str, skip: bool) -> None:
    message = refusal(tmp_path, content, skip=skip)
    assert said in message
    assert len(message) < 400
    assert message.isprintable()


def test_a_trace_of_bad_rows_alone(tmp_path: Path) -> None:
    message = refusal(tmp_path, CSV.replace(b"1,2,3", b"x,2,3\ny,2,3"), skip=True)
    assert message == (
        ": it has no rows that can be used, 2 are bad; line 2: timestamp is 'x', and must be a number of ms from 0 on"
    )


def test_bad_rows_are_counted_and_the_first_are_kept(tmp_path: Path) -> None:
    found, rows = facts_of(tmp_path, CSV + b"x,2,3\n" * 1000 + b"4,2,3\n", skip=True)
    assert (found.bad, found.columns.rows, len(rows)) == (1000, 2, 2)
    assert [each.line for each in found.bad_rows] == [3, 4, 5, 6, 7]


def test_rows_that_are_out_of_order_are_sorted(tmp_path: Path) -> None:
    found, rows = facts_of(tmp_path, b"timestamp,input_length,output_length\n9,1,1\n5,2,2\n5,3,3\n")
    assert found.columns.unsorted == 1
    assert rows == [(0, 2, 2, ()), (0, 3, 3, ()), (4 * MS, 1, 1, ())]


@pytest.mark.parametrize("kind", ["none", "directory", "fifo", "loop", "below a file"])
def test_files_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    match kind:
        case "directory":
            place.mkdir()
        case "fifo":
            os.mkfifo(place)
        case "loop":
            place.symlink_to(place)
        case "below a file":
            (tmp_path / "place").write_bytes(CSV)
            place /= "x"
    with pytest.raises(UsageError, match=f"^--trace {place}: (it can't be read|the file is empty)"):
        read_trace(str(place), tmp_path / "columns", skip_bad_rows=True)


def test_a_file_whose_reading_fails(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--trace /proc/self/mem: it can't be read \(Input/output error\)"):
        read_trace("/proc/self/mem", tmp_path / "columns")


def test_arrivals_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(CSV)
    with pytest.raises(CouldNotStart, match=r"its arrivals can't be written to .* \(Not a directory\); set TMPDIR"):
        read_trace(str(tmp_path / "t"), tmp_path / "t" / "columns")


def test_a_trace_that_lasts_too_long(tmp_path: Path) -> None:
    content = b"timestamp,input_length\n0,1\n31700000000,1\n"
    assert "at --speed 1 it lasts longer than a year" in refusal(tmp_path, content)
    (tmp_path / "columns").rename(tmp_path / "of the first reading")
    assert read_trace(str(tmp_path / "t"), tmp_path / "columns", speed=1.1).columns.span_ns == 317 * 10**14


def test_a_line_that_never_ends() -> None:
    with open("/dev/zero", "rb") as file, pytest.raises(ValueError, match="line 1 is longer than 16 MiB"):
        list(lines_of(file, "a trace"))


def test_too_many_rows() -> None:
    assert list(at_most(2, [Arrival(1), Arrival(2)])) == [Arrival(1), Arrival(2)]
    with pytest.raises(ValueError, match="more than 2 rows"):
        list(at_most(2, [Arrival(1), Arrival(2), Arrival(3)]))


def test_a_file_is_read_line_by_line() -> None:
    """A file of millions of rows is not held in memory."""
    taken = 0

    def lines() -> Iterator[bytes]:
        nonlocal taken
        for taken in range(1, 10**9):  # noqa: B007
            yield JSON

    _, rows = rows_of(lines())
    assert [next(rows) for _ in range(100)] == [Arrival(MS, 2, 3)] * 100
    assert taken <= 101


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01 00:00:00", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01 01:00:00.000000001+01:00", 1),
        ("1970-01-01 00:00:00-0030", 1800 * S),
        (" 1970-01-02 00:00:00.1234567 ", 86_400 * S + 123_456_700),
        ("1969-12-31 23:59:59", None),
        ("1970-01-01", None),
        ("1970-01-01 24:30:00", None),
        ("1970-02-30 00:00:00", None),
        ("1970-01-01 00:00:00.", None),
        ("1970-01-01 00:00:00.1234567890", None),
        ("9999-01-01 00:00:00", None),
        ("١٩٧٠-01-01 00:00:00", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_dates(text: Any, expected: int | None) -> None:
    assert date_ns(text) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("0", MS, 0),
        ("1.5", S, 1_500_000_000),
        (" 2 ", MS, 2 * MS),
        ("1e3", MS, S),
        (9_000_000_000, S, 9 * 10**18),
        (9_000_000_001, S, None),
        (1_700_158_623_979, S, None),
        ("-1", S, None),
        (math.nan, S, None),
        (math.inf, S, None),
        (10**400, S, None),
        ("0x10", S, None),
        ("1,5", S, None),
        (True, S, None),
    ],
)
def test_stamps(value: Any, unit: int, expected: int | None) -> None:
    assert stamp_ns(value, unit) == expected


NO_TOKENS: list[Any] = ["-1", -1, "7.5", 7.5, "x", "²", " ", True, [], "1000000001", 10**400, "nan", math.nan]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, 7) for value in ("7", " 7 ", "7.0", 7, 7.0, "007")),
        *((value, UNKNOWN) for value in (None, "")),
        *((value, 0) for value in ("0", 0, "-0")),
        *((value, None) for value in NO_TOKENS),
        (1_000_000_000, 1_000_000_000),
        ("1000000000", 1_000_000_000),
    ],
)
def test_tokens(value: Any, expected: int | None) -> None:
    assert tokens(value) == expected
