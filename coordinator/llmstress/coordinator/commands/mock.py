"""`llmstress mock`: the built-in mock server, with a flag for each field of `MockOptions`, which documents them."""

import sys
from typing import Any

import click
import msgspec

from llmstress.coordinator.commands.click_types import SHARE, Duration, ParsedText, SectionedCommand
from llmstress.coordinator.config.errors import ExitCode, LlmstressError, UsageError
from llmstress.engine.mock.options import DURATION_SUFFIX, MockOptions
from llmstress.engine.mock.switches import Switch, ValueKind, fault_list, switches

_UNBOUNDED = 10**9
"""Upper bounds from here on are left out of the help page; `MockOptions` checks them."""


def _option(switch: Switch) -> click.Option:
    high = None if switch.high is None or switch.high >= _UNBOUNDED else switch.high
    kinds: dict[ValueKind, click.ParamType[Any]] = {
        ValueKind.TEXT: click.STRING,
        ValueKind.WHOLE: click.IntRange(_whole(switch.low), _whole(high)),
        ValueKind.NUMBER: click.FloatRange(switch.low, high),
        ValueKind.MS: Duration(high / 1e3 if high else None),
        ValueKind.SHARE: SHARE,
        ValueKind.FLAG: click.BOOL,
        ValueKind.CHOICE: click.Choice(switch.choices),
        ValueKind.PARSED: ParsedText(switch.name, switch.parse),
    }
    metavars = {ValueKind.WHOLE: "N", ValueKind.NUMBER: "X"}
    option = click.Option(
        [switch.flag, switch.field],
        type=kinds[switch.kind],
        default=_default(switch),
        show_default=switch.default not in ("", 0, ()),
        is_flag=switch.kind is ValueKind.FLAG,
        multiple=switch.repeated,
        metavar=switch.metavar or metavars.get(switch.kind),
        help=switch.help,
    )
    option.section = switch.section  # type: ignore[attr-defined]
    return option


def _default(switch: Switch) -> Any:
    """The default as it is written on the command line, for the help page."""
    match switch.kind:
        case ValueKind.MS:
            return f"{switch.default:g}ms" if switch.default % 1e3 else f"{switch.default / 1e3:g}s"
        case ValueKind.SHARE:
            return f"{switch.default:.0%}"
        case ValueKind.PARSED if not switch.repeated:
            return str(switch.default)
        case _:
            return switch.default


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def _run(**arguments: Any) -> int:
    """Run a mock server until a signal arrives, then print what it sent as JSON on stdout.

    `arguments`: the fields of `MockOptions`, with durations in seconds.

    Raises:
        UsageError: an option is wrong, or the server cannot listen there.
        LlmstressError: the server failed.
    """
    from llmstress.coordinator.output.console import Console  # importing these would slow down --help
    from llmstress.coordinator.output.outputs import write_out
    from llmstress.engine.mock.server import serve

    for field, value in arguments.items():
        if field.endswith(DURATION_SUFFIX):
            arguments[field] = value * 1e3
    try:
        options = MockOptions(**arguments)
        at = f" --unix-socket {options.unix_socket}" if options.unix_socket else ""
        truth = serve(options, lambda url: Console(sys.stderr).say(f"mock LLM at {url}{at}   Ctrl-C stops it"))
    except (OSError, UnicodeError) as error:
        where = f"--host {arguments['host']} --port {arguments['port']}"
        if arguments["unix_socket"]:
            where = f"--unix-socket {arguments['unix_socket']}"
        raise UsageError(f"mock: can't listen at {where}: {getattr(error, 'strerror', None) or error}") from error
    except ValueError as error:
        raise UsageError(f"mock: {error}") from error
    except RuntimeError as error:
        raise LlmstressError(f"mock: {error}") from error
    write_out(msgspec.json.format(msgspec.json.encode(truth.summary()), indent=2) + b"\n")
    return ExitCode.OK


mock = SectionedCommand(
    "mock",
    callback=_run,
    params=[_option(switch) for switch in switches()],
    help="Run the built-in mock LLM server.\n\n"
    "Its delays and faults are configurable. At the end it prints what it actually sent.",
    epilog="\b\n" + fault_list(),
    context_settings={"max_content_width": 110},
)
