"""Saves images of the screen as SVG, and as PNG if a converter is installed."""

import asyncio
import contextlib
import html
import itertools
import re
import shutil
import time
from pathlib import Path

FONT = "Fira Code, Cascadia Mono, JetBrains Mono, DejaVu Sans Mono, Menlo, Consolas"
"""Fixed-width fonts that contain the braille dots of the charts."""

CONVERTERS = {
    "rsvg-convert": ("--output", "{png}", "{svg}"),
    "inkscape": ("--export-type=png", "--export-filename={png}", "{svg}"),
    "cairosvg": ("{svg}", "-o", "{png}"),
    "magick": ("{svg}", "{png}"),
}
"""Programs that convert SVG to PNG, the best first, and their arguments."""

CONVERT_S = 20.0
"""Time limit of a conversion."""


def write(directory: Path, model: str, svg: str) -> Path:
    """Write an image to a new file and return its path.

    Raises:
        OSError: the file can't be written.
    """
    stem = f"llmstress-{safe_name(model)}-{time.strftime('%H%M%S')}"
    for number in itertools.count(1):
        path = directory / (f"{stem}.svg" if number == 1 else f"{stem}-{number}.svg")
        with contextlib.suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(svg)
            return path
    raise AssertionError("unreachable: the count is unlimited")


async def convert(svg: Path) -> Path | None:
    """Convert an SVG to a PNG beside it and return its path; None: no converter is installed, or all failed."""
    png = svg.with_suffix(".png")
    for name, arguments in CONVERTERS.items():
        program = shutil.which(name)
        if program is not None and await _run(program, [each.format(svg=svg, png=png) for each in arguments]):
            return png
    return None


async def _run(program: str, arguments: list[str]) -> bool:
    nowhere = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdin=nowhere, stdout=nowhere, stderr=nowhere
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(CONVERT_S):
            return await process.wait() == 0
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def self_contained(svg: str) -> str:
    """An SVG that needs no network and looks the same with other fonts.

    Rich's images load a font from a host; this function names local fixed-width fonts instead. Leading spaces are
    preserved, which some programs would drop. Many fixed-width fonts lack the braille dots of the charts, and a
    substitute font has another width, so each dot gets a position of its own.
    """
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", FONT)
    return _TEXT.sub(_positioned, svg.replace("<svg ", '<svg xml:space="preserve" ', 1))


_TEXT = re.compile(
    r'<text (?P<class>class="[^"]*") x="(?P<x>[\d.]+)" (?P<y>y="[\d.]+") textLength="(?P<length>[\d.]+)"'
    r"(?P<clip>[^>]*)>(?P<text>[^<]*[\u2800-\u28ff][^<]*)</text>"
)

_RUNS = re.compile(r"[\u2800-\u28ff]|[^\u2800-\u28ff]+")


def _positioned(found: re.Match[str]) -> str:
    """A text that contains braille dots, split into several texts; each dot is a text of its own."""
    text, x = html.unescape(found["text"]), float(found["x"])
    cell = float(found["length"]) / len(text)
    parts: list[str] = []
    for run in _RUNS.finditer(text):
        at, length = round(x + run.start() * cell, 1), round(len(run[0]) * cell, 1)
        words = html.escape(run[0]).replace("\xa0", "&#160;")
        parts.append(
            f'<text {found["class"]} x="{at:g}" {found["y"]} textLength="{length:g}"{found["clip"]}>{words}</text>'
        )
    return "".join(parts)


def safe_name(model: str) -> str:
    """A model's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", model)[:60].strip("-.") or "run"
