"""`hhweb datasets`: pushing is safe to repeat, pulling gives what was pushed."""

import json
import uuid

import pytest

pytestmark = pytest.mark.process

NESTED = [
    {"inputs": {"question": "2 + 2"}, "ground_truth": {"answer": 4}},
    {"inputs": {"question": "capital of France"}, "ground_truth": {"answer": "Paris"}, "metadata": {"level": 1}},
    {"inputs": {"question": "say it"}, "history": [{"role": "user", "content": "hello"}]},
]


@pytest.fixture
def name():
    return f"questions {uuid.uuid4()}"


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_pushing_twice_stores_every_row_once(document, run, alone, name):
    file = write(alone / "rows.jsonl", NESTED)

    first = document("datasets", "push", file, "--name", name)
    again = document("datasets", "push", file, "--name", name)

    assert (first["created"], first["added"], first["rows"]) == (True, 3, 3)
    assert again == {**first, "created": False, "added": 0}
    assert "has these 3 rows" in run("datasets", "push", file, "--name", name).stdout
    listed = document("datasets", "list")["datasets"]
    assert [(row["id"], row["rows"]) for row in listed if row["name"] == name] == [(first["dataset_id"], 3)]


def test_a_push_goes_on_behind_the_rows_that_are_there(run, document, alone, name):
    first = run("datasets", "push", write(alone / "rows.jsonl", NESTED[:1]), "--name", name)

    result = run("datasets", "push", write(alone / "rows.jsonl", NESTED), "--name", name)

    assert first.stdout.startswith(f"Created dataset {name} (")
    assert "Added 2 rows" in result.stdout
    assert "1 were there" in result.stdout
    assert json.loads(run("datasets", "pull", name, "--format", "json").stdout) == NESTED


def test_other_rows_are_left_alone_unless_they_shall_be_replaced(run, document, alone, name):
    document("datasets", "push", write(alone / "rows.jsonl", NESTED), "--name", name)
    other = write(alone / "other.jsonl", [{"inputs": {"question": "other"}}])

    refused = run("datasets", "push", other, "--name", name)

    assert refused.exit_code == 2
    assert "holds 3 rows that other.jsonl has not; nothing was sent" in refused.stderr
    assert "--replace" in refused.stderr
    result = run("datasets", "push", other, "--name", name, "--replace")
    assert "Replaced the rows" in result.stdout
    assert json.loads(run("datasets", "pull", name).stdout) == {"inputs": {"question": "other"}}


def test_a_name_that_is_input_here_and_truth_there_keeps_both_places(run, document, alone, name):
    rows = [{"inputs": {"text": "a", "lang": "de"}, "ground_truth": {"text": "b"}}, {"inputs": {"text": "c"}}]

    document("datasets", "push", write(alone / "rows.jsonl", rows), "--name", name)

    assert json.loads(run("datasets", "pull", name, "--format", "json").stdout) == rows


def test_columns_are_chosen_by_name_and_the_rest_is_metadata(run, document, alone, name):
    (alone / "rows.csv").write_text("question,answer,source\n2 + 2,4,book\n", encoding="utf-8")

    document("datasets", "push", "rows.csv", "--name", name, "--inputs", "question", "--ground-truth", "answer")

    row = {"inputs": {"question": "2 + 2"}, "ground_truth": {"answer": "4"}, "metadata": {"source": "book"}}
    assert json.loads(run("datasets", "pull", name).stdout) == row


def test_flat_rows_are_inputs_as_evaluate_reads_them(run, document, alone, name):
    rows = [{"id": "q1", "question": "2 + 2", "ground_truth": 4}]

    document("datasets", "push", write(alone / "rows.jsonl", rows), "--name", name)

    pulled = json.loads(run("datasets", "pull", name).stdout)
    assert pulled == {"inputs": {"question": "2 + 2"}, "ground_truth": {"ground_truth": 4}, "metadata": {"id": "q1"}}


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([{"inputs": "text"}], [], "Row 1: inputs is 'text'"),
        ([{"inputs": {}}, {"inputs": {}, "history": "hello"}], [], "Row 2: history is 'hello'"),
        ([{"question": "a"}], ["--inputs", "query"], "Row 1 has no 'query'; it has question."),
    ],
)
def test_a_row_that_does_not_fit_is_named_and_nothing_is_sent(run, document, alone, name, rows, options, said):
    result = run("datasets", "push", write(alone / "rows.jsonl", rows), "--name", name, *options)

    assert result.exit_code == 2
    assert said in result.stderr
    assert name not in [row["name"] for row in document("datasets", "list")["datasets"]]


@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_a_pulled_file_is_pushed_without_a_change(run, document, alone, name, form):
    rows = [{"inputs": {"question": "2 + 2", "hint": None}, "ground_truth": {"answer": "4"}}]
    rows[0]["metadata"] = {"level": "a,b\nc"}
    document("datasets", "push", write(alone / "rows.jsonl", rows), "--name", name)

    told = document("datasets", "pull", name, "-o", f"pulled.{form}")

    assert (told["rows"], told["format"]) == (1, form)
    assert told["bytes"] == (alone / f"pulled.{form}").stat().st_size
    assert document("datasets", "push", f"pulled.{form}", "--name", name)["added"] == 0


def test_a_csv_says_what_it_has_no_place_for(run, document, alone, name):
    document("datasets", "push", write(alone / "rows.jsonl", NESTED), "--name", name)

    result = run("datasets", "pull", name, "--format", "csv")

    assert result.stdout.splitlines() == [
        "inputs.question,ground_truth.answer,metadata.level",
        "2 + 2,4,",
        "capital of France,Paris,1",
        "say it,,",
    ]
    assert "no place for chat histories" in result.stderr


def test_a_dataset_is_pulled_by_its_id_and_as_the_one_document_of_standard_output(document, alone, name):
    pushed = document("datasets", "push", write(alone / "rows.jsonl", NESTED), "--name", name)

    assert document("datasets", "pull", pushed["dataset_id"]) == NESTED


def test_an_unknown_dataset_is_refused_with_the_way_to_find_it(run):
    result = run("datasets", "pull", "no such thing")

    assert result.exit_code == 2
    assert "There is no dataset 'no such thing'. `hhweb datasets list`" in result.stderr


def test_a_large_dataset_goes_in_pieces_and_keeps_its_order(document, alone, name):
    rows = [{"inputs": {"n": number}} for number in range(1201)]
    file = write(alone / "rows.jsonl", rows)

    document("datasets", "push", file, "--name", name)

    assert document("datasets", "pull", name) == rows


def test_numbers_that_json_writes_in_two_ways_are_the_same_row(document, alone, name):
    file = write(alone / "rows.jsonl", [{"inputs": {"n": [1.0, 2, 0.5, float("nan"), 2**60, -0.0, 1e20]}}])

    document("datasets", "push", file, "--name", name)

    assert document("datasets", "push", file, "--name", name)["added"] == 0


def test_the_list_is_a_table_for_people(run, document, alone, name):
    document("datasets", "push", write(alone / "rows.jsonl", NESTED), "--name", name)

    shown = run("datasets", "list").stdout

    assert next(line for line in shown.splitlines() if name in line).split(name)[1].split()[0] == "3"
