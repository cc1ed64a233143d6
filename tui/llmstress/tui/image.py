"""Images of the screen as files: SVG, and PNG where a program that converts it is installed."""

import asyncio
import contextlib
import html
import itertools
import re
import shutil
import time
from pathlib import Path

FONT = "Fira Code, Cascadia Mono, JetBrains Mono, DejaVu Sans Mono, Menlo, Consolas"
"""Fixed-width fonts that have the dots of the charts."""


CONVERTERS = {
    "rsvg-convert": ("--output", "{png}", "{svg}"),
    "inkscape": ("--export-type=png", "--export-filename={png}", "{svg}"),
    "cairosvg": ("{svg}", "-o", "{png}"),
    "magick": ("{svg}", "{png}"),
}
"""Programs that make a PNG of an SVG, the best first, and their arguments."""

CONVERT_S = 20.0
"""How long one may take."""


def write(directory: Path, model: str, svg: str) -> Path:
    """Write an image to a file that wasn't there before, and give its path.

    Raises:
        OSError: it can't be written.
    """
    stem = f"llmstress-{safe_name(model)}-{time.strftime('%H%M%S')}"
    for number in itertools.count(1):
        path = directory / (f"{stem}.svg" if number == 1 else f"{stem}-{number}.svg")
        with contextlib.suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(svg)
            return path
    raise AssertionError("numbers don't end")


async def convert(svg: Path) -> Path | None:
    """Make a PNG beside an SVG with the first of `CONVERTERS` that can; None: none is installed, or none could."""
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
    """An SVG that fetches nothing and looks the same with other fonts: whoever opens it needs no network, and no host
    hears of it.

    Rich's images name a font on a host; here the reader's own fixed-width fonts are named instead. Spaces at the begin
    of a text are kept, which some programs would drop. Many fixed-width fonts lack the dots of the charts, and those of
    another font have another width: each has a place of its own.
    """
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", FONT)
    return _TEXT.sub(_positioned, svg.replace("<svg ", '<svg xml:space="preserve" ', 1))


_TEXT = re.compile(
    r'<text (?P<class>class="[^"]*") x="(?P<x>[\d.]+)" (?P<y>y="[\d.]+") textLength="(?P<length>[\d.]+)"'
    r"(?P<clip>[^>]*)>(?P<text>[^<]*[\u2800-\u28ff][^<]*)</text>"
)

_RUNS = re.compile(r"[\u2800-\u28ff]|[^\u2800-\u28ff]+")


def _positioned(found: re.Match[str]) -> str:
    """A text with dots of charts, as several texts; each dot is one of them."""
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
    """A model's name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", model)[:60].strip("-.") or "run"
