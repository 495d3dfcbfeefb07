"""`hhweb ab import`: what of a folder is sent, what is said, what is refused before anything is sent."""

import gzip
import json

import pytest

from tests.hhweb.ab_cli.serving import Answer, error


def imported(name, version=1, is_new=True, warnings=()):
    summary = {"is_new": is_new, "counts": {}, "warnings": list(warnings)}
    return Answer(201, {"id": "x", "name": name, "version": version, "imported": summary})


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


DOCUMENTS = [{"_id": "d1", "title": "Wings", "text": "lift"}, {"_id": "d2", "text": ""}]
QUERIES = [
    {"_id": "q1", "text": "lift of wings", "metadata": {"kind": "short"}},
    {"_id": "q2", "text": "drag"},
    {"_id": "q3", "text": "heat"},
]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "set"
    (path / "qrels").mkdir(parents=True)
    (path / "corpus.jsonl").write_text(lines(*DOCUMENTS))
    (path / "queries.jsonl").write_text(lines(*QUERIES))
    (path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\n")
    return path


@pytest.fixture
def ready(served):
    served.answer("POST", "/corpora", imported("cran", 3, warnings=["1 documents have no text, for example d2."]))
    served.answer("POST", "/query-sets", imported("cran/test"))
    return served


def test_a_folder_becomes_a_corpus_and_a_query_set(ready, run, folder):
    result = run("import", "cran", folder, "--description", "abstracts")
    assert result.output == (
        "corpus cran@3: 2 documents\n"
        "  beware: 1 documents have no text, for example d2.\n"
        "query set cran/test@1: 3 queries, 1 judged, 1 judgments\n"
    )
    corpus, query_set = ready.asked
    assert corpus.body == {
        "name": "cran",
        "description": "abstracts",
        "documents": [
            {"id": "d1", "title": "Wings", "text": "lift", "metadata": {}},
            {"id": "d2", "title": "", "text": "", "metadata": {}},
        ],
        "source": {"format": "beir", "folder": "set"},
    }
    assert query_set.body["corpus"] == "cran@3"
    assert query_set.body["judgments"] == [{"query_id": "q1", "document_id": "d1", "grade": 2}]
    assert query_set.body["queries"][0] == {"id": "q1", "text": "lift of wings", "metadata": {"kind": "short"}}
    assert len(query_set.body["queries"]) == 3  # queries without a judgment belong to the set


def test_packed_files_are_read_alike(ready, run, folder):
    plain = run("import", "cran", folder).output
    for path in [folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "test.tsv"]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert run("import", "cran", folder).output == plain
    assert ready.asked[0].body == ready.asked[2].body
    assert ready.asked[1].body == ready.asked[3].body


def test_every_split_is_a_query_set_without_the_queries_of_others(ready, run, folder):
    (folder / "qrels" / "dev.tsv").write_text("q2\td1\t1\n")
    run("import", "cran", folder)
    sets = {one.body["name"]: [query["id"] for query in one.body["queries"]] for one in ready.asked[1:]}
    assert sets == {"cran/dev": ["q2", "q3"], "cran/test": ["q1", "q3"]}
    run("import", "cran", folder, "--split", "dev")
    assert [one.body["name"] for one in ready.asked[3:]] == ["cran", "cran/dev"]


def test_same_content_again_is_said(ready, run, folder):
    ready.answer("POST", "/corpora", imported("cran", 3, is_new=False))
    assert "corpus cran@3: 2 documents, there already\n" in run("import", "cran", folder).output


def test_an_unknown_split_is_refused_before_anything_is_sent(ready, run, folder):
    result = run("import", "cran", folder, "--split", "tset")
    assert result.exit_code == 2
    assert "no split 'tset'; it has test" in result.output
    assert ready.asked == []


def test_a_bad_line_is_named_by_file_and_number_and_nothing_is_sent(ready, run, folder):
    (folder / "corpus.jsonl").write_text(lines(*DOCUMENTS) + "{no json\n" + lines(DOCUMENTS[0]))
    result = run("import", "cran", folder)
    assert result.exit_code == 2
    assert "corpus.jsonl, line 3" in result.output
    assert "1 x duplicate document" in result.output
    assert ready.asked == []


def test_one_bad_split_does_not_hold_back_the_others(ready, run, folder):
    (folder / "qrels" / "raw.tsv").write_text("q1\td1\t-1\n")
    result = run("import", "cran", folder)
    assert result.exit_code == 0  # nobody asked for it by name
    assert "left out: raw" in result.output
    assert run("import", "cran", folder, "--split", "raw").exit_code == 1
    assert "query set cran/raw: qrels/raw.tsv, line 1: Field 'grade' is -1" in result.output
    assert "--grade-map" in result.output
    assert [one.body["name"] for one in ready.asked] == ["cran", "cran/test", "cran"]


def test_a_refusal_of_the_server_is_told_for_its_split(ready, run, folder):
    ready.answer("POST", "/query-sets", error(429, "Quota used up."))
    result = run("import", "cran", folder)
    assert result.exit_code == 1
    assert "query set cran/test: Quota used up." in result.output
    ready.answer("POST", "/corpora", error(429, "No room."))
    assert run("import", "cran", folder).exit_code == 2


def test_grades_are_mapped_and_dangling_judgments_left_out_on_request(ready, run, folder):
    (folder / "qrels" / "test.tsv").write_text("q1\td1\t-1\nq2\td1\t1\nq3\tgone\t1\n")
    result = run("import", "cran", folder, "--grade-map=-1=0,1=4", "--drop-dangling")
    assert result.exit_code == 0
    assert "beware: Left out: 1 dangling documents." in result.output
    body = ready.asked[1].body
    assert [row["grade"] for row in body["judgments"]] == [0, 4]
    assert body["source"] == {"format": "beir", "folder": "set", "grade_map": {"-1": 0, "1": 4}}


@pytest.mark.parametrize("text", ["1", "1=x", "1=2,1=3", ""])
def test_a_grade_map_that_says_nothing_clear_is_refused(run, folder, text):
    result = run("import", "cran", folder, f"--grade-map={text}")
    assert result.exit_code == 2
    assert "write every grade once" in result.output


def test_folders_that_are_no_collection_are_refused(run, tmp_path):
    result = run("import", "cran", tmp_path)
    assert result.exit_code == 2
    assert "BEIR's layout" in result.output


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_files_of_documents_queries_and_judgments(ready, run, tmp_path, form):
    rows = {
        "d": [{"id": "d1", "text": "lift, drag", "title": "Wings"}],
        "q": [{"id": "q1", "text": "lift"}],
        "j": [{"query_id": "q1", "document_id": "d1", "grade": 1}],
    }
    for name, found in rows.items():
        if form == "jsonl":
            content = lines(*found)
        else:
            heads = list(found[0])
            content = "".join(",".join(f'"{cell}"' for cell in line) + "\r\n" for line in [heads, found[0].values()])
        (tmp_path / name).write_text(content)
    options = ["--format", form, "--queries", "q", "--judgments", "j", "--split", "mine"]
    assert run("import", "cran", "d", *options).exit_code == 0
    assert ready.asked[0].body["documents"][0] | {"metadata": {}} == rows["d"][0] | {"metadata": {}}
    assert ready.asked[1].body["name"] == "cran/mine"
    assert ready.asked[1].body["judgments"] == rows["j"]
    assert run("import", "cran", "d", "--format", form).exit_code == 0
    assert len(ready.asked) == 3
    assert run("import", "cran", "d", "--format", form, "--queries", "q").exit_code == 0
    assert ready.asked[4].body["judgments"] == []


def test_topics_and_qrels_belong_to_a_corpus_that_is_there(ready, run, tmp_path):
    (tmp_path / "topics").write_text("q1\tlift of wings\n")
    (tmp_path / "qrels").write_text("q1 0 d9 1\n")
    result = run("import", "cran@2", "topics", "--format", "trec", "--judgments", "qrels")
    assert result.exit_code == 0
    (asked,) = ready.asked
    assert (asked.body["name"], asked.body["corpus"]) == ("cran/test", "cran@2")
    assert asked.body["judgments"] == [{"query_id": "q1", "document_id": "d9", "grade": 1}]


def test_a_run_becomes_an_arm_for_its_query_set(ready, run, tmp_path):
    (tmp_path / "my.run").write_text("q1 Q0 d2 1 0.5 x\nq1 Q0 d1 2 0.25 x\n")
    ready.answer("POST", "/runs", imported("mine", warnings=["Short."]))
    result = run("import", "mine", "my.run", "--format", "run", "--query-set", "cran/test")
    assert result.output == "run mine: 2 documents for 1 queries of cran/test\n  beware: Short.\n"
    assert ready.asked[0].body == {
        "name": "mine",
        "query_set": "cran/test",
        "rankings": {"q1": [{"document_id": "d2", "score": 0.5}, {"document_id": "d1", "score": 0.25}]},
    }
    (tmp_path / "my.run").write_text("q1 d2\n")
    assert run("import", "mine", "my.run", "--format", "run", "--query-set", "s").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "beir", "--queries", "f"], "--queries does not go"),
        (["--format", "csv", "--query-set", "s"], "--query-set does not go"),
        (["--format", "jsonl", "--judgments", "f"], "needs --queries"),
        (["--format", "trec"], "needs --judgments"),
        (["--format", "trec", "--judgments", "f", "--queries", "f"], "--queries does not go"),
        (["--format", "run"], "needs --query-set"),
        (["--format", "run", "--query-set", "s", "--judgments", "f"], "--judgments does not go"),
        (["--format", "trec", "--judgments", "f", "--split", "a", "--split", "b"], "only format beir has several"),
    ],
)
def test_options_that_do_not_go_together_are_refused(ready, run, tmp_path, arguments, said):
    (tmp_path / "f").write_text("")
    result = run("import", "cran", "f", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert ready.asked == []
