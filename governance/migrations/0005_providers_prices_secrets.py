"""Rules about providers, prices of tokens, and sealed secrets."""

import django.db.models.deletion
import governance.models.project
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('governance', '0004_quotas_of_embeddings_ab'),
    ]

    operations = [
        migrations.CreateModel(
            name='Price',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=governance.models.project.new_public_id, editable=False, max_length=24, unique=True)),
                ('provider', models.CharField(max_length=64)),
                ('model', models.CharField(default='*', help_text='name or shell pattern', max_length=200)),
                ('per_million_tokens', models.DecimalField(decimal_places=6, max_digits=16)),
                ('currency', models.CharField(default='USD', max_length=3)),
                ('valid_from', models.DateTimeField()),
                ('valid_until', models.DateTimeField(blank=True, null=True)),
                ('created_by', models.CharField(blank=True, default='', max_length=240)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('project', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='prices', to='governance.project')),
            ],
            options={
                'ordering': ['provider', 'model', '-valid_from', '-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('per_million_tokens__gte', 0)), name='price_is_not_negative'), models.CheckConstraint(condition=models.Q(('valid_until__isnull', True), ('valid_until__gt', models.F('valid_from')), _connector='OR'), name='price_ends_after_it_begins'), models.UniqueConstraint(fields=('project', 'provider', 'model', 'valid_from'), name='price_starts_once_per_project'), models.UniqueConstraint(condition=models.Q(('project__isnull', True)), fields=('provider', 'model', 'valid_from'), name='price_starts_once_per_installation')],
            },
        ),
        migrations.CreateModel(
            name='ProviderRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=governance.models.project.new_public_id, editable=False, max_length=24, unique=True)),
                ('effect', models.CharField(choices=[('allow', 'Allow'), ('deny', 'Deny')], max_length=8)),
                ('provider', models.CharField(max_length=200)),
                ('model', models.CharField(default='*', max_length=200)),
                ('base_url', models.CharField(blank=True, default='*', max_length=500)),
                ('note', models.CharField(blank=True, default='', max_length=500)),
                ('created_by', models.CharField(blank=True, default='', max_length=240)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='provider_rules', to='governance.project')),
            ],
            options={
                'ordering': ['-created_at', '-id'],
                'constraints': [models.UniqueConstraint(fields=('project', 'effect', 'provider', 'model', 'base_url'), name='provider_rule_once_per_project'), models.CheckConstraint(condition=models.Q(('effect__in', ['allow', 'deny'])), name='provider_rule_effect_is_known'), models.CheckConstraint(condition=models.Q(('provider', ''), _negated=True), name='provider_rule_names_a_provider')],
            },
        ),
        migrations.CreateModel(
            name='Secret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=governance.models.project.new_public_id, editable=False, max_length=24, unique=True)),
                ('name', models.CharField(max_length=64)),
                ('sealed', models.TextField()),
                ('key_id', models.CharField(max_length=16)),
                ('created_by', models.CharField(blank=True, default='', max_length=240)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secrets', to='governance.project')),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.UniqueConstraint(fields=('project', 'name'), name='secret_name_once_per_project'), models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='secret_name_is_not_empty')],
            },
        ),
    ]
