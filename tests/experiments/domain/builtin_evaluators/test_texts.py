"""How alike two texts are: Levenshtein, ROUGE-L, BLEU."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.domain.builtin_evaluators.texts import bleu, levenshtein_ratio, rouge_l


# Output, truth, 1 - nltk.edit_distance / longer length (nltk 3.10.4), Levenshtein.ratio (python-Levenshtein 0.27.5).
@pytest.mark.parametrize(
    ("output", "truth", "expected", "indel"),
    [
        ("kitten", "sitting", 0.5714285714285714, 0.6153846153846154),
        ("flaw", "lawn", 0.5, 0.75),
        ("", "abc", 0.0, 0.0),
        ("saturday", "sunday", 0.625, 0.7142857142857143),
        ("naïve café", "naive cafe", 0.8, 0.8),
        ("The answer is 42.", "Answer: 42", 0.47058823529411764, 0.5925925925925926),
        ("日本語テスト", "日本語のテスト", 0.8571428571428572, 0.9230769230769231),
    ],
)
def test_levenshtein_ratios_are_those_of_other_libraries(output, truth, expected, indel):
    assert levenshtein_ratio(output, truth) == pytest.approx(expected, abs=1e-12)
    assert levenshtein_ratio(output, truth, indel=True) == pytest.approx(indel, abs=1e-12)


def test_levenshtein_takes_the_best_text_and_can_ignore_case():
    assert levenshtein_ratio("abc", ["xyz", "abd"]) == pytest.approx(2 / 3, abs=1e-12)
    assert levenshtein_ratio("ABC", "abc") == 0.0
    assert levenshtein_ratio("ABC", "abc", ignore_case=True) == 1.0
    assert levenshtein_ratio("", "") == 1.0


# Output, reference, precision, recall, fmeasure of rouge-score 0.1.2, rougeL without stemmer.
@pytest.mark.parametrize(
    ("output", "truth", "precision", "recall", "f1"),
    [
        (
            "The quick brown dog jumps on the log.",
            "The quick brown fox jumps over the lazy dog",
            0.625,
            0.5555555555555556,
            0.5882352941176471,
        ),
        ("police kill the gunman", "police killed the gunman", 0.75, 0.75, 0.75),
        ("the gunman kill police", "police killed the gunman", 0.5, 0.5, 0.5),
        ("g f e d c b a", "a b c d e f g", 0.14285714285714285, 0.14285714285714285, 0.14285714285714285),
        ("its 3 5 meters isn t it", "It's 3.5 metres, isn't it?", 0.7142857142857143, 0.625, 0.6666666666666666),
        ("", "one", 0.0, 0.0, 0.0),
    ],
)
def test_rouge_l_is_that_of_rouge_score(output, truth, precision, recall, f1):
    assert rouge_l(output, truth) == pytest.approx(f1, abs=1e-12)
    assert rouge_l(output, truth, measure="precision") == pytest.approx(precision, abs=1e-12)
    assert rouge_l(output, truth, measure="recall") == pytest.approx(recall, abs=1e-12)


def test_rouge_l_takes_the_best_reference_and_letters_of_every_script():
    assert rouge_l("a b", ["c d", "a c"]) == 0.5
    assert rouge_l("Грета спит", "Грета не спит", tokens="unicode") == pytest.approx(0.8, abs=1e-12)
    with pytest.raises(ValueError, match=r"the reference 'Грета' has no word to find; tokens='unicode' takes"):
        rouge_l("Грета", "Грета")
    with pytest.raises(ValueError, match=r"the reference '\?!' has no word to find$"):
        rouge_l("x", "?!", tokens="unicode")


PAPINENI = (
    "It is a guide to action which ensures that the military always obeys the commands of the party",
    [
        "It is a guide to action that ensures that the military will forever heed Party commands",
        "It is the guiding principle which guarantees the military forces always being under the command of the Party",
        "It is the practical guide for the army always to heed the directions of the party",
    ],
)


def test_bleu_of_the_published_example():
    """Papineni et al. 2002, candidate 1; the figure stands in the documentation of nltk's sentence_bleu (3.10.4)."""
    assert bleu(*PAPINENI) == pytest.approx(0.5045666840058485, abs=1e-12)


def test_bleu_without_longer_matches_is_smoothed():
    assert bleu("the cat sat on a mat", "the cat sat on the mat") == pytest.approx(0.537284965911771, abs=1e-12)
    # One word of two: brevity penalty exp(1 - 2/1) alone, n-grams that cannot be there do not count.
    assert bleu("the", "the cat") == pytest.approx(0.36787944117144233, abs=1e-12)
    assert bleu("hello there", "goodbye now") == 0.0


def test_bleu_of_equal_texts_is_one_and_case_can_be_ignored():
    assert bleu("The dog bit the man.", ["The dog bit the man."]) == 1.0
    assert bleu("The Cat sat", "the cat sat", lowercase=True) == 1.0
    assert bleu("我爱你们大家", "我爱你们大家", tokenize="zh") == 1.0


@settings(max_examples=25, deadline=None)
@given(st.text("ab c", max_size=8), st.text("ab c", min_size=1, max_size=8).filter(str.strip))
def test_likeness_lies_between_zero_and_one_and_equal_texts_are_one(output, truth):
    for measure in (levenshtein_ratio, rouge_l, bleu):
        assert 0 <= measure(output, truth) <= 1
        assert measure(truth, truth) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("evaluate", "options", "message"),
    [
        (rouge_l, {"measure": "f2"}, "measure='f2' must be 'f1', 'precision' or 'recall'"),
        (rouge_l, {"tokens": "bpe"}, "tokens='bpe' must be 'ascii' or 'unicode'"),
        (bleu, {"tokenize": "flores200"}, "tokenize='flores200' must be one of 13a, intl, zh, char, none"),
    ],
)
def test_options_that_do_not_exist_are_told(evaluate, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate("x", "x", **options)


@pytest.mark.parametrize("evaluate", [levenshtein_ratio, rouge_l, bleu])
def test_a_missing_library_names_the_extra(monkeypatch, evaluate):
    for name in ("rapidfuzz.distance", "sacrebleu.metrics.bleu"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"is missing: pip install 'hhweb\[evaluators\]'"):
        evaluate("x", "x", **({"tokenize": "none", "lowercase": True} if evaluate is bleu else {}))
