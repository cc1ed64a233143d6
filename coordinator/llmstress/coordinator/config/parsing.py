"""Parsers for the texts of flags: durations, error limits, headers, addresses, JSON. Pure functions."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from llmstress.coordinator.config.keys import from_environment, variable_of

_MOST_ERRORS = 10**12


class MaxErrors(msgspec.Struct, frozen=True):
    """The limit of `--max-errors`: a number of failed requests, or a share of the finished ones; the other is None."""

    count: int | None
    share: float | None

    def __str__(self) -> str:
        """As it is given on the command line."""
        return str(self.count) if self.share is None else f"{100 * self.share:g}%"


class Resolve(msgspec.Struct, frozen=True):
    """An entry of `--resolve`: addresses to use for a host instead of asking DNS."""

    host: str
    port: int
    addresses: tuple[str, ...]


def parse_max_errors(text: str) -> MaxErrors:
    """The limit of `250` or `5%`.

    Raises:
        ValueError: the text has another form, or the number is out of range.
    """
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s?%", text.strip())
    if match is None or not 0 < float(match[1] or match[2]) <= (_MOST_ERRORS if match[1] else 100):
        raise ValueError(f"{text!r} is neither a number of errors like 250 nor a percentage like 5%")
    return MaxErrors(int(match[1]), None) if match[1] else MaxErrors(None, float(match[2]) / 100)


def parse_share(text: str) -> float:
    """The share of `20%` or `0.2`, as 0.2.

    Raises:
        ValueError: the text has another form, or the share is not from 0 to 100 %.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s?(%?)", text.strip(), re.ASCII)
    share = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"{text!r} is not a percentage from 0% to 100%")
    return share


def parse_resolve(text: str) -> Resolve:
    """The entry of `host:port:address[,address...]`, curl's form; an IPv6 address may have brackets.

    Raises:
        ValueError: the text has another form.
    """
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:,\[\]]+):(\d{1,5}):(.+)", text.strip())
    addresses = [each.strip().removeprefix("[").removesuffix("]") for each in match[3].split(",")] if match else []
    if match is None or not 0 < int(match[2]) <= 65_535 or not all(is_address(each) for each in addresses):
        raise ValueError(f"{text!r} does not have the form host:port:address[,address], e.g. example.com:443:192.0.2.1")
    return Resolve(match[1].strip("[]").lower(), int(match[2]), tuple(addresses))


def parse_token_ids(text: str) -> tuple[int, ...]:
    """The token ids of a comma-separated list; an empty text is an empty list.

    Raises:
        ValueError: an entry is not a number, or has more than nine digits.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if not all(word.isascii() and word.isdigit() and len(word) <= 9 for word in words):
        raise ValueError(f"{text[:80]!r} is not a list of token ids like 101,2023,2003")
    return tuple(int(word) for word in words)


MAX_NESTING = 200
"""Levels of a JSON object that a user gives. Functions that search such an object call themselves for each level, and
from Python 3.12 on the decoder accepts more levels than the interpreter's stack has."""


def parse_json_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`.

    Raises:
        ValueError: the text is not a JSON object, is nested too deeply, or cannot be encoded again.
    """
    try:
        value = msgspec.json.decode(text, type=dict[str, Any])
        msgspec.json.encode(value)  # an integer over 64 bits can be decoded, but not encoded
    except (ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a valid JSON object: {error}") from error
    level: list[Any] = [value]
    for _ in range(MAX_NESTING):
        level = [child for each in level for child in _children(each)]
    if level:
        raise ValueError(f"not a valid JSON object: more than {MAX_NESTING} levels")
    return value


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def is_address(text: str) -> bool:
    """Whether `text` is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def ip_version(address: str) -> int:
    """4 or 6; the address may have a zone (`fe80::1%eth0`)."""
    return ipaddress.ip_address(address.partition("%")[0]).version


def parse_header(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Name and value of `Name: value`, as given. For a value `env:NAME`, the variable is checked, but not filled in.

    Raises:
        ValueError: there is no colon, a name or value can't be sent, or the variable is not set or is empty.
    """
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon:
        raise ValueError("write it like 'Name: value'")  # the text is not repeated: it may be the secret itself
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError(f"write it like 'Name: value'; {name!r} is not a valid name")
    variable = variable_of(value)
    if not fits_a_header(value if variable is None else from_environment(variable, environ)):
        raise ValueError(f"the value of {name} contains characters that are not allowed in a header")
    return name, value


def fits_a_header(value: str) -> bool:
    """Whether a header can carry the value: printable ASCII."""
    return value.isprintable() and value.isascii()
