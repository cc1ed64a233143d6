"""Of which kind a file of prompts is, by its first bytes."""

import csv
from typing import Literal

from llmstress.coordinator.config.settings import nearest
from llmstress.engine.prompts.formats import LINES

CSV = "csv"

Kind = Literal["lines", "json lines", "array", "csv"]

START = 1 << 16
"""Bytes that are looked at."""


def kind_of(start: bytes, name: str, format: str | None = None, column: str | None = None) -> Kind:
    """The kind of a file.

    Args:
        start: its first bytes.
        name: its name: `.csv` says that it is CSV.
        format: as given by the user.
        column: key or column of the prompt, as given by the user.

    Raises:
        ValueError: it is of no kind that is understood.
    """
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"\x1f\x8b"):
        raise ValueError("it is compressed with gzip, so its rows can't be read one by one: decompress it first")
    if start.startswith(b"PAR1"):
        raise ValueError("it is a parquet file: write it as JSON lines first")
    if b"\0" in start:
        raise ValueError("this is no text; understood are lines, JSON lines, JSON arrays and CSV")
    if not text:
        raise ValueError("the file is empty")
    if format == LINES:
        return "lines"
    if format == CSV:
        return "csv"
    if text.startswith(b"["):
        inside = text[1:].lstrip()
        if not inside or inside.startswith((b"{", b"]")):
            return "array"
    if text.startswith(b"{"):
        return "json lines"
    columns = _columns(text)
    if (column or "prompt") in columns:
        return "csv"
    if name.lower().endswith(".csv"):
        wanted = column or "prompt"
        raise ValueError(
            f"line 1: no column is named {wanted}; the columns are {', '.join(columns[:8])}"
            f"{nearest(wanted, columns)}; name the right one with --prompt-column"
        )
    if format is not None:
        raise ValueError(f"line 1: rows of the format {format} are JSON objects, and this is none")
    if column is not None:
        raise ValueError(f"line 1: --prompt-column {column} needs JSON lines, a JSON array or CSV with this column")
    return "lines"


def _columns(text: bytes) -> list[str]:
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace")
    try:
        return [name.strip() for name in next(csv.reader([first], strict=True), [])]
    except csv.Error:
        return []
