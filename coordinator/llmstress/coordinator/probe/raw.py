"""The bytes of a request and of what was read, as text that can be shown: without secrets, wherever they were cut."""

import re
from collections.abc import Iterator, Sequence

import msgspec

_CHUNK_EDGE = r"(?:\r\n[0-9A-Fa-f]{1,16}[^\r\n]{0,100}\r\n)?"
"""What may stand between any two bytes of a body that comes in chunks."""

_PRIVATE = re.compile(r"(?im)^(?:set-cookie|cookie|authorization|proxy-authorization|x-api-key|api-key): *([^\r\n]*)")
"""Headers whose values are hidden whatever they are."""

_LEAST = 8
"""Characters of a secret that are told apart from chance where it was cut off."""


class Text(msgspec.Struct, frozen=True):
    """Bytes as text: in UTF-8; or, where they are none, in latin-1, one character for each byte."""

    encoding: str
    text: str


class Raw(msgspec.Struct, frozen=True):
    """What was sent, and each read."""

    request: Text
    reads: tuple[Text, ...]


def raw_of(request: bytes, reads: Sequence[bytes], secrets: Sequence[str]) -> Raw:
    """Both without `secrets`, also where one is split by the end of a read or of a chunk."""
    [asked] = shown([request], secrets)
    return Raw(asked, tuple(shown(reads, secrets)))


def shown(parts: Sequence[bytes], secrets: Sequence[str]) -> list[Text]:
    """Each of `parts`, which belong together, with stars for every secret in the whole."""
    whole = b"".join(parts).decode("latin-1")
    hidden = list(_joined(sorted(_hidden_in(whole, secrets))))
    texts, begin = [], 0
    for part in parts:
        end = begin + len(part)
        pieces, at = [], begin
        for first, last in hidden:
            if first < end and last > begin:
                pieces += [whole[at : max(at, first)], "***"]
                at = min(last, end)
        texts.append(_text_of("".join([*pieces, whole[at:end]]).encode("latin-1")))
        begin = end
    return texts


def _hidden_in(whole: str, secrets: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Begin and end of everything in `whole` that is to be hidden."""
    for match in _PRIVATE.finditer(whole):
        yield match.span(1)
    for secret in secrets:
        signs = secret.encode("utf-8", "surrogateescape").decode("latin-1")
        for match in re.finditer(_CHUNK_EDGE.join(map(re.escape, signs)), whole):
            yield match.span()
        cut = next((n for n in range(len(signs) - 1, _LEAST - 1, -1) if whole.endswith(signs[:n])), 0)
        yield len(whole) - cut, len(whole)


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted spans, those that meet as one; empty ones left out."""
    begin = end = 0
    for first, last in spans:
        if first > end:
            if end > begin:
                yield begin, end
            begin = first
        end = max(end, last)
    if end > begin:
        yield begin, end


def _text_of(data: bytes) -> Text:
    try:
        return Text("utf-8", data.decode())
    except UnicodeDecodeError:
        return Text("latin-1", data.decode("latin-1"))
