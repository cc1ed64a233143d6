"""The formats of files of prompts: what a row of each says. Pure functions.

A row is read twice: by the coordinator, which checks every row and keeps where it stands in the file, and by the worker
that sends it.
"""

import csv
import difflib
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from llmstress.engine.prompts.lengths import MOST_TOKENS
from llmstress.engine.prompts.row import Row, Turn
from llmstress.engine.prompts.words import BYTES_PER_TOKEN
from llmstress.engine.trace import UNKNOWN

LIMIT_KEYS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Names that APIs have for the limit of output tokens."""

OUTPUT_KEYS = ("output_tokens", "output_length", "output_len")
"""Names that files have for it."""

REPLACED_KEYS = ("model", "stream", "stream_options", *LIMIT_KEYS)
"""Members of a whole body that the run sets."""

_ABSENT = object()

_MEDIA = ("image", "images", "audio", "audios", "video", "videos")

Object = Mapping[str, Any]


class Format(msgspec.Struct, frozen=True):
    """A format of files whose rows have named values: JSON objects, or the rows of a CSV file."""

    name: str
    keys: tuple[str, ...]
    """A row has one of them; they distinguish the format from a later one in `FORMATS`."""
    read: Callable[[Object], Row | None]
    """The row of these values; None: it has no prompt, and no row of this format needs one. Raises ValueError."""
    about: str
    """What a row is, for messages."""


def _prompts(row: Object) -> Row | None:
    prompt = row["prompt"] if "prompt" in row else _missing(row, ("prompt",), "a text or a list of token ids")
    output = _output(row, *OUTPUT_KEYS)
    if isinstance(prompt, str) and prompt:
        return Row((Turn(text=prompt, output=output),))
    if isinstance(prompt, list) and prompt and all(type(each) is int and 0 <= each < 1 << 31 for each in prompt):
        return Row((Turn(ids=tuple(prompt), output=output),))
    raise ValueError(_not("prompt", prompt, "a text or a list of token ids, and not be empty"))


def _messages(row: Object) -> Row | None:
    return Row((Turn(messages=_conversation(row, "messages"), output=_output(row, *OUTPUT_KEYS)),), _session(row))


def _bodies(row: Object) -> Row | None:
    if not any(key in row for key in ("messages", "input", "prompt")):
        _missing(row, ("messages", "input", "prompt"), "what the request asks")
    return Row((_body(row),))


def _sharegpt(row: Object) -> Row | None:
    key = "conversations" if "conversations" in row else "conversation"
    said = row[key] if key in row else _missing(row, ("conversations",), "a list of turns")
    if not isinstance(said, list):
        raise ValueError(_not(key, said, "a list of objects with from and value"))
    spoken = []
    for number, each in enumerate(said, 1):
        try:
            spoken.append(_spoken(each))
        except ValueError as error:
            raise ValueError(f"{key}: entry {number}: {error}") from None
    turns: list[Turn] = []
    for (asker, text), (answerer, answer) in itertools.pairwise(spoken):
        if asker in ("human", "user") and answerer not in ("human", "user") and text and answer:
            turns.append(Turn(text=text, answer=answer, output=estimated_tokens(answer)))
    return Row(tuple(turns), _session(row, "id")) if turns else None


def _spoken(entry: Any) -> tuple[Any, str]:
    """Who speaks in an entry of ShareGPT, and what is said; empty: nothing."""
    if not isinstance(entry, dict):
        raise ValueError(f"it is {_shown(entry)}, and must be an object with from and value")
    speaker, said = (
        next((entry[key] for key in keys if key in entry), _ABSENT) for keys in (("from", "role"), ("value", "content"))
    )
    if speaker is _ABSENT:
        _missing(entry, ("from", "role"), 'who speaks, like "human" or "gpt"')
    if said is _ABSENT:
        _missing(entry, ("value", "content"), "a text")
    if said is not None and not isinstance(said, str):
        raise ValueError(_not("value" if "value" in entry else "content", said, "a text"))
    return speaker, said or ""


def _single_turn(row: Object) -> Row | None:
    return Row((_turn(row),), _session(row))


def _multi_turn(row: Object) -> Row | None:
    turns = row["turns"] if "turns" in row else _missing(row, ("turns",), "a list of turns")
    if not isinstance(turns, list) or not turns:
        raise ValueError(_not("turns", turns, "a list with at least one turn"))
    found = []
    for number, turn in enumerate(turns, 1):
        try:
            found.append(_turn({"text": turn} if isinstance(turn, str) else turn))
        except ValueError as error:
            raise ValueError(f"turn {number}: {error}") from None
    return Row(tuple(found), _session(row))


def _mooncake(row: Object) -> Row | None:
    given = [key for key in ("input_length", "text_input", "messages", "payload") if row.get(key) is not None]
    if len(given) != 1:
        if not given:
            _missing(row, ("input_length", "text_input", "messages", "payload"), "exactly one of these four")
        raise ValueError(f"{' and '.join(given)} are both given, and exactly one of them must be")
    output, delay = _output(row, "output_length"), _delay(row)
    match given[0]:
        case "text_input":
            turn = Turn(text=_text(row, "text_input"), output=output, body=_extra(row), delay_s=delay)
        case "messages":
            tools = {} if row.get("tools") is None else {"tools": row["tools"]}
            body = tools | _extra(row)
            turn = Turn(messages=_conversation(row, "messages"), output=output, body=body, delay_s=delay)
        case "payload":
            payload = row["payload"]
            if not isinstance(payload, dict):
                raise ValueError(_not("payload", payload, "an object, the body of a request"))
            turn = _body(payload)
            turn = msgspec.structs.replace(turn, output=turn.output if output == UNKNOWN else output, delay_s=delay)
        case _:
            length = _tokens("input_length", row["input_length"], least=1)
            ids = _hash_ids(row.get("hash_ids"))
            turn = Turn(input=length, hash_ids=ids, output=output, body=_extra(row), delay_s=delay)
    return Row((turn,), _session(row))


FORMATS = (
    Format("sharegpt", ("conversations", "conversation"), _sharegpt, "a conversation, of which the first question is"),
    Format("multi_turn", ("turns",), _multi_turn, "a session with its turns (AIPerf)"),
    Format("mooncake_trace", ("input_length", "text_input", "payload"), _mooncake, "a row of a trace (AIPerf)"),
    Format("single_turn", ("text", "texts"), _single_turn, "a text (AIPerf)"),
    Format("bodies", ("model", "input", "tools", "temperature", *LIMIT_KEYS), _bodies, "a whole body"),
    Format("messages", ("messages",), _messages, "a conversation as it is sent"),
    Format("prompts", ("prompt",), _prompts, "a prompt (also vLLM's custom format)"),
)
"""The formats of rows with named values, in the order in which they are tried."""

LINES, RANDOM_POOL = "lines", "random_pool"

BY_NAME: Mapping[str, Format] = {each.name: each for each in FORMATS} | {
    RANDOM_POOL: Format(RANDOM_POOL, ("text", "texts"), _single_turn, "a text of a pool (AIPerf)")
}

FORMAT_NAMES = (LINES, *BY_NAME)


def format_of(row: Object) -> Format:
    """The format of a file whose first row has these names.

    Raises:
        ValueError: no format has them.
    """
    for each in FORMATS:
        if any(row.get(key) is not None for key in each.keys):
            return each
    keys = [key for each in FORMATS for key in each.keys]
    if empty := [key for key in keys if key in row]:
        raise ValueError(f"{empty[0]} is null, so there is no prompt")
    near = _nearest(row, keys)
    raise ValueError(
        f"no known format has the keys {_shown(list(row))}{near or '.'} Understood are rows with prompt, "
        "messages, text, turns, conversations or input_length, and whole bodies; name the key of your prompts with "
        "--prompt-column"
    )


class Reading(msgspec.Struct, array_like=True, frozen=True):
    """How the rows of a file are read."""

    format: str
    """One of `FORMAT_NAMES`."""
    column: str = ""
    """Key or column of the prompt, instead of the format's own; empty: that."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a CSV file; empty: rows are JSON objects, or lines."""


def reader(reading: Reading) -> Callable[[bytes], Row | None]:
    """The function that reads the bytes of a row.

    It gives None for a row that has no prompt where that is usual. It raises ValueError if a value is not what the
    format has there; the text names the key.
    """
    if reading.format == LINES:
        return _line
    read, column, columns = BY_NAME[reading.format].read, reading.column, reading.columns

    def read_row(data: bytes) -> Row | None:
        row = _csv_row(data, columns) if columns else json_object(data)
        if column:
            if column not in row:
                _missing(row, (column,), "a text")
            row = {**row, "prompt": row[column]}
        return read(row)

    return read_row


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object of a row.

    Raises:
        ValueError: it is none.
    """
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"this is not a JSON object ({error})") from None


def _line(data: bytes) -> Row | None:
    text = _utf8(data).strip("\r\n")
    return Row((Turn(text=text),)) if text.strip() else None


def _csv_row(data: bytes, columns: Sequence[str]) -> dict[str, Any]:
    try:
        values = next(csv.reader(io.StringIO(_utf8(data), newline="\n"), strict=True))
    except (csv.Error, StopIteration) as error:
        raise ValueError(f"this is not a row of CSV ({error})") from None
    if len(values) != len(columns):
        raise ValueError(f"it has {len(values)} values, and the first line names {len(columns)} columns")
    return dict(zip(columns, values, strict=True))


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start + 1} of the row)") from None


def _turn(row: Any) -> Turn:
    """A `single_turn` of AIPerf."""
    if not isinstance(row, dict):
        raise ValueError(_not("turn", row, "an object with text or texts"))
    if media := [key for key in _MEDIA if row.get(key)]:
        raise ValueError(f"{media[0]} can't be sent: only text and texts are understood")
    texts = row.get("texts")
    if texts is not None:
        if not (isinstance(texts, list) and texts):
            raise ValueError(_not("texts", texts, "a list of texts"))
        # AIPerf also has {"name": ..., "contents": [...]}
        parts = [part for each in texts for part in (each.get("contents", ()) if isinstance(each, dict) else [each])]
        if not all(isinstance(each, str) for each in parts):
            raise ValueError(_not("texts", texts, "a list of texts"))
        text = "\n".join(parts)
    elif isinstance(row.get("text"), str):
        text = row["text"]
    else:
        text = _missing(row, ("text", "texts"), "a text") if row.get("text") is None else ""
    if not text:
        raise ValueError(_not("text", row.get("text"), "a text, and not be empty"))
    output, extra, delay, role = _output(row, "output_length"), _extra(row), _delay(row), row.get("role") or "user"
    if role != "user":
        messages = ({"role": role, "content": text},)
        return Turn(messages=messages, output=output, body=extra, delay_s=delay)
    return Turn(text=text, output=output, body=extra, delay_s=delay)


def _body(row: Object) -> Turn:
    """A whole body, without what the run sets."""
    output = _output(row, *LIMIT_KEYS)
    return Turn(body={key: value for key, value in row.items() if key not in REPLACED_KEYS}, output=output)


def _conversation(row: Object, key: str) -> tuple[dict[str, Any], ...]:
    said = row[key] if key in row else _missing(row, (key,), "a list of messages")
    if not (isinstance(said, list) and said and all(isinstance(each, dict) for each in said)):
        raise ValueError(_not(key, said, "a list of messages, each with role and content"))
    for number, each in enumerate(said, 1):
        # calls of tools and the like have other members instead of content
        absent = "role" if "role" not in each else "content" if each.keys() <= {"role", "name"} else ""
        if not absent and "content" not in each and _nearest(each, ("content",)):
            absent = "content"
        if absent:
            try:
                _missing(each, (absent,), "given")
            except ValueError as error:
                raise ValueError(f"{key}: message {number}: {error}") from None
    return tuple(said)


def _text(row: Object, key: str) -> str:
    value = row.get(key)
    if isinstance(value, str) and value:
        return value
    raise ValueError(_not(key, value, "a text, and not be empty"))


def _extra(row: Object) -> dict[str, Any]:
    extra = row.get("extra")
    if extra is None:
        return {}
    if not isinstance(extra, dict):
        raise ValueError(_not("extra", extra, "an object, whose members are sent in the body"))
    return extra


def _delay(row: Object) -> float:
    delay = row.get("delay")
    if delay is None:
        return 0.0
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= 86_400_000:
        raise ValueError(_not("delay", delay, "a number of ms from 0 to a day"))
    return delay / 1000


def _session(row: Object, key: str = "session_id") -> str:
    value = row.get(key)
    return str(value) if isinstance(value, str | int) else ""


def _output(row: Object, *keys: str) -> int:
    for key in keys:
        if (value := row.get(key)) is not None and value != "":
            return _tokens(key, value)
    return UNKNOWN


def _tokens(key: str, value: Any, least: int = 0) -> int:
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= MOST_TOKENS:
        raise ValueError(_not(key, value, f"a number of tokens from {least} to {MOST_TOKENS:,}"))
    if number % 1:
        raise ValueError(_not(key, value, "a whole number of tokens"))
    return int(number)


def _hash_ids(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if isinstance(value, list) and all(type(each) is int and 0 <= each < 1 << 64 for each in value):
        return tuple(value)
    raise ValueError(_not("hash_ids", value, "a list of numbers from 0 to 2^64-1"))


def estimated_tokens(text: str) -> int:
    """Tokens of a text that nobody has counted, by its bytes; at least 1."""
    return max(1, round(len(text.encode()) / BYTES_PER_TOKEN))


def _missing(row: Object, keys: Sequence[str], expected: str) -> Any:
    raise ValueError(
        f"{' or '.join(keys)} is missing, and must be {expected}; the keys are {_shown(list(row))}{_nearest(row, keys)}"
    )


def _nearest(row: Object, keys: Sequence[str]) -> str:
    """`; did you mean ...?` with the wanted key that resembles one of the row; empty if none does."""
    for key in list(row)[:20]:
        if near := difflib.get_close_matches(str(key)[:60], keys, n=1, cutoff=0.7):
            return f"; did you mean {near[0]} by {_shown(key)}?"
    return ""


def _not(key: str, value: Any, expected: str) -> str:
    given = "missing" if value is None else _shown(value)
    return f"{key} is {given}, and must be {expected}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:58]}…{text[-1]}"
