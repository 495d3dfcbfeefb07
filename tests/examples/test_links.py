"""The links that the demo prints at its end are pages of the console."""

from urllib.parse import urlsplit

from django.urls import resolve

from examples.demo.served import console_links


def test_printed_links_are_console_pages():
    names = [resolve(urlsplit(link).path).url_name for link in console_links("old-run", "new-run").values()]
    assert names == ["console_run", "console_run", "console_compare"]
