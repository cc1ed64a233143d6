"""Images of the screen as files."""

import contextlib
import itertools
import re
import time
from pathlib import Path

FONT = "Fira Code, Cascadia Mono, JetBrains Mono, DejaVu Sans Mono, Menlo, Consolas"
"""Fixed-width fonts that have the dots of the charts."""


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


def self_contained(svg: str) -> str:
    """An SVG that fetches nothing: whoever opens it needs no network, and no host hears of it.

    Rich's images name a font on a host; here the reader's own fixed-width fonts are named instead.
    """
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", FONT)


def safe_name(model: str) -> str:
    """A model's name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", model)[:60].strip("-.") or "run"
