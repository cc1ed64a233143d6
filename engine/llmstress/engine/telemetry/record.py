"""A run kept in a file: everything that was published about it, in order, with the moment of each message.

Layout: the line `llmstress.record/2`, then frame after frame: 8 bytes of nanoseconds after T0 (signed, big-endian),
4 bytes of length, the message as `broadcast.encode` gives it. A keyframe stands first and every few seconds, so that a
reader can begin anywhere. A file that was cut off is read up to its last whole frame.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from llmstress.engine.telemetry.broadcast import Frame, RunView, decode

MAGIC = b"llmstress.record/2\n"

_HEADER = struct.Struct(">qI")

_TAG = msgspec.msgpack.encode(RunView.__name__)
"""Stands after the one byte that begins the array: so much tells a keyframe without decoding it."""


class NoRecord(ValueError):
    """The file is no record of a run, or its bytes are damaged; the text says which and where."""


class Moment(msgspec.Struct, frozen=True):
    """One message of a record: `t` nanoseconds after T0."""

    t: int
    frame: Frame


class Place(msgspec.Struct, frozen=True):
    """Where a message of a record begins in its file."""

    t: int
    offset: int
    keyframe: bool


def begin(file: BinaryIO) -> None:
    """Write what a record begins with."""
    file.write(MAGIC)


def append(file: BinaryIO, t: int, encoded: bytes) -> None:
    """Write one message; `encoded` by `broadcast.encode`."""
    file.write(_HEADER.pack(t, len(encoded)) + encoded)


def scan(path: Path) -> Iterator[Place]:
    """Where the whole messages of a record begin, in order; nothing is decoded: a gigabyte takes a second.

    Raises:
        OSError: it can't be read.
        NoRecord: it is no record.
    """
    with path.open("rb", buffering=0) as file:
        _check(path, file)
        number, size = file.fileno(), os.fstat(file.fileno()).st_size
        offset = len(MAGIC)
        while len(head := os.pread(number, _HEADER.size + 1 + len(_TAG), offset)) > _HEADER.size:
            t, length = _HEADER.unpack_from(head)
            after = offset + _HEADER.size + length
            if after > size:
                return
            yield Place(t, offset, head[_HEADER.size + 1 :] == _TAG)
            offset = after


def read(path: Path, offset: int | None = None, *, keyframes: bool = True) -> Iterator[Moment]:
    """The messages of a record, in order; at most one frame is held in memory.

    Args:
        path: The file.
        offset: Begin with the message there, a keyframe found by `scan`; None: with the first.
        keyframes: Also give those that come after the first message. They say nothing new to who has read the others.

    Raises:
        OSError: it can't be read.
        NoRecord: it is no record, or damaged.
    """
    with path.open("rb") as file:
        _check(path, file)
        if offset is not None:
            file.seek(offset)
        first = True
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            t, length = _HEADER.unpack(header)
            data = file.read(length)
            if len(data) < length:
                return
            if not keyframes and not first and data[1 : 1 + len(_TAG)] == _TAG:
                continue
            try:
                frame = decode(data)
            except (ValueError, RecursionError) as error:  # words that are not UTF-8 are no DecodeError
                raise NoRecord(f"{path} is damaged before byte {file.tell()}: {error}") from error
            if first and not isinstance(frame, RunView):
                raise NoRecord(f"{path} does not begin with a whole picture of its run")
            first = False
            yield Moment(t, frame)


def _check(path: Path, file: BinaryIO) -> None:
    if file.read(len(MAGIC)) != MAGIC:
        raise NoRecord(f"{path} is no record of a run")
