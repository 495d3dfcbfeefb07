"""WSGI entry of the web processes."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hhweb.settings.production")
application = get_wsgi_application()
# Load every route now, before the server forks: its processes share the memory, and no first request is slow.
get_resolver().url_patterns  # noqa: B018 - loading is the purpose
