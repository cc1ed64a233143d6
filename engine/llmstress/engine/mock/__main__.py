"""Run the mock server. Prints one JSON line when it listens, and one with exact statistics when it ends."""

import argparse
from typing import Any

import msgspec

from llmstress.engine.health.orphan import die_with_parent
from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.server import serve
from llmstress.engine.mock.switches import Switch, ValueKind, fault_list, switches


def main() -> None:
    """Parse the arguments, serve until a signal, print the statistics."""
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
    parser.add_argument("--parent-pid", type=int, help="exit when this parent process exits")
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
    """Arguments of argparse's `add_argument`. Durations are numbers in ms here, as their names say."""
    help_ = switch.help.replace("%", "%%")
    if switch.kind is ValueKind.FLAG:
        return {"action": "store_true", "help": help_}
    if switch.repeated:
        return {
            "action": "append",
            "type": _with_message(switch.parse),
            "default": [],
            "metavar": switch.metavar,
            "help": help_,
        }
    if switch.default not in ("", 0):
        help_ = f"{help_} [{switch.default}]"
    if switch.kind is ValueKind.CHOICE:
        return {"choices": switch.choices, "default": switch.default, "help": help_}
    return {"type": _with_message(switch.parse), "default": switch.default, "metavar": switch.metavar, "help": help_}


def _with_message(parse: Any) -> Any:
    """`parse` with its ValueError turned into the error whose message argparse prints."""

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
