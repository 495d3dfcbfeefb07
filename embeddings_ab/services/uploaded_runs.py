"""Use cases that write uploaded runs: rankings made elsewhere, to be arms of tests over one query set."""

from collections.abc import Iterable
from functools import partial

from django.db import IntegrityError, transaction

from embeddings_ab.domain.importing.checks import CheckedRun, check_run
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import ImportSummary, RankedRow
from embeddings_ab.domain.names import valid_name
from embeddings_ab.models import AbTest, Query, QuerySet, UploadedRun
from embeddings_ab.selectors.corpora import known_documents
from embeddings_ab.selectors.query_sets import find_query_set, find_uploaded_run
from embeddings_ab.services.corpora import refuse_while_used, require_still_there
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput, NotFound
from governance.services import audit


def import_run(
    *,
    caller: Caller,
    name: str,
    query_set: str,
    rankings: Iterable[RankedRow],
    drop_dangling: bool = False,
    faults: Faults | None = None,
) -> tuple[UploadedRun, ImportSummary]:
    """Store rankings under a name, or return the run of this name when it holds the same already.

    Stored by query id as lists of [document id, score] in canonical order: score descending, id bytes ascending.
    Documents that the corpus of the query set does not have are refused, or with `drop_dangling` left out and counted.
    """
    caller.require(Action.AB_WRITE)
    name = valid_name(name, noun="run")
    found = find_query_set(caller, query_set)
    known_queries = set(Query.objects.filter(query_set=found).values_list("external_id", flat=True))
    try:
        checked = check_run(
            rankings,
            known_queries=known_queries,
            known_documents=partial(known_documents, found.corpus),
            drop_dangling=drop_dangling,
            faults=Faults() if faults is None else faults,
        )
    except InvalidInput:
        require_still_there(found, field="query_set")  # without it every row dangles
        raise
    with transaction.atomic():
        run, is_new = _stored(caller, name, found, checked)
    return run, _summary(checked, len(known_queries), is_new)


def _stored(caller: Caller, name: str, query_set: QuerySet, checked: CheckedRun) -> tuple[UploadedRun, bool]:
    require_still_there(query_set, field="query_set", locked=True)
    try:
        with transaction.atomic():
            run = UploadedRun.objects.create(
                project_id=caller.project_id,
                query_set=query_set,
                name=name,
                content_hash=checked.content_hash,
                rankings=checked.rankings,
            )
    except IntegrityError:
        return _the_same(caller, name, query_set, checked), False
    audit.record(
        caller=caller,
        action="run.import",
        target_kind="uploaded_run",
        target_id=run.public_id,
        target_label=name,
        after={"name": name, "query_set": str(query_set), "queries": len(checked.rankings), "hash": run.content_hash},
    )
    return run, True


def _the_same(caller: Caller, name: str, query_set: QuerySet, checked: CheckedRun) -> UploadedRun:
    found = UploadedRun.objects.filter(project_id=caller.project_id, name=name).select_related("query_set").first()
    if found and found.query_set_id == query_set.pk and found.content_hash == checked.content_hash:
        return found
    raise Conflict(
        f"Field 'name': a run named {name!r} with other rankings exists. Choose another name, or delete that run.",
        field="name",
        value=name,
    )


def _summary(checked: CheckedRun, query_count: int, is_new: bool) -> ImportSummary:
    without = query_count - len(checked.rankings)
    counts = {
        "queries": len(checked.rankings),
        "queries_without_ranking": without,
        "ranked": sum(map(len, checked.rankings.values())),
        **checked.dropped,
    }
    warnings = []
    if without:
        warnings.append(f"{without} of {query_count} queries have no ranking in this run.")
    if repeated := checked.dropped["repeated_documents"]:
        warnings.append(f"{repeated} documents stood in a ranking more than once; the first score was kept.")
    for kind in ("dangling_documents", "dangling_queries"):
        if count := checked.dropped[kind]:
            warnings.append(f"{count} rows were left out ({kind.replace('_', ' ')}).")
    return ImportSummary(is_new, counts, tuple(warnings))


@transaction.atomic
def delete_run(*, caller: Caller, run_id: str) -> str:
    """Delete an uploaded run; refused while an arm of a test names it. Returns its public id."""
    caller.require(Action.AB_WRITE)
    found = find_uploaded_run(caller, run_id, field="run_id")
    run = UploadedRun.objects.select_for_update().defer("rankings").filter(pk=found.pk).first()
    if run is None:
        raise NotFound(f"Field 'run_id': {found} was deleted in this moment.", field="run_id")
    # A test may stand on another version of the same query set.
    tests = AbTest.objects.filter(project_id=caller.project_id, query_set__name=found.query_set.name).order_by("id")
    users = tests.filter(arms__spec__run=run.name).distinct()
    refuse_while_used(run.name, noun="run", users={"tests": list(users.values_list("name", flat=True)[:4])})
    public_id, name = run.public_id, run.name
    run.delete()
    audit.record(
        caller=caller,
        action="run.delete",
        target_kind="uploaded_run",
        target_id=public_id,
        target_label=name,
        before={"name": name},
    )
    return public_id
