"""Pages and exports of an A/B test with a million results, on PostgreSQL; prints the table of docs/performance.md.

    python -m benchmarks.ab_results_bench [--results 1000000] [--arms 10] [--depth 10] [--repeats 7]

Starts a database of its own in a temporary folder, fills it by SQL, and asks through the whole request stack (URL,
authentication, view, JSON) in this process. Memory is this process's own, at its peak above what it had before.
"""

import argparse
import functools
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.installation import installation

PAGE = 500
MEASURES = ("nDCG@10", "R@10", "R@100", "MRR@10", "Hit@10", "AP")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--results", type=int, default=1_000_000)
    options.add_argument("--arms", type=int, default=10)
    options.add_argument("--depth", type=int, default=10, help="ranked ids of each result")
    options.add_argument("--repeats", type=int, default=7)
    given = options.parse_args()
    with installation("postgres"):
        run(given)


def run(given: argparse.Namespace) -> None:
    from django.test import Client

    from governance.domain.actions import KeyKind
    from governance.services.api_keys import issue_key
    from governance.services.projects import create_project, system_caller

    project = create_project(name="bench")
    caller = system_caller(project)
    _, token = issue_key(caller=caller, kind=KeyKind.PROJECT, name="bench")
    client = Client(headers={"authorization": f"Bearer {token}"})
    began = time.perf_counter()
    base = seed(project.pk, given)
    filled = time.perf_counter() - began
    print(f"{given.results:,} results of {given.arms} arms, {given.depth} ids each; filled in {filled:.0f} s\n")
    print("| Page of 500 | best ms | median ms |\n|---|---:|---:|")
    show_pages(client, base, given)
    print("\n| Export | seconds | rows a second | MB | first byte ms | memory MiB |\n|---|---:|---:|---:|---:|---:|")
    for form in ("csv", "json", "trec&arm=arm-3"):
        show_export(client, base, form)


def seed(project: int, given: argparse.Namespace) -> str:
    """A test with its results, mixed as a run stores them; the address of the test."""
    from django.db import connection
    from django.utils import timezone

    from embeddings_ab.models import AbTest, Arm, Corpus, QuerySet

    queries = given.results // given.arms
    corpus = Corpus.objects.create(
        project_id=project, name="c", version=1, content_hash="0" * 64, document_count=1, character_count=1
    )
    query_set = QuerySet.objects.create(
        project_id=project,
        corpus=corpus,
        name="q",
        version=1,
        content_hash="0" * 64,
        query_count=queries,
        judged_query_count=queries,
        judgment_count=queries,
    )
    test = AbTest.objects.create(
        project_id=project,
        name="bench",
        corpus=corpus,
        query_set=query_set,
        status="completed",
        spec={"metrics": list(MEASURES), "arms": {}},
        registration_hash="0" * 64,
        primary_metric=MEASURES[0],
        control="arm-0",
        seed=1,
        report={"schema": 1, "arms": {}, "comparisons": [], "test": {}},
        result_count=queries * given.arms,
        finished_at=timezone.now(),
    )
    arms = [
        Arm.objects.create(test=test, name=f"arm-{n}", position=n, spec={}, status="completed", queries_done=queries)
        for n in range(given.arms)
    ]
    measured = ", ".join(f"'{name}', round(random()::numeric, 12)" for name in MEASURES)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO embeddings_ab_query (query_set_id, external_id, ordinal, text, metadata) "
            "SELECT %s, 'q' || lpad(n::text, 7, '0'), n, 'text of query ' || n, '{}' FROM generate_series(0, %s) n",
            [query_set.pk, queries - 1],
        )
        cursor.execute(
            "INSERT INTO embeddings_ab_queryresult (test_id, arm_id, query_id, is_failed, error_code, error_message, "
            "ranked_ids, scores, metrics, stages) "
            "SELECT %s, a, q.id, false, '', '', "
            "(SELECT jsonb_agg('document-' || (q.ordinal * 7919 + i * 104729) %% 100000) "
            "FROM generate_series(1, %s) i), "
            "(SELECT jsonb_agg(round((1.0 / i)::numeric, 6)) FROM generate_series(1, %s) i), "
            f"jsonb_build_object({measured}), "
            "jsonb_build_object('document-1', jsonb_build_object('chunked', true, 'vector', 3, 'final', 2)) "
            "FROM embeddings_ab_query q CROSS JOIN unnest(%s) a ORDER BY q.ordinal / 64, a, q.ordinal",
            [test.pk, given.depth, given.depth, [arm.pk for arm in arms]],
        )
        cursor.execute("VACUUM ANALYZE")
    return f"/api/v1/ab/tests/{test.public_id}"


def show_pages(client: Any, base: str, given: argparse.Namespace) -> None:
    pages = given.results // PAGE
    middle = f"r{middle_key(given.results):x}"
    for name, query in {
        "first": "",
        "key-set, in the middle": f"&after={middle}",
        f"number {pages // 2:,}": f"&page={pages // 2}",
        f"number {pages:,} (last)": f"&page={pages}",
        "first of one arm": "&arm=arm-3",
        "key-set of one arm, in the middle": f"&arm=arm-3&after={middle}",
        "failed ones (none)": "&failed=true",
    }.items():
        times = timed(functools.partial(read, client, f"{base}/results?limit={PAGE}{query}"), given.repeats)
        print(f"| {name} | {min(times) * 1000:.0f} | {statistics.median(times) * 1000:.0f} |")
    times = timed(lambda: read(client, f"{base}/movers?arm=arm-3&limit={PAGE}"), max(1, given.repeats // 2))
    queries = given.results // given.arms
    print(f"| movers among {queries:,} queries | {min(times) * 1000:.0f} | {statistics.median(times) * 1000:.0f} |")


def middle_key(results: int) -> int:
    """The primary key in the middle."""
    from embeddings_ab.models import QueryResult

    return int(QueryResult.objects.order_by("pk").values_list("pk", flat=True)[results // 2])


def show_export(client: Any, base: str, form: str) -> None:
    gc.collect()
    before = peak_memory(reset=True)
    began = time.perf_counter()
    first = 0.0
    size = lines = 0
    for piece in client.get(f"{base}/export?format={form}").streaming_content:
        first = first or time.perf_counter() - began
        size += len(piece)
        lines += piece.count(b"\n")
    seconds = time.perf_counter() - began
    grown = (peak_memory() - before) / 2**20
    rate = f"{lines / seconds:,.0f}"
    print(f"| {form} | {seconds:.1f} | {rate} | {size / 1e6:.0f} | {first * 1000:.0f} | {grown:.0f} |")


def read(client: Any, path: str) -> None:
    answer = client.get(path)
    if answer.status_code != 200:
        raise SystemExit(f"{path} answered {answer.status_code}: {answer.content[:500]!r}")


def timed(action: Callable[[], Any], repeats: int) -> list[float]:
    action()  # warm: imports, connection, page cache
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return times


def peak_memory(*, reset: bool = False) -> int:
    """Bytes of resident memory at the peak since the last reset (Linux); with `reset`, as it is now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


if __name__ == "__main__":
    main()
