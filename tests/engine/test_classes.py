"""The table of classes against the code: it has every class that the code names, and the code uses every one of it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmstress.engine.connect import connect_errors
from llmstress.engine.outcome import UNEXPLAINED, class_of_status
from llmstress.engine.stream import failure_policy
from llmstress.engine.telemetry.classes import ACTIONS, BY_NAME, CLASSES, HTTP, NOT_FAILED, TIME_LIMITS, is_class
from llmstress.tui.format.words import OUTCOMES

ROOT = Path(__file__).parents[2]
FILES = [path for layer in ("engine", "coordinator", "tui") for path in sorted((ROOT / layer).rglob("*.py"))]
NAMES_OF_A_CLASS = {"outcome", "error"}
"""Variables and members that hold the class of a request's end are called so; `.error` only in comparisons."""
COUNTS_BY_CLASS = {"ended", "retried"}
STATUSES = [
    (402, b"", {}),
    (402, b"", {"retry-after": "3"}),
    (429, b"", {}),
    (429, b"insufficient_quota", {}),
    (529, b"", {}),
    (503, b"", {}),
]


def name_of(node: ast.expr) -> str:
    """`x` of `x`, `a.x`, `a.x()`."""
    if isinstance(node, ast.Call):
        return name_of(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def texts_in(node: ast.expr) -> Iterator[str]:
    """String literals that a node is, or is a tuple, set or list of."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for each in getattr(node, "elts", ()):
        yield from texts_in(each)


def written_in(tree: ast.AST) -> Iterator[str]:
    """Classes that a module gives to requests, as literals."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) in ("End", "ErrorSample") and node.args:
            yield from texts_in(node.args[0])
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            target = node.targets[0]
            if name_of(target.value) in COUNTS_BY_CLASS:
                yield from texts_in(target.slice)


def compared_in(tree: ast.AST) -> Iterator[str]:
    """Classes that a module asks for, as literals."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(name_of(side) in NAMES_OF_A_CLASS for side in sides):
                for side in sides:
                    yield from texts_in(side)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            yield from texts_in(node.args[0]) if name_of(node.func.value) in COUNTS_BY_CLASS else ()
        if isinstance(node, ast.Dict):
            keys = [text for key in node.keys if key is not None for text in texts_in(key)]
            # a table by class, such as the hints of a probe
            yield from keys if 2 * sum(map(is_class, keys)) > len(keys) > 3 else ()


def literals() -> tuple[set[str], set[str]]:
    """Classes that are written, and all that are named, in the whole program but the mock and the APIs' own words."""
    written: set[str] = set()
    named: set[str] = set()
    for path in FILES:
        if {"mock", "api"} & set(path.relative_to(ROOT).parts):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        written.update(written_in(tree))
        named.update(compared_in(tree))
    written.update(connect_errors._CLASS_OF_ERRNO.values(), {"unreachable"})
    return written, written | named


@pytest.mark.slow
def test_every_class_that_the_code_names_is_in_the_table() -> None:
    named = literals()[1] | UNEXPLAINED
    of_the_screen = set(OUTCOMES)  # `Picture.outcome` sums up a run, and is no class
    assert {name for name in named - of_the_screen if name and not is_class(name)} == set()


@pytest.mark.slow
def test_every_class_of_the_table_is_written_by_the_code() -> None:
    by_status = {class_of_status(*each) for each in STATUSES}
    assert all(is_class(name) for name in by_status)
    written = {name for name in literals()[0] | by_status if not name.startswith("http_")} | {HTTP}
    assert written == {each.name for each in CLASSES}


def test_sets_of_classes_are_of_the_table() -> None:
    assert len({each.name for each in CLASSES}) == len(CLASSES)
    assert {"ok", "filtered", "cancelled", "lost"} == NOT_FAILED
    assert set(TIME_LIMITS) == {"connect_timeout", "timeout_first_token", "timeout_idle", "timeout_total"}
    assert {*BY_NAME, *NOT_FAILED, HTTP} == {each.name for each in CLASSES}
    assert all(each.action == "count" for each in CLASSES if each.counted_in != "failed")
    assert tuple(ACTIONS) == failure_policy.ACTIONS


def test_what_is_a_class() -> None:
    assert all(map(is_class, ("ok", "dns", "http_404", "http_999")))
    assert not any(map(is_class, ("", "OK", "http", "http_<code>", "http_40", "http_4040", "http_４０４", "timeout")))
