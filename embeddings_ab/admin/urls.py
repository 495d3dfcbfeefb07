"""Console pages of A/B tests; `hhweb.console` wraps each into the admin site."""

from collections.abc import Callable
from typing import Any

from embeddings_ab.admin import (
    actions,
    collection_pages,
    corpus_pages,
    judging_desk,
    judging_pages,
    listing,
    new_test,
    per_query,
    query_detail,
    test_page,
    tuning_pages,
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
    ("ab/judging/", judging_pages.pools_page, "console_ab_judging_pools"),
    ("ab/judging/new/", judging_pages.new_pool_page, "console_ab_judging_new"),
    ("ab/judging/<str:pool_id>/", judging_pages.pool_page, "console_ab_judging_pool"),
    ("ab/judging/<str:pool_id>/judge/", judging_desk.desk_page, "console_ab_judging_desk"),
    ("ab/judging/<str:pool_id>/assign/", judging_pages.assign_page, "console_ab_judging_assign"),
    ("ab/judging/<str:pool_id>/publish/", judging_pages.publish_page, "console_ab_judging_publish"),
    ("ab/judging/<str:pool_id>/delete/", judging_pages.delete_page, "console_ab_judging_delete"),
    ("ab/<str:test_id>/", test_page.test_page, "console_ab_test"),
    ("ab/<str:test_id>/live/", test_page.live_part, "console_ab_live"),
    ("ab/<str:test_id>/queries/", per_query.per_query_page, "console_ab_queries"),
    ("ab/<str:test_id>/queries/<int:ordinal>/", query_detail.query_page, "console_ab_query"),
    ("ab/<str:test_id>/tuning/", tuning_pages.tunings_page, "console_ab_tunings"),
    ("ab/<str:test_id>/tuning/<str:tuning_id>/", tuning_pages.tuning_page, "console_ab_tuning"),
    ("ab/<str:test_id>/tuning/<str:tuning_id>/live/", tuning_pages.live_part, "console_ab_tuning_live"),
    ("ab/<str:test_id>/start/", actions.start_page, "console_ab_start"),
    ("ab/<str:test_id>/cancel/", actions.cancel_page, "console_ab_cancel"),
    ("ab/<str:test_id>/delete/", actions.delete_page, "console_ab_delete"),
]
