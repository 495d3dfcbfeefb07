"""What differs between two outputs: pieces that give both texts back, bounds on work and answer, JSON by keys."""

import time

from hypothesis import given
from hypothesis import strategies as st

from experiments.domain import text_diff
from experiments.domain.text_diff import by_text, difference


def ops(found):
    return [(change.op, change.old, change.new) for change in found.changes]


def test_words_that_differ_stand_between_words_that_do_not():
    found = difference("The capital is Lyon.", "The capital is Paris.")
    assert (found.unit, found.is_truncated) == ("words", False)
    assert ops(found) == [
        ("equal", "The capital is ", "The capital is "),
        ("replace", "Lyon", "Paris"),
        ("equal", ".", "."),
    ]
    assert found.similarity == 2 * 7 / 16


def test_an_object_that_holds_one_text_is_that_text():
    assert difference({"result": "a b"}, "a c").unit == "words"
    assert difference({"result": "a"}, {"result": "a"}).similarity == 1.0
    assert ops(difference(None, {"result": "new"})) == [("insert", "", "new")]


@given(st.text(alphabet="ab \n.é", max_size=60), st.text(alphabet="ab \n.é", max_size=60))
def test_the_pieces_of_words_give_both_texts_back(old, new):
    found = by_text(old, new)
    assert "".join(change.old for change in found.changes) == old
    assert "".join(change.new for change in found.changes) == new
    assert (found.similarity == 1.0) is (old == new)


def test_long_texts_are_compared_by_line_and_equal_lines_are_skipped():
    lines = [f"line {number} of the text\n" for number in range(1_000)]
    changed = [*lines[:500], "another\n", *lines[501:]]
    found = difference("".join(lines), "".join(changed))
    assert found.unit == "lines"
    assert [change.op for change in found.changes] == ["equal", "skip", "equal", "replace", "equal", "skip", "equal"]
    assert [change.count for change in found.changes if change.op == "skip"] == [494, 493]
    assert found.changes[3].new == "another\n"


def test_the_first_two_hundred_changes_are_shown():
    old = "\n".join(f"{number} {'x' * 90}" for number in range(600))
    new = "\n".join(f"{number if number % 2 else 'z'} {'x' * 90}" for number in range(600))
    found = difference(old, new)
    assert found.is_truncated
    assert sum(change.op in ("replace", "insert", "delete") for change in found.changes) == 200
    assert found.changes[-1].op == "replace"


def test_work_is_bounded_for_texts_made_to_be_slow():
    signs = [chr(0x2190 + number) for number in range(97)]
    old = "".join(signs[number * number % 97] for number in range(7_900))
    new = "".join(signs[number * number * number % 97] for number in range(7_900))
    start = time.process_time()
    assert difference(old, new).unit == "words"
    assert difference("word " * 100_000, "other " * 90_000).is_truncated
    assert time.process_time() - start < 10


def test_json_is_compared_by_keys():
    old = {"answer": "it is red", "sources": [1, 2], "sure": True, "same": {"a": 1}}
    new = {"answer": "it is blue", "sources": [1], "sure": 1, "same": {"a": 1.0}, "more": None}
    found = difference(old, new)
    assert found.unit == "keys"
    assert [(change.op, change.key, change.old, change.new) for change in found.changes] == [
        ("replace", "answer", "it is red", "it is blue"),
        ("insert", "more", "", "null"),
        ("delete", "sources[1]", "2", ""),
        ("replace", "sure", "true", "1"),
    ]
    assert [part.op for part in found.changes[0].parts] == ["equal", "replace"]
    assert found.to_json()["changes"][1] == {"op": "insert", "old": "", "new": "null", "key": "more"}


def test_the_tenth_item_comes_after_the_second_and_keys_are_bounded():
    found = difference([0] * 11, [1] * 11)
    assert [change.key for change in found.changes] == [f"[{number}]" for number in range(11)]
    many = difference(list(range(6_000)), list(range(1, 6_001)))
    assert many.is_truncated
    assert len(many.changes) == text_diff.MOST_CHANGES


def test_json_deeper_than_is_looked_at_is_compared_as_a_whole():
    old = new = 1
    for _ in range(40):
        old, new = [old], [new]
    other: object = 2
    for _ in range(40):
        other = [other]
    assert difference(old, new).similarity == 1.0
    assert len(difference(old, other).changes) == 1
