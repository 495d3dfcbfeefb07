"""The audit trail: ordered under concurrency, refused to change by the database, tampering found by a walk."""

import datetime as dt
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from governance.models import AuditChain, AuditEntry, AuditVerification
from governance.selectors.audit import missing_triggers
from governance.services import audit
from governance.services.audit_verification import verify_chain
from governance.services.projects import system_caller
from tests.audit_flush import without_audit_triggers
from tests.governance.threads import at_once


def write(caller, number: int = 0, **extra):
    with transaction.atomic():
        return audit.record(caller=caller, action="test.write", target_kind="thing", target_id=str(number), **extra)


@pytest.fixture
def chain(caller) -> str:
    """A chain of five entries: the project's creation and four more."""
    for number in range(4):
        write(caller, number, before={"n": number}, after={"n": number + 1})
    return caller.project_public_id


def tamper(chain: str, sequence: int, **fields) -> None:
    with without_audit_triggers():
        AuditEntry.objects.filter(chain=chain, sequence=sequence).update(**fields)


def remove(chain: str, *sequences: int) -> None:
    with without_audit_triggers():
        AuditEntry.objects.filter(chain=chain, sequence__in=sequences).delete()


def test_entries_are_numbered_and_chained(chain):
    entries = list(AuditEntry.objects.filter(chain=chain).order_by("sequence"))
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous_hash == "0" * 64
    assert [entry.previous_hash for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    head = AuditChain.objects.get(name=chain)
    assert (head.last_sequence, head.last_hash) == (5, entries[-1].hash)


def test_without_a_caller_the_installations_chain_grows(db):
    entry = write(None)
    assert (entry.chain, entry.sequence, entry.actor_kind, entry.actor_label) == ("installation", 1, "system", "system")


@pytest.mark.django_db(transaction=True)
def test_recording_outside_a_transaction_is_a_mistake(caller):
    with pytest.raises(RuntimeError, match="transaction"):
        audit.record(caller=caller, action="a", target_kind="t", target_id="1")
    assert AuditEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_make_one_unbroken_chain(caller):
    results = at_once(20, lambda number: write(caller, number).sequence)
    assert sorted(results) == list(range(2, 22))
    assert verify_chain(chain=caller.project_public_id).holds


@pytest.mark.django_db(transaction=True)
def test_the_first_entries_of_a_chain_may_be_written_at_once():
    results = at_once(8, lambda number: write(None, number).sequence)
    assert sorted(results) == list(range(1, 9))
    assert verify_chain(chain="installation").holds


@pytest.mark.parametrize(
    "value",
    [
        {"float": 1e22, "int": 10**22, "small": 1e-7, "round": 1000.0, "negative": -0.0, "deep": [{"b": 1, "a": None}]},
        {"text": "nul \x00 and – dash", "quotes": '"\\u0000"', "true": True},
        {},
    ],
)
def test_a_hash_is_the_same_after_the_database_had_the_values(caller, value):
    entry = write(caller, after=value, before=value, target_label="a\x00b")
    entry.refresh_from_db()
    assert audit.entry_hash(entry) == entry.hash
    assert verify_chain(chain=caller.project_public_id).holds


def test_numbers_and_texts_have_different_hashes(caller):
    entry = write(caller, after={"n": 5})
    number = audit.entry_hash(entry)
    entry.after = {"n": "5"}
    text = audit.entry_hash(entry)
    entry.after = {"n": "number 5"}
    assert len({number, text, audit.entry_hash(entry)}) == 3


def test_what_clients_choose_is_shortened(caller):
    entry = write(replace(caller, request_id="r" * 300, address="a" * 300, actor_id="i" * 300))
    entry.refresh_from_db()
    assert (len(entry.request_id), len(entry.address), len(entry.actor_id)) == (64, 64, 64)


def refused(statement: str, *parameters) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def test_the_database_refuses_to_change_or_remove_entries(chain):
    table = "governance_auditentry"
    refused(f"UPDATE {table} SET action = 'x' WHERE chain = %s AND sequence = 2", chain)
    refused(f"DELETE FROM {table} WHERE chain = %s AND sequence = 5", chain)
    if connection.vendor == "postgresql":
        refused(f"TRUNCATE {table}")
        refused(f"TRUNCATE {table} CASCADE")
    entry = AuditEntry.objects.get(chain=chain, sequence=2)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(chain=chain).update(action="x")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entry.delete()
    entry = AuditEntry(pk=entry.pk, chain=chain, sequence=2, at=entry.at, action="x")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        entry.save()
    assert AuditEntry.objects.filter(chain=chain).exclude(action="x").count() == 5


def test_the_triggers_are_there_after_all_migrations(db):
    assert missing_triggers() == []


def test_a_removed_trigger_is_noticed(db):
    with without_audit_triggers():
        assert len(missing_triggers()) == 2
        with pytest.raises(CommandError, match="Trigger governance_auditentry_no_"):
            call_command("verify_audit")


@pytest.mark.parametrize("batch", [1, 2, 5, 1000])
def test_an_untouched_chain_holds_with_any_batch(chain, batch):
    told = []
    verdict = verify_chain(chain=chain, batch=batch, on_batch=told.append)
    assert (verdict.holds, verdict.checked_through, verdict.message) == (True, 5, "5 entries hold")
    assert told[-1] == 5
    assert len(told) == -(-5 // batch)


@pytest.mark.parametrize("batch", [2, 1000])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "other"),
        ("actor_label", "somebody else"),
        ("after", {"n": 99}),
        ("before", None),
        ("at", dt.datetime(2020, 1, 1, tzinfo=dt.UTC)),
        ("target_id", "other"),
        ("hash", "f" * 64),
    ],
)
def test_a_changed_entry_is_found(chain, field, value, batch):
    tamper(chain, 3, **{field: value})
    verdict = verify_chain(chain=chain, batch=batch)
    assert (verdict.first_bad_sequence, verdict.checked_through) == (3, 2)
    assert "entry 3 was changed" in verdict.message


def test_an_entry_rewritten_with_a_fitting_hash_breaks_its_successor(chain):
    entry = AuditEntry.objects.get(chain=chain, sequence=3)
    entry.action = "other"
    tamper(chain, 3, action="other", hash=audit.entry_hash(entry))
    verdict = verify_chain(chain=chain)
    assert verdict.first_bad_sequence == 4
    assert "entry 4 does not follow from entry 3" in verdict.message


def test_the_last_entry_rewritten_with_a_fitting_hash_does_not_fit_the_head(chain):
    entry = AuditEntry.objects.get(chain=chain, sequence=5)
    entry.action = "other"
    tamper(chain, 5, action="other", hash=audit.entry_hash(entry))
    assert verify_chain(chain=chain).first_bad_sequence == 5


def test_a_removed_entry_is_found(chain):
    remove(chain, 2, 3)
    verdict = verify_chain(chain=chain)
    assert verdict.first_bad_sequence == 2
    assert "entries 2 to 3 are missing" in verdict.message


def test_a_removed_tail_is_found(chain):
    remove(chain, 4, 5)
    verdict = verify_chain(chain=chain)
    assert verdict.first_bad_sequence == 4
    assert "the tail was removed" in verdict.message


def test_a_removed_tail_with_a_turned_back_head_sequence_is_found(chain):
    remove(chain, 5)
    AuditChain.objects.filter(name=chain).update(last_sequence=4)
    assert verify_chain(chain=chain).first_bad_sequence == 4


def test_an_entry_beyond_the_head_is_found(chain):
    entry = AuditEntry.objects.get(chain=chain, sequence=5)
    entry.pk, entry.sequence = None, 6
    entry.save(force_insert=True)
    verdict = verify_chain(chain=chain)
    assert verdict.first_bad_sequence == 6
    assert "beyond the head" in verdict.message


def test_entries_without_a_head_are_found(chain):
    AuditChain.objects.filter(name=chain).delete()
    assert verify_chain(chain=chain).first_bad_sequence == 1


def test_an_empty_chain_holds(db):
    assert verify_chain(chain="nothing").holds


def test_the_command_verifies_all_chains(chain, capsys):
    write(None)
    call_command("verify_audit")
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        [f"{chain}: 5 entries hold", "installation: 1 entries hold"]
    )


def test_the_command_names_the_first_bad_entry_and_fails(chain):
    tamper(chain, 3, action="other")
    with pytest.raises(CommandError, match="first bad entry 3") as refusal:
        call_command("verify_audit", chain)
    assert refusal.value.returncode == 1
    assert AuditVerification.objects.count() == 0


def test_the_command_refuses_an_unknown_chain(db):
    with pytest.raises(CommandError, match="no audit chain nobody"):
        call_command("verify_audit", "nobody")


def test_one_entry_costs_a_constant_number_of_queries(caller, django_assert_num_queries):
    with django_assert_num_queries(3):
        audit.record(caller=caller, action="a", target_kind="t", target_id="1")


def test_chains_of_projects_are_apart(chain):
    from tests.factories import make_project

    other = system_caller(make_project())
    write(other)
    tamper(other.project_public_id, 1, action="x")
    assert verify_chain(chain=chain).holds
    assert verify_chain(chain=other.project_public_id).first_bad_sequence == 1
