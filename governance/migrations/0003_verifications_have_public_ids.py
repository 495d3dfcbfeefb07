"""Audit verifications get an id that may be shown. Filled row by row: a default is evaluated once for all."""

from django.db import migrations, models

import governance.models.project


def fill(apps, schema_editor):
    verification = apps.get_model("governance", "AuditVerification")
    for row in verification.objects.filter(public_id__isnull=True).only("pk").iterator():
        verification.objects.filter(pk=row.pk).update(public_id=governance.models.project.new_public_id())


def field(**options):
    return models.CharField(
        max_length=24, unique=True, default=governance.models.project.new_public_id, editable=False, **options
    )


class Migration(migrations.Migration):
    dependencies = [("governance", "0002_audit_entries_are_append_only")]
    operations = [
        migrations.AddField(
            "auditverification", "public_id", models.CharField(max_length=24, null=True, editable=False)
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AlterField("auditverification", "public_id", field()),
    ]
