"""What tokens cost, for a time."""

from django.db import models
from django.db.models import F, Q

from governance.models.project import Project, new_public_id


class Price(models.Model):
    """Price of a million tokens in [`valid_from`, `valid_until`). Without a project it holds for all that have none."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, blank=True, related_name="prices")
    provider = models.CharField(max_length=64)
    model = models.CharField(max_length=200, default="*", help_text="name or shell pattern")
    per_million_tokens = models.DecimalField(max_digits=16, decimal_places=6)
    currency = models.CharField(max_length=3, default="USD")
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(null=True, blank=True)
    created_by = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["provider", "model", "-valid_from", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(per_million_tokens__gte=0), name="price_is_not_negative"),
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gt=F("valid_from")),
                name="price_ends_after_it_begins",
            ),
            # The service refuses every overlap under a lock; this is what one statement can say of it.
            models.UniqueConstraint(
                fields=["project", "provider", "model", "valid_from"], name="price_starts_once_per_project"
            ),
            models.UniqueConstraint(
                fields=["provider", "model", "valid_from"],
                condition=Q(project__isnull=True),
                name="price_starts_once_per_installation",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model}: {self.per_million_tokens} {self.currency}"
