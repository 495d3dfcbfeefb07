"""The links that the demo prints at its end are pages of the console."""

from urllib.parse import urlsplit

from django.urls import resolve

from examples.demo.ab_demo import console_page
from examples.demo.served import console_links


def test_printed_links_are_console_pages():
    names = [resolve(urlsplit(link).path).url_name for link in console_links("old-run", "new-run").values()]
    assert names == ["console_run", "console_run", "console_compare"]


def test_the_printed_link_of_an_ab_test_is_its_page():
    found = resolve(console_page("t1"))
    assert (found.url_name, found.kwargs) == ("console_ab_test", {"test_id": "t1"})
