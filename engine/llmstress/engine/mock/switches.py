"""The fields of `MockOptions` as switches of a command line, for whoever makes one of them."""

import enum
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from llmstress.engine.mock.faults import FAULT_HELP, FaultShare, parse_fault
from llmstress.engine.mock.options import DURATION_SUFFIX, IntRange, MockOptions, flag_of, parse_range

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Where": ("host", "port", "unix_socket", "procs", "tls_cert", "tls_key", "tls_client_ca"),
    "Delays": ("ttft_ms", "gap_ms", "delays", "jitter", "slots", "freeze_every_ms", "freeze_for_ms", "seed"),
    "Answers": ("model", "tokens", "reasoning", "hidden_reasoning", "tool_call", "usage", "no_done"),
    "On the wire": (
        *("tokens_per_event", "events_per_write", "one_byte_writes", "crlf", "ping_every_ms"),
        *("gzip", "content_length", "close"),
    ),
    "Rate limits": ("requests_per_s", "tokens_per_s", "burst_ms", "retry_after_style"),
    "Faults": ("fault", "faults_until"),
}
"""Title -> the fields that stand below it, in this order."""

_METAVARS: Mapping[str, str] = {
    **dict.fromkeys(("tls_cert", "tls_key", "tls_client_ca"), "FILE"),
    "unix_socket": "PATH",
    "tokens": "N|A..B",
    "fault": "NAME=P%",
}


class ValueKind(enum.Enum):
    """How a value is written."""

    TEXT = enum.auto()
    WHOLE = enum.auto()
    NUMBER = enum.auto()
    MS = enum.auto()
    """A duration."""
    SHARE = enum.auto()
    """From 0 to 1."""
    FLAG = enum.auto()
    CHOICE = enum.auto()
    PARSED = enum.auto()
    """In words of its own."""


class Switch(NamedTuple):
    """One switch."""

    field: str
    section: str
    kind: ValueKind
    default: Any
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    parse: Callable[[str], Any]
    """Makes the value, or one of several, from words; raises ValueError."""
    repeated: bool
    """Whether it may be given several times; the value is a tuple."""
    metavar: str | None

    @property
    def name(self) -> str:
        """The field in the spelling of command lines."""
        return self.field.replace("_", "-")

    @property
    def flag(self) -> str:
        """As people give it: durations have a unit in their value, not in their name."""
        return flag_of(self.field)


def switches() -> list[Switch]:
    """All of them, section by section."""
    hints = get_type_hints(MockOptions, include_extras=True)
    defaults = {field.name: field.default for field in msgspec.structs.fields(MockOptions)}
    return [_switch(name, title, hints[name], defaults[name]) for title, names in SECTIONS.items() for name in names]


def fault_list() -> str:
    """A page of all faults."""
    return "\n".join(["Faults by name:", *(f"  {fault:<20}  {meaning}" for fault, meaning in FAULT_HELP.items())])


def _switch(name: str, section: str, hint: Any, default: Any) -> Switch:
    kind, parse = _value_kind(name, hint.__origin__)
    bounds = next((meta for meta in hint.__metadata__ if meta.ge is not None), msgspec.Meta())
    return Switch(
        field=name,
        section=section,
        kind=kind,
        default=default,
        help=next(meta.description for meta in hint.__metadata__ if meta.description),
        low=bounds.ge,
        high=bounds.le,
        choices=get_args(hint.__origin__) if kind is ValueKind.CHOICE else (),
        parse=parse,
        repeated=isinstance(default, tuple),
        metavar=_METAVARS.get(name),
    )


def _value_kind(name: str, of: Any) -> tuple[ValueKind, Callable[[str], Any]]:
    if name.endswith(DURATION_SUFFIX):
        return ValueKind.MS, float
    if name == "jitter":
        return ValueKind.SHARE, float
    if get_origin(of) is Literal:
        return ValueKind.CHOICE, str
    kinds: Mapping[Any, tuple[ValueKind, Callable[[str], Any]]] = {
        str: (ValueKind.TEXT, str),
        int: (ValueKind.WHOLE, int),
        float: (ValueKind.NUMBER, float),
        bool: (ValueKind.FLAG, str),
        IntRange: (ValueKind.PARSED, parse_range),
        tuple[FaultShare, ...]: (ValueKind.PARSED, parse_fault),
    }
    return kinds[of]
