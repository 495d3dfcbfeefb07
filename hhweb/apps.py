"""Django's registration of the app."""

from django.apps import AppConfig


class HhwebConfig(AppConfig):
    name = "hhweb"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make our Celery application the one that `shared_task` and `send_task` use in every process."""
        from hhweb import celery  # noqa: F401
