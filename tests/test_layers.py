"""The house: three source roots of one namespace, imports in one direction, no file too long."""

import ast
import functools
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "engine": ("llmstress.engine", "llmstress.scenario"),
    "tui": ("llmstress.tui", "llmstress.engine.telemetry"),
    "coordinator": ("llmstress.coordinator", "llmstress.tui", "llmstress.engine"),
}
FILES = [path for layer in MAY_IMPORT for path in sorted((ROOT / layer).rglob("*.py"))]


@functools.cache
def imports_of(path: Path) -> list[str]:
    """Every module of ours that a file imports, anywhere in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in found if name.startswith("llmstress.")]


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_imports_point_down(layer: str) -> None:
    for path in (ROOT / layer).rglob("*.py"):
        for name in imports_of(path):
            assert name.startswith(MAY_IMPORT[layer]), f"{path} imports {name}"


FLOORS = {
    "engine": (
        ("telemetry",),
        ("outcome", "schedule", "secrets", "trace"),
        ("arrivals",),
        ("api", "health", "prompts"),
        ("checks", "flows"),
        ("control",),
        ("http", "connect", "uplink"),
        ("stream",),
        ("scenario",),
        ("load", "worker_log"),
        ("witness", "worker"),
    ),
    "coordinator": (
        ("config",),
        ("host", "prompts", "scenarios", "traces"),
        ("output",),
        ("target",),
        ("processes",),
        ("run",),
        ("probe",),
        ("commands",),
        ("cli",),
    ),
    "tui": (
        ("messages", "steering", "image", "themes"),
        ("sources",),
        ("format",),
        ("widgets",),
        ("charts", "dialogs"),
        ("panes",),
        ("app",),
    ),
}
"""The rooms of each layer, the lowest first. A room may import from lower floors, and from its neighbours."""

ALONE = {
    "engine/llmstress/engine/api": ("llmstress.engine.api",),
    "engine/llmstress/engine/mock": (
        "llmstress.engine.mock",
        "llmstress.engine.health",
        "llmstress.engine.telemetry",
        "llmstress.engine.schedule",
    ),
}
"""Folders that import nothing of ours but this. What the mock says is judged by the parsers, so it shares none."""


SCREEN_STARTERS = (
    "coordinator/llmstress/coordinator/commands/replay.py",
    "coordinator/llmstress/coordinator/processes/viewer.py",
)
"""The only modules of the coordinator that import the screen: they start it."""


def test_the_coordinator_only_starts_the_screen() -> None:
    importers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "coordinator").rglob("*.py")
        if any(name.startswith("llmstress.tui") for name in imports_of(path))
    }
    assert importers == {*SCREEN_STARTERS}


def rooms_name(module: str) -> str:
    """`layer/room` of a module of ours."""
    return "/".join(module.split(".")[1:3])


def assert_no_circle(edges: Mapping[str, Collection[str]]) -> None:
    """Follow the edges from everywhere; none leads back to where it came from."""
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for each in edges[name]:
                visit(each, (*trail, name))
            done.add(name)

    for name in edges:
        visit(name, ())


@pytest.mark.parametrize("layer", FLOORS)
def test_rooms_import_from_lower_floors_only(layer: str) -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS[layer]) for room in rooms}
    base = ROOT / layer / "llmstress" / layer
    rooms = {path.stem for path in base.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__", "mock"} == set(floor)
    for path in base.rglob("*.py"):
        room = path.relative_to(base).with_suffix("").parts[0]
        if room in floor:
            for name in imports_of(path):
                other = "".join(name.split(".")[2:3])
                if name.startswith(f"llmstress.{layer}.") and other in floor:
                    assert floor[other] <= floor[room], f"{path} imports {name}"


@pytest.mark.parametrize("folder", ALONE)
def test_some_folders_stand_alone(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for name in imports_of(path):
            assert name.startswith(ALONE[folder]) or name == "llmstress.engine", f"{path} imports {name}"


def test_rooms_make_no_circle() -> None:
    edges: dict[str, set[str]] = {}
    for path in FILES:
        mine = rooms_name(".".join(path.relative_to(ROOT).with_suffix("").parts[1:]))
        edges.setdefault(mine, set()).update(rooms_name(name) for name in imports_of(path))
    edges = {room: {each for each in others if each in edges and each != room} for room, others in edges.items()}
    assert_no_circle(edges)


def test_the_screen_needs_textual_and_a_plotting_library_alone() -> None:
    known = {*sys.stdlib_module_names, "llmstress", "msgspec", "textual", "rich", "textual_plotext", "plotext"}
    for path in (ROOT / "tui").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            assert {name.partition(".")[0] for name in names} <= known, f"{path} imports {names}"


def test_telemetry_stands_alone() -> None:
    for path in (ROOT / "engine/llmstress/engine/telemetry").rglob("*.py"):
        for name in imports_of(path):
            assert name.startswith("llmstress.engine.telemetry"), f"{path} imports {name}"


def test_imports_make_no_circle() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts[1:]): path for path in FILES}
    edges = {
        name.removesuffix(".__init__"): {each for each in imports_of(path) if each in modules}
        for name, path in modules.items()
    }
    assert_no_circle(edges)


def test_no_root_hides_the_others() -> None:
    assert not list(ROOT.glob("*/llmstress/__init__.py"))
    assert sorted(path.parent.name for path in ROOT.glob("*/llmstress/*/py.typed")) == [
        "coordinator",
        "engine",
        "scenario",
        "tui",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 500


def test_the_screen_s_ground_pulls_in_nothing_heavy() -> None:
    code = (
        "import sys, llmstress.engine.telemetry.snapshot, llmstress.engine.telemetry.formatting;"
        "sys.exit(' '.join({'uvloop', 'aiohttp', 'zmq', 'hdrh'} & sys.modules.keys()) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
