"""The report for stakeholders: complete, escaped, alone in the world, and the same bytes for the same test."""

import copy
import datetime as dt
import html.parser
import re
from typing import Any

import pytest

from embeddings_ab.domain import html_report
from embeddings_ab.domain.html_report_parts import p_value

CREATED = dt.datetime(2026, 11, 21, 12, 30, tzinfo=dt.UTC)
HASH = "ab" * 32
VOID = {"meta", "br", "img", "line", "rect", "circle", "polygon"}


def figure(mean: float | None, spread: float = 0.04, **more: Any) -> dict[str, Any]:
    low, high = (None, None) if mean is None else (mean - spread, mean + spread)
    lowest, highest = (None, None) if mean is None else (mean, min(1.0, mean + 0.2))
    return {"mean": mean, "low": low, "high": high, "n": 225, "undefined": 0} | {
        "lowest": lowest,
        "highest": highest,
        **more,
    }


def comparison(arm: str, difference: float, verdict: str, **more: Any) -> dict[str, Any]:
    row = {
        "arm": arm,
        "control": "bm25",
        "metric": "nDCG@10",
        "role": "primary",
        "difference": difference,
        "interval_low": difference - 0.02,
        "interval_high": difference + 0.02,
        "p": 0.0004,
        "adjusted_p": 0.0012,
        "correction": "Holm",
        "wins": 107,
        "ties": 30,
        "losses": 88,
        "n_common": 225,
        "verdict": verdict,
        "sentence": f"{arm} is {verdict} than bm25 on nDCG@10.",
        "warnings": [],
    }
    return row | more


def full_report() -> dict[str, Any]:
    arms = {
        "bm25": {
            "status": "completed",
            "queries_failed": 0,
            "metrics": {"nDCG@10": figure(0.369), "R@100": figure(0.709), "Judged@10": figure(0.62)},
        },
        "minilm": {
            "status": "completed",
            "queries_failed": 0,
            "metrics": {"nDCG@10": figure(0.4), "R@100": figure(0.772), "Judged@10": figure(0.59)},
        },
        "convex": {
            "status": "incomplete",
            "queries_failed": 2,
            "metrics": {"nDCG@10": figure(0.433), "R@100": figure(None), "Judged@10": figure(0.61)},
        },
    }
    return {
        "schema": 1,
        "test": {
            "name": "cranfield-first",
            "registration_hash": "cd" * 32,
            "primary_metric": "nDCG@10",
            "control": "bm25",
            "alpha": 0.05,
            "margin": 0.02,
            "seed": 20260101,
            "draws": 100_000,
            "corpus": {"name": "cranfield", "version": 1, "content_hash": "11" * 32, "documents": 1400},
            "query_set": {
                "name": "cranfield/test",
                "version": 2,
                "content_hash": "22" * 32,
                "queries": 225,
                "judged_queries": 225,
                "judgments": 1837,
            },
        },
        "arms": arms,
        "comparisons": [
            comparison("minilm", 0.031, "better"),
            comparison(
                "convex",
                0.01,
                "undecided",
                sentence="undecided: about 310 more queries would be needed.",
                warnings=["Two queries failed."],
            ),
            comparison("minilm", -0.05, "worse", metric="R@100", role="exploratory", correction="Benjamini-Hochberg"),
        ],
        "all_pairs": [{"a": "bm25", "b": "minilm", "metric": "nDCG@10", "p": 0.0421}],
        "agreement": [{"a": "bm25", "b": "minilm", "rbo": 0.4567, "jaccard": 0.321, "k": 10}],
        "slices": [
            {
                "key": "kind",
                "slice_label": "short",
                "arm": "minilm",
                "n_common": 12,
                "difference": -0.03,
                "p": 0.2,
                "adjusted_p": 0.4,
                "verdict": "undecided",
                "warnings": ["Only 12 queries."],
            }
        ],
        "losses": {"minilm": {"lost_queries": 88, "stages": {"not_in_candidates": 31, "fused_out": 0, "elsewhere": 2}}},
        "warnings": ["38 % of the top 10 are unjudged."],
    }


def full_arms() -> list[dict[str, Any]]:
    percentiles = {"p50": 15.2, "p95": 22.0, "p99": 1840.0}
    return [
        {
            "name": "bm25",
            "spec": {"retrieval": "lexical"},
            "latency": {
                "sample": 200,
                "search": {"p50": 0.4, "p95": 0.9, "p99": 1.2},
                "total": {"p50": 0.5, "p95": 1.0, "p99": 1.3},
            },
            "stats": {
                "documents": 1400,
                "chunks": 1400,
                "bytes": 900_000,
                "build_seconds": 1.2,
                "cost": "0.00420000",
                "currency": "USD",
            },
        },
        {
            "name": "minilm",
            "spec": {"retrieval": "vector", "provider": "minilm"},
            "latency": {
                "sample": 200,
                "embed": percentiles,
                "search": {"p50": 0.2, "p95": 0.3, "p99": 0.4},
                "total": percentiles,
                "embed_measured_at": "2026-11-20T10:00:00Z",
            },
            "stats": {
                "documents": 1400,
                "chunks": 1400,
                "tokens": 310_000,
                "dimensions": 384,
                "provider": "minilm",
                "model": "all-MiniLM-L6-v2",
                "revision": "0.1.0+5ca1ab1e",
                "embedded": 150,
                "cache_hits": 1250,
                "build_seconds": 84.0,
                "bytes": 2_150_400,
                "cost": None,
            },
        },
        {"name": "convex", "spec": {"retrieval": "hybrid"}, "latency": {}, "stats": {}},
    ]


def render(report: dict[str, Any] | None = None, arms: list[dict[str, Any]] | None = None) -> str:
    return html_report.render(
        report or full_report(), full_arms() if arms is None else arms, report_hash=HASH, created=CREATED, test_id="t1"
    )


class Outline(html.parser.HTMLParser):
    """Checks nesting; collects headings, text, and every attribute that could reach out."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] in (["h1"], ["h2"]):
            self.headings.append(data)
        if "style" not in self.open:
            self.text.append(data)


def outline(document: str) -> Outline:
    found = Outline()
    found.feed(document)
    found.close()
    assert found.open == []
    return found


def test_sections_stand_in_order_of_the_decision():
    assert outline(render()).headings == [
        "cranfield-first",
        "How sure: nDCG@10",
        "Measures",
        "What unjudged documents could change",
        "Where relevant documents were lost",
        "Slices",
        "Other measures against the control",
        "All pairs",
        "Agreement of rankings",
        "Latency",
        "Cost and build",
        "Settings of the arms",
        "Registration",
    ]


def test_verdict_sentences_come_before_any_table():
    document = render()
    assert "convex: undecided: about 310 more queries would be needed." in document
    assert document.index("minilm is better than bm25 on nDCG@10.") < document.index("<table")
    assert '<span class="chip better">▲ better</span>' in document
    assert '<span class="chip undecided">○ undecided</span>' in document
    assert '<span class="chip worse">▼ worse</span>' in document


def test_every_number_stands_with_its_interval_and_undefined_is_a_dash():
    text = "".join(outline(render()).text)
    assert "0.400 [0.360, 0.440]" in text
    assert "+0.031 [+0.011, +0.051]" in text
    assert "107 / 30 / 88" in text
    assert "<0.001" in text
    assert "no price" in text
    assert "0.000" not in text
    assert "15 ms / 22 ms / 1.84 s" in text
    assert "0.4 ms / 0.9 ms" in text
    assert "0.4 ms / 0.9 ms / 1.2 ms" not in text
    assert "0.0042 USD" in text
    assert "first, uncached call (2026-11-20)" in text
    row = re.search(r'<tr><th scope="row">convex</th>.*?</tr>', render().partition("<h2>Measures</h2>")[2])
    assert row is not None
    assert "–" in row[0]


def test_bounds_show_what_unjudged_documents_could_change():
    section = render().partition("What unjudged documents could change")[2].partition("</section>")[0]
    assert "0.369</td>" in section
    assert "0.569</td>" in section
    assert "Judged@10 0.620" in section


def test_hashes_and_seed_are_printed():
    document = render()
    assert HASH in document
    assert "cd" * 32 in document
    assert "20260101" in document
    assert "2026-11-21 12:30:00 UTC" in document


def test_warnings_name_incomplete_arms_and_come_once():
    text = "".join(outline(render()).text)
    assert "Arm convex is incomplete: 2 queries failed" in text
    assert text.count("38 % of the top 10 are unjudged.") == 1
    assert "convex: Two queries failed." in text


def test_an_unknown_stage_of_a_loss_is_shown_and_an_empty_one_is_not():
    section = render().partition("Where relevant documents were lost")[2].partition("</section>")[0]
    assert "elsewhere" in section
    assert "not among the candidates" in section
    assert "fused out" not in section


def test_the_file_needs_nothing_from_outside():
    document = render()
    found = outline(document)
    assert not found.tags & {"script", "link", "img", "iframe", "object", "form", "a"}
    assert not found.attributes & {"src", "href", "style", "action", "onclick", "onload"}
    assert "url(" not in document
    assert "@import" not in document
    assert not re.search(r"https?:", document)


def test_the_policy_allows_exactly_this_style_sheet():
    import base64
    import hashlib

    document = render()
    inline = re.search(r"<style>(.*?)</style>", document, re.S)
    assert inline is not None
    digest = base64.b64encode(hashlib.sha256(inline[1].encode()).digest()).decode()
    assert html_report.content_security_policy() == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "default-src &#x27;none&#x27;" in document


def hostile(value: Any) -> Any:
    """The same structure, with markup in every text that a person may choose."""
    bad = '<script>alert("1")</script>&amp;\'x'
    if isinstance(value, dict):
        chosen = {"name", "sentence", "correction", "slice_label", "model", "provider", "revision", "currency"}
        return {key: bad if key in chosen and isinstance(item, str) else hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [bad if isinstance(item, str) else hostile(item) for item in value]
    return value


def test_markup_in_names_and_texts_stays_text():
    report = hostile(full_report())
    bad = "<b onload=x>"
    report["test"] |= {"name": bad, "control": bad, "primary_metric": bad, "registration_hash": bad}
    report["arms"] = {bad + name: arm for name, arm in report["arms"].items()}
    for row in report["comparisons"]:
        row |= {"arm": bad, "control": bad, "metric": bad, "verdict": bad}
    report["all_pairs"][0] |= {"a": bad, "metric": bad}
    report["agreement"][0] |= {"b": bad, "k": bad}
    report["slices"][0] |= {"key": bad, "arm": bad, "verdict": bad}
    report["losses"] = {bad: {"lost_queries": 1, "stages": {bad: 1}}}
    arms = hostile(full_arms())
    arms[0] |= {"name": bad, "spec": {"model": bad}}
    arms[1]["latency"]["embed_measured_at"] = bad
    document = html_report.render(report, arms, report_hash=bad, created=None, test_id=bad)
    found = outline(document)
    assert "script" not in found.tags
    assert "b" not in {tag for tag in found.tags if "onload" in found.attributes}
    assert "onload" not in found.attributes
    assert "<script" not in document
    assert bad in found.text


def test_one_arm_without_judgments_makes_a_short_report():
    report = full_report()
    for name in ("comparisons", "all_pairs", "agreement", "slices", "warnings"):
        report[name] = []
    report["losses"] = {}
    report["arms"] = {
        "bm25": {
            "status": "completed",
            "queries_failed": 0,
            "metrics": {"nDCG@10": {"mean": None, "low": None, "high": None, "n": 0}},
        }
    }
    document = render(report, [])
    assert outline(document).headings == ["cranfield-first", "Measures", "Registration"]
    assert "Nothing was compared: bm25 is the only arm." in document
    report["test"]["control"] = ""
    assert "One arm only." in render(report, [])


def test_how_much_is_judged_is_no_contest():
    report = full_report()
    report["comparisons"].append(comparison("minilm", 0.04, "better", metric="Judged@10", role="exploratory"))
    section = render(report).partition("Other measures against the control")[2].partition("</section>")[0]
    assert "R@100" in section
    assert "Judged@10" not in section


def test_the_same_test_gives_the_same_bytes():
    assert render(copy.deepcopy(full_report())) == render()


@pytest.mark.parametrize(
    ("p", "text"), [(None, "–"), (0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (1.0, "1.000")]
)
def test_p_values_never_read_zero(p, text):
    assert p_value(p) == text
