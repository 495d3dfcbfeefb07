"""The ledger of an import."""

from pathlib import Path

from experiments.sdk.importers.ledger import READ, REFUSED, SENT, STORED, Ledger


def test_things_are_noted_once_with_their_states():
    with Ledger() as ledger:
        assert ledger.add("runs", "r", "theirs", expected="completed")
        assert not ledger.add("runs", "r", "another")
        assert ledger.add("events", "r", "another kind")
        assert (ledger.state_of("runs", "r"), ledger.source_of("runs", "r")) == (READ, "theirs")
        assert (ledger.expected("runs", "r"), ledger.expected("events", "r")) == ("completed", None)
        ledger.mark("runs", ["r"], REFUSED, "because")
        assert list(ledger.things("runs", REFUSED)) == [("r", "theirs", "because", None)]
        ledger.place("runs", "r", "there")
        assert ledger.place_of("runs", "r") == "there"
        assert (ledger.place_of("runs", "x"), ledger.state_of("runs", "x"), ledger.source_of("runs", "x")) == (
            None,
        ) * 3


def test_long_lists_come_whole_while_they_are_changed():
    with Ledger() as ledger:
        for number in range(1200):
            ledger.add("events", f"{number:05d}", "")
        ledger.mark("events", [f"{number:05d}" for number in range(1200)], SENT)
        seen = []
        for key, _, _, _ in ledger.things("events", SENT):
            seen.append(key)
            ledger.mark("events", [key], STORED)
        assert seen == [f"{number:05d}" for number in range(1200)]
        assert (ledger.count("events"), ledger.count("events", SENT), ledger.count("events", SENT, STORED)) == (
            1200,
            0,
            1200,
        )


def test_its_file_is_gone_when_it_is_closed():
    with Ledger() as ledger:
        path: Path = ledger._path
        assert path.exists()
    assert not path.exists()
