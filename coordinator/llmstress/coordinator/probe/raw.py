"""The bytes of a request and of the reads as text. Secrets are redacted, even if a read or a chunk splits them."""

import re
from collections.abc import Iterator, Sequence

import msgspec

_CHUNK_EDGE = r"(?:\r\n[0-9A-Fa-f]{1,16}[^\r\n]{0,100}\r\n)?"
"""The chunk framing that may stand between any two bytes of a chunked body."""

_PRIVATE = re.compile(r"(?im)^(?:set-cookie|cookie|authorization|proxy-authorization|x-api-key|api-key): *([^\r\n]*)")
"""Headers whose values are always redacted."""

_SHORTEST_PREFIX = 8
"""Fewest characters of a secret's beginning, at the end of the data, that are redacted; fewer may match by chance."""


class Text(msgspec.Struct, frozen=True):
    """Bytes decoded as UTF-8; or, if they are not valid UTF-8, as latin-1 with one character per byte."""

    encoding: str
    text: str


class Raw(msgspec.Struct, frozen=True):
    """The bytes of the request and of each read."""

    request: Text
    reads: tuple[Text, ...]


def raw_of(request: bytes, reads: Sequence[bytes], secrets: Sequence[str]) -> Raw:
    """Request and reads with `secrets` redacted."""
    [asked] = shown([request], secrets)
    return Raw(asked, tuple(shown(reads, secrets)))


def shown(parts: Sequence[bytes], secrets: Sequence[str]) -> list[Text]:
    """Each of `parts` as text; secrets are found in the concatenation of all parts, and replaced by stars."""
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
    """Begin and end of each secret in `whole`."""
    for match in _PRIVATE.finditer(whole):
        yield match.span(1)
    for secret in secrets:
        secret_text = secret.encode("utf-8", "surrogateescape").decode("latin-1")
        for match in re.finditer(_CHUNK_EDGE.join(map(re.escape, secret_text)), whole):
            yield match.span()
        cut = next(
            (n for n in range(len(secret_text) - 1, _SHORTEST_PREFIX - 1, -1) if whole.endswith(secret_text[:n])), 0
        )
        yield len(whole) - cut, len(whole)


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted spans, with touching ones merged and empty ones left out."""
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
