"""Chunks: what every method keeps for any text, and what each one cuts."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from embeddings_ab.domain.chunking import METHODS, ChunkingSettings, Span, chunk, tokenize
from governance.domain.errors import InvalidInput

TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="ab .!?\n\t", max_size=300),
    st.text(alphabet="語。あ a\n\u3000", max_size=100),
    st.lists(
        st.sampled_from(["word", "Sentence end. ", "\n\n", "\n", " ", "x" * 60, "…", "\u200b", "🙂"]), max_size=60
    ).map("".join),
)

# The same texts every time, on a machine however busy.
STEADY = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def chunking_settings(draw):
    size = draw(st.integers(1, 12))
    return ChunkingSettings(draw(st.sampled_from(METHODS[1:])), size, draw(st.integers(0, size - 1)))


@STEADY
@given(text=TEXTS, how=chunking_settings())
@example(text="a" * 5000, how=ChunkingSettings("recursive", 3, 2))
@example(text="\x00\x00.", how=ChunkingSettings("sentences", 1, 0))
def test_any_text_is_covered_within_size_and_overlap(text, how):
    spans = chunk(text, how)
    tokens = tokenize(text)
    covered = {at for start, end in spans for at in range(start, end)}
    assert all(at in covered for at, character in enumerate(text) if not character.isspace())
    for start, end in spans:
        inside = [token for token in tokens if start <= token[0] and token[1] <= end]
        assert 1 <= len(inside) <= how.size
        assert len(tokenize(text[start:end])) == len(inside)  # a chunk counts the same by itself
        assert text[start:end] == text[start:end].strip()
    for before, after in pairwise(spans):
        assert before.start < after.start
        assert before.end < after.end
        shared = [token for token in tokens if after.start <= token[0] and token[1] <= before.end]
        assert len(shared) <= how.overlap
        if how.method == "tokens":
            assert len(shared) == how.overlap
    assert spans == chunk(text, how)


@STEADY
@given(text=TEXTS)
def test_a_text_is_whole_or_has_no_chunk(text):
    assert chunk(text, ChunkingSettings()) == ([Span(0, len(text))] if text.strip() else [])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000\x1c"])
def test_text_without_a_visible_character_has_no_chunk(method, text):
    assert chunk(text, ChunkingSettings(method, 5)) == []


def cut(text, *how, tokenizer=None):
    return [text[start:end] for start, end in chunk(text, ChunkingSettings(*how), tokenizer)]


def test_fixed_windows():
    assert cut("one two three four five six seven", "tokens", 3, 1) == [
        "one two three",
        "three four five",
        "five six seven",
    ]
    assert cut("one, two", "tokens", 2, 0) == ["one,", "two"]


def test_whole_sentences_as_long_as_they_fit():
    text = 'One two. Three four five! "Six?" Seven eight nine ten.'
    assert cut(text, "sentences", 7, 0) == ["One two. Three four five!", '"Six?"', "Seven eight nine ten."]
    assert cut(text, "sentences", 9, 4) == [
        "One two. Three four five!",
        'Three four five! "Six?"',
        '"Six?" Seven eight nine ten.',
    ]


def test_a_sentence_too_long_is_cut_between_tokens():
    assert cut("a b c d e f g. h i", "sentences", 3, 0) == ["a b c", "d e f", "g.", "h i"]


def test_paragraphs_before_lines_before_sentences():
    text = "Title\n\nfirst line here\nsecond line. with more\n\nlast one"
    assert cut(text, "recursive", 5, 0) == ["Title\n\nfirst line here", "second line. with more", "last one"]
    assert cut(text, "recursive", 4, 0) == ["Title\n\nfirst line here", "second line.", "with more\n\nlast one"]


def test_scripts_without_spaces_are_counted_by_character():
    assert cut("中文没有空格。第二句", "sentences", 8, 0) == ["中文没有空格。", "第二句"]
    assert cut("中文没有", "tokens", 2, 0) == ["中文", "没有"]


def test_a_run_without_separators_is_cut():
    assert [len(part) for part in cut("x" * 100, "tokens", 2, 0)] == [48, 48, 4]


def test_another_tokenizer_counts_and_what_it_skips_stays():
    def vowels(text):
        return [(0, 0), *((at, at + 1) for at, character in enumerate(text) if character in "aeiou"), (0, 0)]

    assert cut("xxalphabet, gym", "tokens", 2, 0, tokenizer=vowels) == ["xxalphab", "et, gym"]
    assert cut("gym", "tokens", 2, 0, tokenizer=vowels) == ["gym"]


@pytest.mark.parametrize(
    ("how", "field", "message"),
    [
        (("words", 5, 0), "chunking.method", "choose one of"),
        (("tokens", 0, 0), "chunking.size", "at least 1"),
        (("tokens", 5, -1), "chunking.overlap", "negative"),
        (("tokens", 5, 5), "chunking.overlap", "smaller than size 5"),
        (("none", 5, 1), "chunking.overlap", "contradicts method 'none'"),
    ],
)
def test_contradictions_are_named(how, field, message):
    with pytest.raises(InvalidInput, match=message) as refused:
        ChunkingSettings(*how)
    assert refused.value.details["field"] == field
