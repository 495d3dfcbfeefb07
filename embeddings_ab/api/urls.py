"""Routes of embeddings A/B testing, below /api/v1/ab/."""

from django.urls import URLPattern, path

from embeddings_ab.api import corpora, query_sets, uploaded_runs

urlpatterns: list[URLPattern] = [
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
