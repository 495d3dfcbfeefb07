"""Routes of the native API: each app's own, the schema, and an answer in our shape for every other address."""

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView

from hhweb.api import schema
from hhweb.api.errors import unknown_address

__all__ = ["schema", "urlpatterns"]  # importing `schema` registers the description of our keys

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("governance.api.urls")),
    path("", include("experiments.api.urls")),
    path("", include("embeddings_ab.api.urls")),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^.*$", unknown_address),
]
