"""What the mock received, as it wrote it with `--keep-requests`."""

import json
from pathlib import Path
from typing import Any


def received(path: Path) -> list[dict[str, Any]]:
    """The requests, in the order of the file: `Received` in `engine/mock/journal.py`."""
    return _lines(path, "request")


def left(path: Path) -> list[dict[str, Any]]:
    """The answers whose client disconnected before their end: `Left` in `engine/mock/journal.py`."""
    return _lines(path, "left")


def _lines(path: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]
