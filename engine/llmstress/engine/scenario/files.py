"""Reads a scenario file: runs it, and finds its user classes."""

import ast
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path

from llmstress.engine.scenario.tasks import tasks_of
from llmstress.engine.scenario.user import User

MODULE = "llmstress_scenario_file"
"""The name under which the file is imported."""


class ScenarioError(Exception):
    """The file can't be used; the text names file and line."""


def user_classes(path: Path) -> list[type[User]]:
    """The user classes of a file, in its order: subclasses of `User` that have tasks. The folder of the file is the
    first place where its imports are looked for.

    Raises:
        ScenarioError: it can't be read or run, or has no users.
    """
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise ScenarioError(f"{path}: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror or error}") from error
    except SyntaxError as error:
        raise ScenarioError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise ScenarioError(f"{place_of(error, path)}: {type(error).__name__}: {error}") from error
    found = [
        each
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, User) and each.__module__ == MODULE
    ]
    classes = [each for each in dict.fromkeys(found) if tasks_of(each)]
    if not classes:
        raise ScenarioError(
            f"{path}: no user has a task; write a subclass of llmstress.scenario.User with `async def` methods that "
            "are marked with @task"
        )
    return classes


def place_of(error: BaseException, path: Path) -> str:
    """File and line where an exception left the code of the scenario: the last frame in its folder."""
    frames = traceback.extract_tb(error.__traceback__)
    folder = str(path.resolve().parent)
    own = [frame for frame in frames if str(Path(frame.filename).resolve()).startswith(folder)]
    frame = own[-1] if own else None
    return f"{path}" if frame is None else f"{Path(frame.filename).name}, line {frame.lineno}"


def secrets_named(path: Path) -> list[str]:
    """The names that the file gives to `secret`, as far as they are written out.

    Raises:
        ScenarioError: it can't be read.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise ScenarioError(f"{path}, line {error.lineno}: {error.msg}") from error
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror or error}") from error
    return list(
        dict.fromkeys(
            node.args[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "secret"
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
        )
    )
