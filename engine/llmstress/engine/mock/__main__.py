"""Runs the mock server as a process: one JSON line when it listens, one with the truth at its end."""

import argparse
from typing import Any

import msgspec

from llmstress.engine.health.orphan import die_with_parent
from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.server import serve
from llmstress.engine.mock.switches import Switch, ValueKind, fault_list, switches


def main() -> None:
    """Parse the arguments, serve, print."""
    parser = argparse.ArgumentParser(
        prog="python -m llmstress.engine.mock",
        description=__doc__,
        epilog=fault_list(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    groups: dict[str, Any] = {}
    for switch in switches():
        if switch.section not in groups:
            groups[switch.section] = parser.add_argument_group(switch.section)
        groups[switch.section].add_argument(f"--{switch.name}", **_settings(switch))
    parser.add_argument("--parent-pid", type=int, help="die when this process, the parent, does")
    settings: dict[str, Any] = vars(parser.parse_args())
    parent_pid = settings.pop("parent_pid")
    if parent_pid is not None:
        die_with_parent(parent_pid)
    try:
        options = MockOptions(**{**settings, "fault": tuple(settings["fault"])})
    except ValueError as error:
        parser.error(str(error))
    truth = serve(options, lambda url: _print({"listening": url}))
    _print(truth.summary())


def _settings(switch: Switch) -> dict[str, Any]:
    """How argparse is told of a switch. Durations are numbers here, in the unit that the name says."""
    words = switch.help.replace("%", "%%")
    if switch.kind is ValueKind.FLAG:
        return {"action": "store_true", "help": words}
    if switch.repeated:
        return {
            "action": "append",
            "type": _with_message(switch.parse),
            "default": [],
            "metavar": switch.metavar,
            "help": words,
        }
    help_ = words if switch.default in ("", 0) else f"{words} [{switch.default}]"
    if switch.kind is ValueKind.CHOICE:
        return {"choices": switch.choices, "default": switch.default, "help": help_}
    return {"type": _with_message(switch.parse), "default": switch.default, "metavar": switch.metavar, "help": help_}


def _with_message(parse: Any) -> Any:
    """`parse` in a form that makes argparse say what its ValueError says."""

    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _print(line: dict[str, Any]) -> None:
    print(msgspec.json.encode(line).decode(), flush=True)


if __name__ == "__main__":
    main()
