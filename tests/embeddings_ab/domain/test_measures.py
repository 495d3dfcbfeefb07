"""Names of measures: canonical form, refusals, depth."""

import subprocess
import sys

import pytest

from embeddings_ab.domain.measures import MAX_CUTOFF, Measure, depth_needed, parse_measure, parse_measures
from governance.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("nDCG@10", "nDCG@10"),
        ("ndcg@5", "nDCG@5"),
        ("nDCG-exp@10", "nDCG-exp@10"),
        ("ndcg_exp @ 10", "nDCG-exp@10"),
        ("nDCG'@10", "nDCG'@10"),
        ("nDCG-judged@10", "nDCG'@10"),
        ("R@100", "R@100"),
        ("Recall@100", "R@100"),
        ("recall_cap@7", "R-cap@7"),
        ("Success@1", "Hit@1"),
        ("RR@10", "MRR@10"),
        ("MRR", "MRR"),
        ("MAP", "AP"),
        ("map@50", "AP@50"),
        ("Precision@3", "P@3"),
        ("judged@1000", "Judged@1000"),
        ("P@007", "P@7"),
    ],
)
def test_aliases_and_letter_case_lead_to_one_name(text, canonical):
    assert str(parse_measure(text)) == canonical
    assert parse_measure(canonical) == parse_measure(text)


@pytest.mark.parametrize("text", ["ndgc@10", "", "@10", "nDCG@ten", "R@1.5", "nDCG@-3", "nDCG@10,20", 10])
def test_w14_a_typo_is_refused_and_never_scores(text):
    """The earlier system gave an unknown name 0 everywhere, which read as "no difference"."""
    with pytest.raises(InvalidInput) as refused:
        parse_measure(text, field="primary_metric")
    assert refused.value.details["field"] == "primary_metric"
    assert refused.value.details["value"] == text
    assert "there are nDCG@k" in refused.value.message
    assert "primary_metric" in refused.value.message


def test_a_refusal_guesses_what_was_meant():
    with pytest.raises(InvalidInput, match="did you mean nDCG"):
        parse_measure("ndgc@10")


@pytest.mark.parametrize("text", ["R@0", "R@1001", "R@99999999999999999999"])
def test_a_cutoff_out_of_range_is_refused(text):
    with pytest.raises(InvalidInput, match=f"from 1 to {MAX_CUTOFF}"):
        parse_measure(text)


def test_a_missing_cutoff_is_refused():
    with pytest.raises(InvalidInput, match="nDCG@10, for instance"):
        parse_measure("nDCG")


def test_one_measure_is_not_named_twice():
    assert parse_measures(["AP", "R@10"]) == [Measure("AP"), Measure("R", 10)]
    with pytest.raises(InvalidInput, match="second time"):
        parse_measures(["R@10", "AP", "recall@10"])


def test_depth_is_the_largest_cutoff_and_everything_for_a_whole_list():
    assert depth_needed([]) == 0
    assert depth_needed(parse_measures(["nDCG@10", "R@100"])) == 100
    assert depth_needed(parse_measures(["nDCG@10", "AP"])) == MAX_CUTOFF


def test_names_are_read_without_a_number_library():
    code = "import sys, embeddings_ab.domain.measures; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
