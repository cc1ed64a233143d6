"""A text on the command line: the text itself, `@FILE`, or `-` for stdin. Large texts need not fit into argv."""

import os
import sys

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
        return _decoded(_read_stdin(), "stdin", "; only one flag can read it")
    if given.startswith("@"):
        path = given[1:]
        if not path:
            raise ValueError("@ must be followed by a file name; to begin a text with @, write @@")
        return _decoded(_read_file(path), path)
    return given


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise ValueError("stdin is closed")
    try:
        return sys.stdin.buffer.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read stdin: {getattr(error, 'strerror', None) or error}") from error


def _read_file(path: str) -> bytes:
    """
    Raises:
        ValueError: the file cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            os.set_blocking(file.fileno(), True)
            return file.read(LARGEST + 1)
    except OSError as error:
        hint = "; to begin a text with @, write @@" if isinstance(error, FileNotFoundError) else ""
        raise ValueError(f"{path} can't be read: {error.strerror}{hint}") from error


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without waiting: opening a pipe without a writer would block forever."""
    return os.open(path, flags | os.O_NONBLOCK)


def _decoded(data: bytes, name: str, hint: str = "") -> str:
    if not data:
        raise ValueError(f"{name} is empty{hint}")
    if len(data) > LARGEST:
        raise ValueError(f"{name} is larger than {LARGEST >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text (byte {error.start})") from error
