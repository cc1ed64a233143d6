"""A text on the command line: the text itself, `@FILE`, or `-` for stdin. Large texts need not fit into argv."""

import os
import sys

from llmstress.coordinator.config.config_file import LARGEST as LARGEST_CONFIG

LARGEST = 64 << 20
"""Most bytes of a file: a larger one is more likely a device or the wrong file than a prompt."""


def text_of(given: str) -> str:
    """The text that an argument stands for.

    `@FILE` is the content of a file, `-` or `@-` that of stdin, both unchanged. `@@...` is a text that begins with `@`.
    Anything else is the text itself.

    Raises:
        ValueError: file or stdin cannot be read, is empty, is too large, or is not UTF-8.
    """
    if given.startswith("@@"):
        return given[1:]
    if given in ("-", "@-"):
        return _not_empty(_decoded(_read_stdin(), "stdin", LARGEST), "stdin is empty; only one flag can read it")
    if given.startswith("@"):
        path = given[1:]
        if not path:
            raise ValueError("@ must be followed by a file name; to begin a text with @, write @@")
        text = _decoded(_read_file(path, hint="; to begin a text with @, write @@"), path, LARGEST)
        return _not_empty(text, f"{path} is empty")
    return given


def text_of_file(path: str) -> str:
    """The content of a file, unchanged.

    Raises:
        ValueError: it cannot be read, is empty, is too large, or is not UTF-8.
    """
    return _not_empty(_decoded(_read_file(path), path, LARGEST), f"{path} is empty")


def text_of_config(path: str) -> str:
    """The content of a configuration file, which may be empty; `-` is stdin.

    Raises:
        ValueError: file or stdin cannot be read, is too large, or is not UTF-8.
    """
    if path == "-":
        return _decoded(_read_stdin(), "stdin", LARGEST_CONFIG)
    return _decoded(_read_file(path), path, LARGEST_CONFIG)


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise ValueError("stdin is closed")
    try:
        return sys.stdin.buffer.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read stdin: {getattr(error, 'strerror', None) or error}") from error


def _read_file(path: str, hint: str = "") -> bytes:
    """The content of a file.

    `hint` ends the message about a file that does not exist.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            os.set_blocking(file.fileno(), True)
            return file.read(LARGEST + 1)
    except OSError as error:
        advice = hint if isinstance(error, FileNotFoundError) else ""
        raise ValueError(f"{path} can't be read: {error.strerror}{advice}") from error


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without waiting: opening a pipe without a writer would block forever."""
    return os.open(path, flags | os.O_NONBLOCK)


def _decoded(data: bytes, name: str, largest: int) -> str:
    if len(data) > largest:
        raise ValueError(f"{name} is larger than {largest >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text (byte {error.start})") from error


def _not_empty(text: str, otherwise: str) -> str:
    if not text:
        raise ValueError(otherwise)
    return text
