"""A judging pool of a test whose rankings are known by hand, and people who judge it."""

from django.contrib.auth.models import User

from embeddings_ab.models import AbTest, Arm, JudgingPool, Query, QueryResult
from embeddings_ab.services.judging import create_pool
from governance.domain.caller import Caller
from governance.models import Member, Project
from governance.services.projects import user_caller
from tests.embeddings_ab.factories import make_corpus, make_query_set, make_test_row

TEXTS = {f"d{n}": f"text of document {n}" for n in range(1, 7)}
# q1 has d1 judged, q2 nothing. Unjudged at depth 2: q1 d2, q1 d3, q2 d4, q2 d5.
RANKINGS = {
    "old": {"q1": ["d1", "d2", "d3"], "q2": ["d4", "d5"]},
    "new": {"q1": ["d3", "d1"], "q2": ["d4", "d5"]},
}


def make_pooled_test(caller: Caller, **fields) -> AbTest:
    """A completed test of two arms over two queries."""
    query_set = make_query_set(
        caller,
        make_corpus(caller, texts=TEXTS),
        name="asked",
        queries={"q1": "first question", "q2": "second question"},
        grades={"q1": {"d1": 2, "d6": 0}},
    )
    report = {"comparisons": [{"arm": "new", "metric": "nDCG@10", "adjusted_p": 0.06}]}
    test = make_test_row(query_set, arms=("old", "new"), **{"status": "completed", "report": report, **fields})
    queries = {query.external_id: query for query in Query.objects.filter(query_set=query_set)}
    for arm in Arm.objects.filter(test=test):
        for query, ranking in RANKINGS[arm.name].items():
            QueryResult.objects.create(test=test, arm=arm, query=queries[query], ranked_ids=ranking)
    return test


def make_pool(caller: Caller, *, test: AbTest | None = None, **settings) -> JudgingPool:
    """A pool of depth 2, of the given test or a new one."""
    chosen = test or make_pooled_test(caller)
    return create_pool(caller=caller, test_id=chosen.public_id, **{"name": "to judge", "depth": 2, **settings})


def make_judge(caller: Caller, name: str, *, role: str = "evaluator") -> Caller:
    """A signed-in member of the caller's project."""
    user, _ = User.objects.get_or_create(username=name, is_staff=True)
    project = Project.objects.get(pk=caller.project_id)
    Member.objects.get_or_create(project=project, user=user, defaults={"role": role})
    return user_caller(user, project)
