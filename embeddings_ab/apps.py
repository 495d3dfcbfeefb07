"""Django's registration of the app."""

from django.apps import AppConfig


class EmbeddingsAbConfig(AppConfig):
    name = "embeddings_ab"
    default_auto_field = "django.db.models.BigAutoField"
