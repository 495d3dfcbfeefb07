"""Console pages of A/B tests; `hhweb.console` wraps each into the admin site."""

from collections.abc import Callable
from typing import Any

from embeddings_ab.admin import (
    actions,
    collection_pages,
    corpus_pages,
    listing,
    new_test,
    per_query,
    query_detail,
    test_page,
)

PAGES: list[tuple[str, Callable[..., Any], str]] = [
    ("ab/", listing.tests_page, "console_ab_tests"),
    ("ab/new/", new_test.new_test_page, "console_ab_new"),
    ("ab/collections/", collection_pages.collections_page, "console_ab_collections"),
    ("ab/collections/<str:collection_id>/", collection_pages.collection_page, "console_ab_collection"),
    ("ab/corpora/", corpus_pages.corpora_page, "console_ab_corpora"),
    ("ab/corpora/<str:corpus_id>/", corpus_pages.corpus_page, "console_ab_corpus"),
    ("ab/query-sets/", corpus_pages.query_sets_page, "console_ab_query_sets"),
    ("ab/query-sets/<str:query_set_id>/", corpus_pages.query_set_page, "console_ab_query_set"),
    ("ab/<str:test_id>/", test_page.test_page, "console_ab_test"),
    ("ab/<str:test_id>/live/", test_page.live_part, "console_ab_live"),
    ("ab/<str:test_id>/queries/", per_query.per_query_page, "console_ab_queries"),
    ("ab/<str:test_id>/queries/<int:ordinal>/", query_detail.query_page, "console_ab_query"),
    ("ab/<str:test_id>/start/", actions.start_page, "console_ab_start"),
    ("ab/<str:test_id>/cancel/", actions.cancel_page, "console_ab_cancel"),
    ("ab/<str:test_id>/delete/", actions.delete_page, "console_ab_delete"),
]
