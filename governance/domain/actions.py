"""Every action that can be allowed, forbidden and audited; which role may do what; which key may do what."""

from enum import StrEnum


class Action(StrEnum):
    """`<noun>.<verb>`; the value is what audit entries, key scopes and refusals show."""

    PROJECT_READ = "project.read"
    PROJECT_WRITE = "project.write"
    MEMBERS_WRITE = "members.write"
    KEYS_READ = "keys.read"
    KEYS_WRITE = "keys.write"
    QUOTAS_WRITE = "quotas.write"
    AUDIT_READ = "audit.read"
    EVENTS_READ = "events.read"
    EVENTS_WRITE = "events.write"
    DATASETS_READ = "datasets.read"
    DATASETS_WRITE = "datasets.write"
    RUNS_READ = "runs.read"
    RUNS_WRITE = "runs.write"
    METRICS_READ = "metrics.read"
    METRICS_WRITE = "metrics.write"
    EXPORTS_READ = "exports.read"
    AB_READ = "ab.read"
    AB_WRITE = "ab.write"
    AB_JUDGE = "ab.judge"
    PROVIDERS_READ = "providers.read"
    PROVIDERS_WRITE = "providers.write"
    SECRETS_WRITE = "secrets.write"


class Role(StrEnum):
    """Role of a member in one project."""

    OWNER = "owner"
    MAINTAINER = "maintainer"
    EVALUATOR = "evaluator"
    VIEWER = "viewer"
    AUDITOR = "auditor"


class KeyKind(StrEnum):
    """Kinds of API keys; shapes and separation follow the wire contract, section 1.1."""

    PROJECT = "project"
    INGESTION = "ingestion"
    DATA_PLANE = "data_plane"


_READ = frozenset(
    {
        Action.PROJECT_READ,
        Action.EVENTS_READ,
        Action.DATASETS_READ,
        Action.RUNS_READ,
        Action.METRICS_READ,
        Action.EXPORTS_READ,
        Action.AB_READ,
        Action.PROVIDERS_READ,
    }
)
_EVALUATE = _READ | {
    Action.EVENTS_WRITE,
    Action.DATASETS_WRITE,
    Action.RUNS_WRITE,
    Action.METRICS_WRITE,
    Action.AB_WRITE,
    Action.AB_JUDGE,
}
_MAINTAIN = _EVALUATE | {
    Action.KEYS_READ,
    Action.KEYS_WRITE,
    Action.QUOTAS_WRITE,
    Action.AUDIT_READ,
    Action.PROVIDERS_WRITE,
    Action.SECRETS_WRITE,
}

ALLOWED_BY_ROLE: dict[Role, frozenset[Action]] = {
    Role.OWNER: frozenset(Action),
    Role.MAINTAINER: _MAINTAIN,
    Role.EVALUATOR: _EVALUATE,
    Role.VIEWER: _READ,
    Role.AUDITOR: _READ | {Action.AUDIT_READ, Action.KEYS_READ},
}

ALLOWED_BY_KEY_KIND: dict[KeyKind, frozenset[Action]] = {
    KeyKind.PROJECT: _MAINTAIN,
    KeyKind.INGESTION: frozenset({Action.EVENTS_WRITE}),
    # Reads and writes below /v1/projects/{project_id}/ only; the door checks the path.
    KeyKind.DATA_PLANE: _MAINTAIN,
}
