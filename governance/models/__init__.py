"""Storage of governance: one noun a file, gathered here for Django."""

from governance.models.api_key import ApiKey
from governance.models.audit_entry import AuditChain, AuditEntry, AuditVerification, VerificationStatus
from governance.models.idempotency import IdempotentAnswer
from governance.models.price import Price
from governance.models.project import Member, Project, ProjectStatus
from governance.models.provider_rule import ProviderRule, RuleEffect
from governance.models.quota import MONTHLY_RESOURCES, IngestionCount, Quota, QuotaBlock, Resource
from governance.models.secret import Secret

__all__ = [
    "MONTHLY_RESOURCES",
    "ApiKey",
    "AuditChain",
    "AuditEntry",
    "AuditVerification",
    "IdempotentAnswer",
    "IngestionCount",
    "Member",
    "Price",
    "Project",
    "ProjectStatus",
    "ProviderRule",
    "Quota",
    "QuotaBlock",
    "Resource",
    "RuleEffect",
    "Secret",
    "VerificationStatus",
]
