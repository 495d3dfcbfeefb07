"""Making judgments: pools of documents to judge, and the labels that people and models gave."""

from django.db import models
from django.db.models import Q

from embeddings_ab.models.ab_test import AbTest
from embeddings_ab.models.query_set import JudgmentSource, Query, QuerySet
from governance.models import Project
from governance.models.project import new_public_id


class JudgingPool(models.Model):
    """What is to be judged: the arms' top results of a test, most useful label first."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="judging_pools")
    query_set = models.ForeignKey(QuerySet, on_delete=models.RESTRICT, related_name="judging_pools")
    test = models.ForeignKey(AbTest, on_delete=models.SET_NULL, null=True, blank=True, related_name="judging_pools")
    name = models.CharField(max_length=120)
    depth = models.PositiveSmallIntegerField(default=10)
    guidelines = models.TextField(blank=True, default="")
    scale = models.JSONField(help_text="list of {grade, label, help}")
    labels_per_item = models.PositiveSmallIntegerField(default=1)
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="judging_pool_name_is_unique")]

    def __str__(self) -> str:
        return self.name


class JudgingItem(models.Model):
    """One document to judge for one query. Assigned for a while, so that two people do not judge the same at once."""

    pool = models.ForeignKey(JudgingPool, on_delete=models.CASCADE, related_name="items")
    query = models.ForeignKey(Query, on_delete=models.CASCADE, related_name="judging_items")
    document_id = models.CharField(max_length=255)
    priority = models.FloatField(help_text="how likely the label is to change the verdict; greater comes first")
    found_by = models.JSONField(default=dict, help_text="rank by arm")
    assigned_to = models.CharField(max_length=150, blank=True, default="", help_text="user name; empty: anybody")
    held_by = models.CharField(max_length=150, blank=True, default="")
    held_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-priority", "id"]
        constraints = [
            models.UniqueConstraint(fields=["pool", "query", "document_id"], name="judging_item_is_unique_in_pool")
        ]
        indexes = [models.Index(fields=["pool", "-priority", "id"], name="judging_item_by_priority")]

    def __str__(self) -> str:
        return f"{self.query_id} {self.document_id}"


class Label(models.Model):
    """One labeller's grade. Imported judgments are not labels; publishing labels makes the next query set version."""

    item = models.ForeignKey(JudgingItem, on_delete=models.CASCADE, related_name="labels")
    source = models.CharField(max_length=16, choices=JudgmentSource)
    labeller = models.CharField(max_length=150)
    grade = models.SmallIntegerField()
    comment = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["item", "source", "labeller"], name="label_once_per_labeller"),
            models.CheckConstraint(
                condition=Q(source__in=[JudgmentSource.HUMAN, JudgmentSource.LLM]), name="label_source_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.labeller}: {self.grade}"
