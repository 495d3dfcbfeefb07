"""Routes of embeddings A/B testing, below /api/v1/ab/."""

from django.urls import URLPattern, path

from embeddings_ab.api import (
    ab_tests,
    collections,
    corpora,
    exports,
    judging,
    query_sets,
    results,
    tunings,
    uploaded_runs,
)

urlpatterns: list[URLPattern] = [
    path("ab/plan", ab_tests.TestPlan.as_view()),
    path("ab/tests", ab_tests.TestList.as_view()),
    path("ab/tests/<str:test_id>", ab_tests.TestDetail.as_view()),
    path("ab/tests/<str:test_id>/start", ab_tests.TestStart.as_view()),
    path("ab/tests/<str:test_id>/resume", ab_tests.TestResume.as_view()),
    path("ab/tests/<str:test_id>/cancel", ab_tests.TestCancel.as_view()),
    path("ab/tests/<str:test_id>/progress", ab_tests.TestProgress.as_view()),
    path("ab/tests/<str:test_id>/results", results.TestResults.as_view()),
    # A query's id is its owner's: it may hold slashes.
    path("ab/tests/<str:test_id>/queries/<path:query_id>", results.TestQuery.as_view()),
    path("ab/tests/<str:test_id>/movers", results.TestMovers.as_view()),
    path("ab/tests/<str:test_id>/aggregates", results.TestAggregates.as_view()),
    path("ab/tests/<str:test_id>/significance", results.TestSignificance.as_view()),
    path("ab/tests/<str:test_id>/export", exports.TestExport.as_view()),
    path("ab/tests/<str:test_id>/report.html", exports.TestReport.as_view()),
    path("ab/tests/<str:test_id>/tunings", tunings.TuningList.as_view()),
    path("ab/tests/<str:test_id>/tunings/<str:tuning_id>", tunings.TuningDetail.as_view()),
    path("ab/judging-pools", judging.PoolList.as_view()),
    path("ab/judging-pools/<str:pool_id>", judging.PoolDetail.as_view()),
    path("ab/judging-pools/<str:pool_id>/items", judging.PoolItems.as_view()),
    path("ab/judging-pools/<str:pool_id>/labels", judging.PoolLabels.as_view()),
    path("ab/judging-pools/<str:pool_id>/assignment", judging.PoolAssignment.as_view()),
    path("ab/judging-pools/<str:pool_id>/agreement", judging.PoolAgreement.as_view()),
    path("ab/judging-pools/<str:pool_id>/publish", judging.PoolPublication.as_view()),
    path("ab/collections", collections.CollectionList.as_view()),
    path("ab/collections/<str:collection_id>", collections.CollectionDetail.as_view()),
    path("ab/corpora", corpora.CorpusList.as_view()),
    path("ab/corpora/<str:corpus_id>", corpora.CorpusDetail.as_view()),
    path("ab/corpora/<str:corpus_id>/documents", corpora.CorpusDocuments.as_view()),
    path("ab/corpora/<str:corpus_id>/changes-since/<str:old_corpus_id>", corpora.CorpusDifferenceView.as_view()),
    path("ab/query-sets", query_sets.QuerySetList.as_view()),
    path("ab/query-sets/<str:query_set_id>", query_sets.QuerySetDetail.as_view()),
    path("ab/query-sets/<str:query_set_id>/queries", query_sets.QuerySetQueries.as_view()),
    path("ab/runs", uploaded_runs.UploadedRunList.as_view()),
    path("ab/runs/<str:uploaded_run_id>", uploaded_runs.UploadedRunDetail.as_view()),
]
