"""Rules of a project about the providers it may call."""

from django.db import models

from governance.models.project import Project, new_public_id


class RuleEffect(models.TextChoices):
    ALLOW = "allow"
    DENY = "deny"


class ProviderRule(models.Model):
    """Allows or denies what matches all three patterns (governance.domain.provider_patterns); deny wins."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="provider_rules")
    effect = models.CharField(max_length=8, choices=RuleEffect)
    provider = models.CharField(max_length=200)
    model = models.CharField(max_length=200, default="*")
    base_url = models.CharField(max_length=500, blank=True, default="*")
    note = models.CharField(max_length=500, blank=True, default="")
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "effect", "provider", "model", "base_url"], name="provider_rule_once_per_project"
            ),
            models.CheckConstraint(
                condition=models.Q(effect__in=RuleEffect.values), name="provider_rule_effect_is_known"
            ),
            models.CheckConstraint(condition=~models.Q(provider=""), name="provider_rule_names_a_provider"),
        ]

    def __str__(self) -> str:
        return f"{self.effect} {self.provider} {self.model} {self.base_url}"
