"""How a document is cut into chunks: offsets into its text, from the text and the settings alone."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from governance.domain.errors import InvalidInput

# Part of what addresses a collection: raise it whenever any text could be cut differently.
VERSION = 1
METHODS = ("none", "tokens", "sentences", "recursive")

Tokenizer = Callable[[str], Sequence[tuple[int, int]]]

# Scripts written without spaces between words: there every character is a token.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]{{1,24}}|[^\w\s]")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_LINE = re.compile(r"\n\s*")
_SENTENCE = re.compile(
    r"[.!?\u2026]+[\"'\u2019\u201d\u00bb)\]]*\s+|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d\uff09]*\s*|\n\s*\n\s*"
)
_LEVELS = {"sentences": (_SENTENCE,), "recursive": (_PARAGRAPH, _LINE, _SENTENCE)}


class Span(NamedTuple):
    """A chunk: `text[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True)
class ChunkingSettings:
    """How to cut. size: most tokens of a chunk; overlap: most tokens that two neighbours share (exactly, for `tokens`).

    `none` keeps the document whole and looks at neither. Raises InvalidInput that names the contradiction.
    """

    method: str = "none"
    size: int = 256
    overlap: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise _refusal("method", self.method, f"is unknown; choose one of {', '.join(METHODS)}")
        if self.size < 1:
            raise _refusal("size", self.size, "must be at least 1 token")
        if self.overlap < 0:
            raise _refusal("overlap", self.overlap, "must not be negative")
        if self.method == "none" and self.overlap:
            raise _refusal("overlap", self.overlap, "contradicts method 'none'; leave it out or choose another method")
        if self.method != "none" and self.overlap >= self.size:
            raise _refusal("overlap", self.overlap, f"must be smaller than size {self.size}")


def tokenize(text: str) -> list[tuple[int, int]]:
    """Offsets of tokens: runs of at most 24 word characters, single characters of unspaced scripts, single marks.

    Every character that is not white space belongs to exactly one token, and cutting at a token's start changes no
    other token.
    """
    return [match.span() for match in _TOKEN.finditer(text)]


def chunk(text: str, settings: ChunkingSettings, tokenizer: Tokenizer | None = None) -> list[Span]:
    """Cut `text` into chunks in order of their start; text without a visible character has none.

    tokens: `size` tokens each, the next chunk begins `overlap` tokens before the end of the last. sentences: whole
    sentences as long as they fit. recursive: whole paragraphs as long as they fit; one too long goes by lines, a line
    too long by sentences. What is still too long is cut between tokens. With the last two, neighbours share whole
    pieces of together at most `overlap` tokens. Chunks begin and end without white space, and together they cover
    every character that is not white space.

    tokenizer: gives ascending (start, end) offsets of tokens, by default `tokenize`. Characters it skips stay with the
    token before them.
    """
    if not text.strip():
        return []
    if settings.method == "none":
        return [Span(0, len(text))]
    starts = _token_starts(text, tokenizer or tokenize)
    count = len(starts)
    if settings.method == "tokens":
        ranges: Iterator[tuple[int, int]] = _windows(count, settings.size, settings.overlap)
    else:
        levels = [_boundaries(pattern, text, starts) for pattern in _LEVELS[settings.method]]
        ranges = _packed(list(_pieces(0, count, levels, settings.size)), settings.size, settings.overlap)
    limits = [0, *starts[1:], len(text)]
    return [_trimmed(text, limits[low], limits[high]) for low, high in ranges]


def _token_starts(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ascending starts of tokens that hold a visible character; marks that a model adds have no width."""
    starts: list[int] = []
    for start, end in tokenizer(text):
        if end > start and text[start:end].strip() and (not starts or start > starts[-1]):
            starts.append(start)
    return starts or [0]


def _boundaries(pattern: re.Pattern[str], text: str, starts: list[int]) -> list[int]:
    """Ascending token numbers at which a new part begins, the first token left out."""
    found = {bisect_left(starts, match.end()) for match in pattern.finditer(text)}
    return sorted(found - {0, len(starts)})


def _pieces(low: int, high: int, levels: list[list[int]], size: int) -> Iterator[tuple[int, int]]:
    """Token ranges of at most `size`, cut at the highest level that makes them fit, at last into single tokens."""
    if high - low <= size:
        yield low, high
        return
    if not levels:
        yield from ((token, token + 1) for token in range(low, high))
        return
    cuts = levels[0][bisect_left(levels[0], low + 1) : bisect_left(levels[0], high)]
    for part in zip([low, *cuts], [*cuts, high], strict=True):
        yield from _pieces(*part, levels[1:], size)


def _packed(pieces: list[tuple[int, int]], size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Neighbouring pieces together while they fit; the next chunk starts up to `overlap` tokens back.

    Every chunk ends behind the one before it: what would leave no room for a new piece is not repeated.
    """
    first, last = 0, -1
    while last + 1 < len(pieces):
        last += 1
        while last + 1 < len(pieces) and pieces[last + 1][1] - pieces[first][0] <= size:
            last += 1
        yield pieces[first][0], pieces[last][1]
        if last + 1 == len(pieces):
            return
        end, first = pieces[last][1], last + 1
        while (
            first > 0 and end - pieces[first - 1][0] <= overlap and pieces[last + 1][1] - pieces[first - 1][0] <= size
        ):
            first -= 1


def _windows(count: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    low = 0
    while True:
        high = min(low + size, count)
        yield low, high
        if high == count:
            return
        low = high - overlap


def _trimmed(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return Span(start + len(part) - len(part.lstrip()), start + len(part.rstrip()))


def _refusal(name: str, value: object, what: str) -> InvalidInput:
    return InvalidInput(f"Field 'chunking.{name}': {value!r} {what}.", field=f"chunking.{name}", value=value)
