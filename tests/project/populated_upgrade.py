"""Run by test_migrations in a process of its own: first migrations, rows in every table, all migrations, same rows.

The database is named by HHWEB_DATABASE_URL. Prints the tables it carried over.
"""

import datetime as dt
import uuid
from typing import Any

import django

django.setup()

from django.db import connection, models  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402

FIRST = {"governance": "0001_initial", "experiments": "0001_initial"}
LATER = {"embeddings_ab"}
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
CHOSEN: dict[str, Any] = {
    "role": "owner",
    "kind": "project",
    "resource": "runs",
    "type": "PYTHON",
    "event_type": "session",
    "ceiling": 10,
}


def value(field: Any, made: dict[str, Any]) -> Any:
    """A believable value for one field of a historical model."""
    if field.is_relation:
        return made[field.related_model._meta.label_lower]
    if field.has_default():
        return field.get_default()
    if field.name in CHOSEN:
        return CHOSEN[field.name]
    if field.null:
        return None
    kinds: list[tuple[type, Any]] = [
        (models.UUIDField, uuid.UUID(int=7)),
        (models.DateTimeField, NOW),
        (models.DateField, NOW.date()),
        (models.FloatField, 1.5),
        (models.IntegerField, 3),
        (models.JSONField, {"k": [1, None]}),
    ]
    for kind, example in kinds:
        if isinstance(field, kind):
            return example
    return "text"


def upgrade() -> None:
    executor = MigrationExecutor(connection)
    # An app that came later stands on later migrations of the first ones: it is not there yet.
    others = [key for key in executor.loader.graph.leaf_nodes() if key[0] not in {*FIRST, *LATER}]
    targets = [*others, *FIRST.items()]
    executor.migrate(targets)
    old = executor.loader.project_state(targets).apps

    user = old.get_model("auth", "User").objects.create(username="ada")
    made: dict[str, Any] = {"auth.user": user}
    waiting = [model for app in FIRST for model in old.get_app_config(app).get_models()]
    while waiting:
        model = waiting.pop(0)
        needs = {f.related_model._meta.label_lower for f in model._meta.concrete_fields if f.is_relation}
        if not needs <= set(made):
            waiting.append(model)
            continue
        fields = {f.name: value(f, made) for f in model._meta.concrete_fields if not f.primary_key}
        made[model._meta.label_lower] = model.objects.create(**fields)

    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    new = executor.loader.project_state(executor.loader.graph.leaf_nodes()).apps
    for label in sorted(made):
        assert new.get_model(label).objects.filter(pk=made[label].pk).count() == 1, label
        print(label)
    project = made["governance.project"].pk
    quotas = new.get_model("governance", "Quota").objects.filter(project=project).values_list("resource", "ceiling")
    assert dict(quotas).items() >= {"runs": 10, "collections": 1_000, "embedding_tokens": 1_000_000_000}.items(), quotas


upgrade()
