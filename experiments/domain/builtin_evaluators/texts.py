"""Evaluators of how alike two texts are, 0 to 1."""

import functools
import re
from typing import Any, Literal

from experiments.domain.builtin_evaluators.operands import library, operands, text_of, texts_of

_ASCII_TOKENS = re.compile(r"[a-z0-9]+")
_UNICODE_TOKENS = re.compile(r"\w+")
# Those of sacrebleu's tokenizers that need neither a download nor another library.
BLEU_TOKENIZERS = ("13a", "intl", "zh", "char", "none")


def levenshtein_ratio(
    outputs: Any,
    ground_truth: Any,
    *,
    indel: bool = False,
    ignore_case: bool = False,
    key: str | None = None,
    expected_key: str | None = None,
) -> float:
    """1 - distance / length of the longer text, 0 to 1; of a list of accepted texts the best. Two empty texts score 1.

    The distance is Levenshtein's (1966): insertions, deletions and substitutions of code points. With indel=True
    substitutions count as two and the divisor is the sum of lengths, which is `ratio` of python-Levenshtein. Source:
    normalized_similarity of the library rapidfuzz. Undefined (ValueError) without ground truth.
    """
    output, expected = operands(outputs, ground_truth, key, expected_key)
    text, references = text_of("outputs", output), texts_of("ground_truth", expected)
    if ignore_case:
        text, references = text.casefold(), [reference.casefold() for reference in references]
    distance = library("rapidfuzz.distance")
    measure = distance.Indel if indel else distance.Levenshtein
    return max(float(measure.normalized_similarity(text, reference)) for reference in references)


def rouge_l(
    outputs: Any,
    ground_truth: Any,
    *,
    measure: Literal["f1", "precision", "recall"] = "f1",
    tokens: Literal["ascii", "unicode"] = "ascii",
    key: str | None = None,
    expected_key: str | None = None,
) -> float:
    """ROUGE-L, 0 to 1: of the longest common subsequence of words, F1 by default; of a list of references the best.

    precision = common / words of the output, recall = common / words of the reference, f1 their harmonic mean. Words
    are runs of a-z and 0-9 in lower case as in the library rouge-score, without stemming; tokens="unicode" takes
    letters of every script. Source: Lin 2004; rouge-score's rougeL. An output without words scores 0. Undefined
    (ValueError) when a reference has no word.
    """
    if measure not in ("f1", "precision", "recall"):
        raise ValueError(f"measure={measure!r} must be 'f1', 'precision' or 'recall'")
    if tokens not in ("ascii", "unicode"):
        raise ValueError(f"tokens={tokens!r} must be 'ascii' or 'unicode'")
    output, expected = operands(outputs, ground_truth, key, expected_key)
    pattern = _ASCII_TOKENS if tokens == "ascii" else _UNICODE_TOKENS
    words = pattern.findall(text_of("outputs", output).lower())
    scores = []
    for reference in texts_of("ground_truth", expected):
        wanted = pattern.findall(reference.lower())
        if not wanted:
            remedy = "" if tokens == "unicode" else "; tokens='unicode' takes letters of every script"
            raise ValueError(f"the reference {reference[:80]!r} has no word to find{remedy}")
        common = library("rapidfuzz.distance").LCSseq.similarity(words, wanted)
        parts = {
            "f1": 2 * common / (len(words) + len(wanted)),
            "precision": common / len(words) if words else 0.0,
            "recall": common / len(wanted),
        }
        scores.append(float(parts[measure]))
    return max(scores)


def bleu(
    outputs: Any,
    ground_truth: Any,
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    key: str | None = None,
    expected_key: str | None = None,
) -> float:
    """Sentence BLEU of 1- to 4-grams, 0 to 1; a list of references is used together, as BLEU defines it.

    With effective order and exponential smoothing, as the library sacrebleu's `sentence_bleu`, divided by 100. Mean of
    sentences, not corpus BLEU: compare runs with it, not publications. Source: Papineni et al. 2002; Post 2018.
    Undefined (ValueError) without ground truth.
    """
    if tokenize not in BLEU_TOKENIZERS:
        raise ValueError(f"tokenize={tokenize!r} must be one of {', '.join(BLEU_TOKENIZERS)}")
    output, expected = operands(outputs, ground_truth, key, expected_key)
    text, references = text_of("outputs", output), texts_of("ground_truth", expected)
    # Equal texts come out as 100.00000000000004 there.
    return min(float(_bleu(tokenize, lowercase).sentence_score(text, references).score) / 100, 1.0)


@functools.lru_cache(maxsize=16)
def _bleu(tokenize: str, lowercase: bool) -> Any:
    return library("sacrebleu.metrics.bleu").BLEU(tokenize=tokenize, lowercase=lowercase, effective_order=True)
