"""Routes of the HoneyHive protocol."""

from collections.abc import Iterable, Iterator

from django.urls import URLPattern, path

from experiments.honeyhive_api import (
    configurations,
    datapoints,
    datasets,
    events,
    keys,
    metrics,
    results,
    runs,
    sessions,
    traces,
)


def with_aliases(patterns: Iterable[URLPattern]) -> Iterator[URLPattern]:
    """Each route, and for `v1/x` also the older `x`, unless `x` is a route of its own."""
    routes = list(patterns)
    own = {str(route.pattern) for route in routes}
    yield from routes
    for route in routes:
        alias = str(route.pattern).removeprefix("v1/")
        if alias not in own:
            yield path(alias, route.callback)


urlpatterns: list[URLPattern] = [
    *traces.urlpatterns,  # first, because most requests want them
    *with_aliases(
        [
            *sessions.urlpatterns,
            *events.urlpatterns,
            *results.urlpatterns,
            *runs.urlpatterns,
            *metrics.urlpatterns,
            *configurations.urlpatterns,
            *datasets.urlpatterns,
            *datapoints.urlpatterns,
            *keys.urlpatterns,
        ]
    ),
]
