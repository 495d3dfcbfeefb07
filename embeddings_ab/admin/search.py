"""What the palette finds of A/B testing, by prefix of name or id, within the caller's project."""

from django.db.models import Q
from django.urls import reverse

from embeddings_ab.selectors.ab_tests import tests
from embeddings_ab.selectors.corpora import corpora
from embeddings_ab.selectors.query_sets import query_sets
from governance.domain.actions import Action
from governance.domain.caller import Caller

EACH_KIND = 8


def matches(*, caller: Caller, term: str) -> list[dict[str, str]]:
    """Up to 8 of each kind, newest first, as lines of the palette: title, description, link, icon."""
    term = term.strip().replace("\x00", "")[:200]
    if not term or not caller.may(Action.AB_READ):
        return []
    begins = Q(name__istartswith=term) | Q(public_id__startswith=term)
    found = [
        (test.name, f"A/B test, {test.status}", "console_ab_test", test.public_id, "compare_arrows")
        for test in tests(caller).filter(begins)[:EACH_KIND]
    ]
    found += [
        (str(corpus), "Corpus", "console_ab_corpus", corpus.public_id, "library_books")
        for corpus in corpora(caller).filter(begins)[:EACH_KIND]
    ]
    found += [
        (str(row), "Query set", "console_ab_query_set", row.public_id, "manage_search")
        for row in query_sets(caller).filter(begins)[:EACH_KIND]
    ]
    return [
        {"title": title, "description": words, "link": reverse(f"admin:{page}", args=[key]), "icon": icon}
        for title, words, page, key, icon in found
    ]
