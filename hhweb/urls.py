"""Every door of the house, in one list."""

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from hhweb.console import site

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(url="/console/")),
    path("console/", site.urls),
    path("", include("hhweb.health")),
    path("", include("hhweb.telemetry")),
    path("api/v1/", include("hhweb.api.urls")),
    path("", include("experiments.honeyhive_api.urls")),
]

handler403 = "hhweb.console.forbidden"
handler404 = "hhweb.console.not_found"
handler500 = "hhweb.console.failed"
