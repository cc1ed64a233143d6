"""The pages: their links lead somewhere, the modules and flags that they name exist, README leads to every page."""

import ast
import functools
import re
from pathlib import Path

import click
import pytest

from llmstress.coordinator.commands.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])


_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return _CODE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings: lower case, hyphens for spaces, no other punctuation."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        text = _LINK.sub(lambda link: link[0][1 : link[0].index("]")], heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = 1
        while (unique := anchor if number == 1 else f"{anchor}-{number - 1}") in found:
            number += 1
        found.add(unique)
    return found


def links(page: Path) -> list[tuple[Path, str]]:
    """Target file and anchor of the relative links of a page; the anchor is empty if the link has none."""
    targets = [link.partition("#") for link in _LINK.findall(prose(page)) if "://" not in link]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in targets]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(target), f"{name(target)} has no heading #{anchor}"


def test_readme_leads_to_every_page_of_docs() -> None:
    linked = {target for target, _ in links(ROOT / "README.md")}
    assert set(ROOT.glob("docs/*.md")) <= linked


@functools.cache
def python_files() -> list[str]:
    """Paths of the modules in the folders of the sources, the tests and the benchmarks, from the root on."""
    folders = ("engine", "coordinator", "tui", "tests", "benchmarks")
    return [f"/{path.relative_to(ROOT)}" for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_modules_that_a_page_names_exist(page: Path) -> None:
    files = python_files()
    for module in re.findall(r"`([\w/]+\.py)`", prose(page)):
        assert any(path.endswith(f"/{module}") for path in files) or module == "llmstress_tgi.py", module


def test_the_page_of_flags_has_the_flags_of_the_command() -> None:
    options = [option for option in cli.params if isinstance(option, click.Option) and not option.is_eager]
    flags = {flag for option in options for flag in option.opts if flag.startswith("--")}
    text = (ROOT / "docs/flags.md").read_text("utf-8")
    assert set(re.findall(r"--[a-z][a-z-]*", text)) - {"--help"} == flags
    rows = re.findall(r"^\| `(--[a-z-]+)` \|", text.partition("## All flags")[2], re.MULTILINE)
    assert sorted(rows) == sorted(flags), "the table has each of them once"


def texts_of(path: Path) -> list[str]:
    """The texts of a module; a text with values in it gives the pieces between them."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_the_messages_of_the_troubleshooting_page_exist() -> None:
    texts = "\n".join(text for path in ROOT.glob("coordinator/**/*.py") for text in texts_of(path))
    page = prose(ROOT / "docs/troubleshooting.md")
    messages = re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)
    assert len(messages) >= 10
    for message in messages:
        for piece in re.split(r"…|\d[\d,.]*(?: GB)?|https?\b", message):
            assert len(piece.strip()) < 8 or piece.strip() in texts, f"{message}: {piece}"
