"""Quotas of embeddings A/B testing: the resources become known, and existing projects get their rows."""

from django.db import migrations, models

RESOURCES = [
    "events", "runs", "datasets", "datapoints", "api_keys",
    "corpus_documents", "collections", "chunks", "vector_bytes", "ab_tests", "embedding_tokens",
]
CEILINGS = {
    "corpus_documents": 10_000_000,
    "collections": 1_000,
    "chunks": 50_000_000,
    "vector_bytes": 200 * 2**30,
    "ab_tests": 10_000,
    "embedding_tokens": 1_000_000_000,
}


def fill(apps, schema_editor):
    """Rows that are missing; those that are there stay as they are, so that it may run twice."""
    project = apps.get_model("governance", "Project")
    quota = apps.get_model("governance", "Quota")
    for pk in project.objects.order_by("pk").values_list("pk", flat=True).iterator():
        quota.objects.bulk_create(
            [quota(project_id=pk, resource=resource, ceiling=n) for resource, n in CEILINGS.items()],
            ignore_conflicts=True,
        )


def empty(apps, schema_editor):
    apps.get_model("governance", "Quota").objects.filter(resource__in=CEILINGS).delete()


class Migration(migrations.Migration):
    dependencies = [("governance", "0003_verifications_have_public_ids")]
    operations = [
        # First in line, so last on the way back: the old constraint does not know these rows.
        migrations.RemoveConstraint("quota", "quota_resource_is_known"),
        migrations.AlterField(
            "quota",
            "resource",
            models.CharField(max_length=24, choices=[(name, name.replace("_", " ").title()) for name in RESOURCES]),
        ),
        migrations.AddConstraint(
            "quota",
            models.CheckConstraint(
                condition=models.Q(("resource__in", RESOURCES)), name="quota_resource_is_known"
            ),
        ),
        migrations.RunPython(fill, empty),
    ]
