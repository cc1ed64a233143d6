"""Characters that a server has cut in two, between two events of a stream: halves of surrogate pairs in JSON strings
(`"\\ud83d"`, then `"\\ude00"`), or bytes of UTF-8. Both halves are kept until the texts are joined. Pure functions."""

import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

_PAIR = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")
_BYTES = re.compile(r"[\udc80-\udcff]+")
_HALF = re.compile(r"[\ud800-\udfff]")


def text_with_halves(data: bytes) -> str:
    """The text of `data`, in which bytes that are not UTF-8 are half surrogates (U+DC80 to U+DCFF), as Python writes
    them."""
    return data.decode("utf-8", "surrogateescape")


def joined(parts: Iterable[str]) -> str:
    """The parts in one text, without halves: those that belong together become characters, all others U+FFFD."""
    text = "".join(parts)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _PAIR.sub(lambda match: match[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
        text = _BYTES.sub(lambda match: match[0].encode("utf-8", "surrogateescape").decode("utf-8", "replace"), text)
        text = _HALF.sub("\ufffd", text)
    return text


def encoded(value: Any) -> str:
    """The JSON of a value, whose texts may have halves; they stay."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
