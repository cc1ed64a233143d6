"""The fields of `MockOptions` as switches of a command line, independent of the parser."""

import enum
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from llmstress.engine.mock.faults import FAULT_HELP, FaultShare, parse_fault
from llmstress.engine.mock.options import DURATION_SUFFIX, IntRange, MockOptions, flag_of, parse_range

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Listening": ("host", "port", "unix_socket", "procs", "tls_cert", "tls_key", "tls_client_ca"),
    "Delays": ("ttft_ms", "gap_ms", "delays", "jitter", "slots", "freeze_every_ms", "freeze_for_ms", "seed"),
    "Answers": ("model", "tokens", "reasoning", "hidden_reasoning", "tool_call", "usage", "no_done"),
    "Prompts": ("prefix_cache", "cache_block", "cached_ttft", "tokens_per_word", "context_tokens", "keep_requests"),
    "Logins": ("login_ttl_ms", "login_required"),
    "Wire format": (
        *("tokens_per_event", "events_per_write", "one_byte_writes", "crlf", "ping_every_ms"),
        *("gzip", "content_length", "close"),
    ),
    "Rate limits": ("requests_per_s", "tokens_per_s", "burst_ms", "retry_after_style"),
    "Faults": ("fault", "faults_until"),
}
"""Section title -> its fields, in this order."""

_METAVARS: Mapping[str, str] = {
    **dict.fromkeys(("tls_cert", "tls_key", "tls_client_ca", "keep_requests"), "FILE"),
    "unix_socket": "PATH",
    "tokens": "N|A..B",
    "fault": "NAME=P%",
}

_SHARES = ("jitter", "cached_ttft")
"""Fields that are shares."""


class ValueKind(enum.Enum):
    """The type of a switch's value."""

    TEXT = enum.auto()
    WHOLE = enum.auto()
    NUMBER = enum.auto()
    MS = enum.auto()
    """A duration in ms."""
    SHARE = enum.auto()
    """A share from 0 to 1."""
    FLAG = enum.auto()
    CHOICE = enum.auto()
    PARSED = enum.auto()
    """A text with a parser of its own."""


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
    """Parses the value, or one of several; raises ValueError."""
    repeated: bool
    """Whether the switch may be given several times; its value is a tuple."""
    metavar: str | None

    @property
    def name(self) -> str:
        """The field's name with hyphens."""
        return self.field.replace("_", "-")

    @property
    def flag(self) -> str:
        """The flag of `llmstress mock`: durations have the unit in their value, not in their name."""
        return flag_of(self.field)


def switches() -> list[Switch]:
    """All switches, section by section."""
    hints = get_type_hints(MockOptions, include_extras=True)
    defaults = {field.name: field.default for field in msgspec.structs.fields(MockOptions)}
    return [_switch(name, title, hints[name], defaults[name]) for title, names in SECTIONS.items() for name in names]


def fault_list() -> str:
    """The help text that lists all faults."""
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
    if name in _SHARES:
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
