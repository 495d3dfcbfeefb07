"""The audit trail: append-only by database trigger, each entry chained to its predecessor by hash."""

from django.db import models
from django.db.models import Q

from governance.models.project import Project, new_public_id


class AuditChain(models.Model):
    """Head of one project's chain (project null: the installation's own). Locked last by every audited service."""

    project = models.OneToOneField(Project, on_delete=models.SET_NULL, null=True, related_name="audit_chain")
    name = models.CharField(max_length=64, unique=True, help_text="project's public id, or 'installation'")
    last_sequence = models.PositiveBigIntegerField(default=0)
    last_hash = models.CharField(max_length=64, default="0" * 64)
    verified_sequence = models.PositiveBigIntegerField(default=0)
    verified_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} at {self.last_sequence}"


class AuditEntry(models.Model):
    """Who did what to what. Keeps copies of names so that it outlives whatever it refers to; no foreign keys."""

    chain = models.CharField(max_length=64)
    sequence = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)
    actor_label = models.CharField(max_length=240)
    action = models.CharField(max_length=64)
    target_kind = models.CharField(max_length=32)
    target_id = models.CharField(max_length=255)
    target_label = models.CharField(max_length=255, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=64, blank=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        constraints = [models.UniqueConstraint(fields=["chain", "sequence"], name="audit_entry_sequence_is_unique")]
        indexes = [
            models.Index(fields=["chain", "-at"], name="audit_entry_by_time"),
            models.Index(fields=["chain", "action", "-at"], name="audit_entry_by_action"),
            models.Index(fields=["chain", "actor_id", "-at"], name="audit_entry_by_actor"),
            models.Index(fields=["chain", "target_kind", "target_id"], name="audit_entry_by_target"),
            models.Index(fields=["request_id"], name="audit_entry_by_request"),
        ]

    def __str__(self) -> str:
        return f"{self.chain} #{self.sequence} {self.action}"


class VerificationStatus(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    VERIFIED = "verified"
    BROKEN = "broken"


class AuditVerification(models.Model):
    """A job that walks one chain: pending → running → verified | broken; running → pending when its lease ends."""

    public_id = models.CharField(max_length=24, unique=True, default=new_public_id, editable=False)
    chain = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=VerificationStatus, default=VerificationStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    dispatched_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True)
    lease_holder = models.CharField(max_length=64, blank=True, default="")
    finished_at = models.DateTimeField(null=True)
    checked_through = models.PositiveBigIntegerField(default=0)
    first_bad_sequence = models.PositiveBigIntegerField(null=True)
    message = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=VerificationStatus.values), name="audit_verification_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "running"], finished_at__isnull=True)
                | Q(status__in=["verified", "broken"], finished_at__isnull=False),
                name="audit_verification_finish_time_fits_status",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "dispatched_at"], name="audit_verification_by_status"),
            models.Index(fields=["chain", "-id"], name="audit_verification_by_chain"),
        ]

    def __str__(self) -> str:
        return f"{self.chain} {self.status}"
