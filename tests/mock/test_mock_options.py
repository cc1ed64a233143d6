"""The mock's switches: defined once, the same in both command lines, and rejected if they make no sense."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from helpers.processes import DEADLINE_S

from llmstress.coordinator.commands import cli
from llmstress.engine.mock import __main__ as engine_main
from llmstress.engine.mock.faults import Fault, FaultShare
from llmstress.engine.mock.options import IntRange, MockOptions, parse_range
from llmstress.engine.mock.switches import SECTIONS, switches

FIELDS = [field.name for field in msgspec.structs.fields(MockOptions)]


def test_every_field_is_a_switch_with_a_section_and_words() -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(FIELDS)
    assert [switch.field for switch in switches()] == [name for names in SECTIONS.values() for name in names]
    assert all(switch.help.endswith(".") for switch in switches())


def test_both_help_pages_show_every_switch_and_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["mock", "--help"]) == 0
    shown = capsys.readouterr().out
    assert [line[:-1] for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")] == [
        *SECTIONS,
        "Other",
    ]
    command = [sys.executable, "-m", "llmstress.engine.mock", "--help"]
    engine = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE_S).stdout
    for switch in switches():
        assert f"  {switch.flag} " in shown
        assert f"  --{switch.name} " in engine.replace("\n", " ")
    for fault in Fault:
        assert f"  {fault} " in shown
        assert f"  {fault} " in engine


class Served(Exception):
    """Raised instead of serving, with the options."""

    def __init__(self, options: MockOptions) -> None:
        self.options = options


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Takes arguments of `llmstress mock` and of the engine's mock; returns the options that both produce."""

    def serve(options: MockOptions, on_listening: Any) -> None:
        raise Served(options)

    monkeypatch.setattr("llmstress.engine.mock.server.serve", serve)
    monkeypatch.setattr(engine_main, "serve", serve)

    def told(people: str, machine: str) -> MockOptions:
        with pytest.raises(Served) as one:
            cli.run(["mock", *people.split()])
        monkeypatch.setattr(sys, "argv", ["mock", *machine.split()])
        with pytest.raises(Served) as other:
            engine_main.main()
        assert one.value.options == other.value.options
        return one.value.options

    return told


def test_without_switches_both_command_lines_have_the_defaults(both: Any) -> None:
    assert both("", "") == MockOptions()


@pytest.mark.parametrize(
    ("people", "machine", "field", "value"),
    [
        ("--ttft 1m30s", "--ttft-ms 90000", "ttft_ms", 90_000.0),
        ("--burst 500ms", "--burst-ms 500", "burst_ms", 500.0),
        ("--jitter 30%", "--jitter 0.3", "jitter", 0.3),
        ("--tokens 5..9", "--tokens 5..9", "tokens", IntRange(5, 9)),
        ("--tokens 7", "--tokens 7", "tokens", IntRange(7, 7)),
        ("--tool-call", "--tool-call", "tool_call", True),
        ("--delays lognormal", "--delays lognormal", "delays", "lognormal"),
        ("--requests-per-s 0.5", "--requests-per-s 0.5", "requests_per_s", 0.5),
        ("--slots 12", "--slots 12", "slots", 12),
        ("--unix-socket /x", "--unix-socket /x", "unix_socket", "/x"),
        (
            *("--fault cut=5% --fault empty=0.5%",) * 2,
            "fault",
            (FaultShare(Fault.CUT, 0.05), FaultShare(Fault.EMPTY, 0.005)),
        ),
    ],
)
def test_both_command_lines_understand_the_same(both: Any, people: str, machine: str, field: str, value: Any) -> None:
    options = both(people, machine)
    assert msgspec.structs.asdict(options) == {**msgspec.structs.asdict(MockOptions()), field: value}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--tokens 0", "--tokens"),
        ("--tokens 9..5", "--tokens"),
        ("--tokens 5..", "--tokens"),
        ("--fault", "--fault"),
        ("--fault cuts=5%", "the faults are reset_before_head"),
        ("--fault cut=60% --fault empty=60%", "more than 100%"),
        ("--requests-per-s nan", "--requests-per-s"),
        ("--tokens-per-s 1e10", "--tokens-per-s"),
        ("--slots 99999999999", "--slots"),
        ("--freeze-every 1s", "--freeze-for"),
        ("--freeze-for 1s", "--freeze-every"),
        ("--freeze-every 1s --freeze-for 1s", "shorter"),
        ("--content-length --close", "used together"),
        ("--slots 2 --procs 3", "must be at least --procs"),
        ("--faults-until 2 --procs 3", "must be at least --procs"),
        ("--usage sometimes", "--usage"),
        ("--retry-after-style never", "--retry-after-style"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.run(["mock", *arguments.split()]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_the_engine_s_command_line_names_the_switch_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, words in [
        (["--fault", "cut"], "--fault: 'cut' has no share"),
        (["--tokens", "x"], "--tokens: 'x' is neither"),
        (["--slots", "-1"], "out of range: --slots"),
    ]:
        monkeypatch.setattr(sys, "argv", ["mock", *arguments])
        with pytest.raises(SystemExit) as refused:
            engine_main.main()
        assert refused.value.code == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"port": -1}, "--port"),
        ({"ttft_ms": -1}, "--ttft "),
        ({"gap_ms": float("nan")}, "--gap "),
        ({"jitter": 1.1}, "--jitter"),
        ({"procs": 0}, "--procs"),
        ({"tls_key": "k"}, "needs a certificate"),
        ({"tls_client_ca": "c"}, "needs a certificate"),
        ({"tls_cert": "c", "unix_socket": "s"}, "TLS over a Unix socket"),
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MockOptions(**wrong)


def test_a_range_is_drawn_evenly() -> None:
    tokens = parse_range("3..6")
    drawn = [tokens.at(i / 1_000) for i in range(1_000)]
    assert {each: drawn.count(each) for each in drawn} == {3: 250, 4: 250, 5: 250, 6: 250}
    assert parse_range("8").at(0.999) == 8
    assert [str(parse_range(text)) for text in ("3..6", "8", "8..8")] == ["3..6", "8", "8"]
