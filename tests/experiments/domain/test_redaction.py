"""Secrets that the other side repeats."""

import json

from experiments.domain.redaction import Redaction

SECRET = 'sk-"quoted"/1234567890'


def test_secrets_are_taken_out_as_they_stand_and_as_json_or_urls_write_them() -> None:
    redaction = Redaction([SECRET])
    body = json.dumps({"headers": {"authorization": f"Bearer {SECRET}"}, "text": SECRET * 2}).encode()
    clean = json.loads(redaction.of_bytes(body))
    assert clean == {"headers": {"authorization": "Bearer [secret]"}, "text": "[secret][secret]"}
    assert redaction.of_bytes(b"?k=sk-%22quoted%22/1234567890") == b"?k=[secret]"
    assert redaction.of_bytes(b"nothing of it") == b"nothing of it"


def test_a_secret_that_the_cut_divided_is_taken_out() -> None:
    redaction = Redaction(["abcdefghijkl"])
    assert redaction.of_start("wrong key abcdefgh") == "wrong key [secret]"
    assert redaction.of_start("abcdefghijkl abcde") == "[secret] abcde"


def test_short_secrets_do_not_garble_texts() -> None:
    assert Redaction(["a", ""]).of_bytes(b"banana") == b"banana"
    assert "abcdefghijkl" not in repr(Redaction(["abcdefghijkl"]))
