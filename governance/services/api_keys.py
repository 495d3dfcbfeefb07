"""API keys: issue, authenticate, revoke. The secret is shown once and stored only as a keyed hash."""

import datetime as dt
import hashlib
import hmac
import secrets
import string
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from governance.domain.actions import ALLOWED_BY_KEY_KIND, Action, KeyKind
from governance.domain.caller import Caller
from governance.domain.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from governance.models import ApiKey, Project, ProjectStatus, Resource
from governance.services import audit, quotas

_ALPHANUMERIC = string.ascii_letters + string.digits
_URL_SAFE = _ALPHANUMERIC + "_-"
_PREFIX = {KeyKind.PROJECT: "hh_", KeyKind.INGESTION: "hh_ingst_", KeyKind.DATA_PLANE: "hh_fgdp_"}
_USE_IS_NOTED_EVERY = dt.timedelta(minutes=1)
_BY_TOKEN = f"""
SELECT k.id, k.public_id, k.project_id, k.kind, k.name, k.prefix, k.scopes, k.expires_at, k.revoked_at, k.last_used_at,
  p.public_id AS project_public_id, p.name AS project_name, p.status AS project_status
FROM {ApiKey._meta.db_table} k JOIN {Project._meta.db_table} p ON p.id = k.project_id
WHERE k.token_hash = %s"""  # noqa: S608 - constants only


def _new_token(kind: KeyKind) -> tuple[str, str]:
    """(token, visible prefix): kind prefix + 24 alphanumerics + `_` + 64 of [A-Za-z0-9_-].

    The official client checks these lengths for typed keys; project keys take the same tail.
    """
    visible = _PREFIX[kind] + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(24))
    return f"{visible}_{''.join(secrets.choice(_URL_SAFE) for _ in range(64))}", visible[:20]


def token_hash(token: str) -> str:
    """HMAC-SHA-256 under the installation's pepper, so that a stolen table verifies nothing."""
    return hmac.new(settings.KEY_PEPPER.encode(), token.encode(), hashlib.sha256).hexdigest()


def _in_future(expires_at: dt.datetime | None) -> dt.datetime | None:
    """The time of expiry in UTC; refused when it lies in the past, or beyond what every reader of it could hold."""
    if expires_at is None:
        return None
    try:
        moment = expires_at.astimezone(dt.UTC)
    except OverflowError:
        moment = None
    if moment is None or moment <= timezone.now():
        problem = "lies in the past" if moment else "is no time of the years 1 to 9999 in UTC"
        raise InvalidInput(f"Field 'expires_at' {problem}.", field="expires_at", value=expires_at.isoformat())
    return moment


@transaction.atomic
def issue_key(
    *,
    caller: Caller,
    kind: KeyKind,
    name: str,
    description: str = "",
    scopes: list[str] | None = None,
    expires_at: dt.datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key in the caller's project; returns it with the token, which is never readable again.

    A key cannot be given more than its creator has.
    """
    caller.require(Action.KEYS_WRITE)
    if not name.strip():
        raise InvalidInput("Field 'name' is empty; give the key a name.", field="name", value=name)
    if len(name.strip()) > 200:
        raise InvalidInput(
            f"Field 'name' has {len(name.strip())} characters; shorten it to 200.", field="name", value=name[:200]
        )
    grantable = ALLOWED_BY_KEY_KIND[kind]
    for scope in scopes or []:
        if scope not in {action.value for action in grantable}:
            raise InvalidInput(
                f"Scope {scope!r} is not one of a {kind.value} key's: {', '.join(sorted(grantable))}.",
                field="scopes",
                value=scope,
            )
    wanted = {Action(scope) for scope in scopes} if scopes else set(grantable)
    if beyond := wanted - caller.allowed:
        raise Forbidden(
            f"A key cannot have more rights than its creator; you lack {', '.join(sorted(beyond))}.",
            action=Action.KEYS_WRITE.value,
        )
    expires_at = _in_future(expires_at)
    quotas.reserve(project_id=caller.project_id, resource=Resource.API_KEYS)
    token, prefix = _new_token(kind)
    key = ApiKey.objects.create(
        project_id=caller.project_id,
        kind=kind,
        name=name.strip(),
        description=description,
        prefix=prefix,
        token_hash=token_hash(token),
        scopes=sorted(scopes or []),
        created_by=caller.actor_label[:200],
        expires_at=expires_at,
    )
    audit.record(
        caller=caller,
        action="key.create",
        target_kind="api_key",
        target_id=key.public_id,
        target_label=key.name,
        after={"kind": kind.value, "prefix": prefix, "scopes": key.scopes},
    )
    return key, token


@transaction.atomic
def revoke_key(*, caller: Caller, public_id: str) -> ApiKey:
    """Revoke a key of the caller's project; revoking twice changes nothing."""
    caller.require(Action.KEYS_WRITE)
    key = ApiKey.objects.filter(project_id=caller.project_id, public_id=public_id).first()
    if key is None:
        raise NotFound(f"API key {public_id!r} does not exist in this project.", field="key_id", value=public_id)
    now = timezone.now()
    if ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=now) == 1:
        key.revoked_at = now
        quotas.give_back(project_id=caller.project_id, resource=Resource.API_KEYS)
        audit.record(
            caller=caller,
            action="key.revoke",
            target_kind="api_key",
            target_id=key.public_id,
            target_label=key.name,
            before={"revoked_at": None},
            after={"revoked_at": now.isoformat()},
        )
    return key


def _find(token: str) -> Any:
    """The key with this token, and of its project what every request must know.

    A constant statement: building the same one from models for each request cost more than all else in it.
    """
    return next(iter(ApiKey.objects.raw(_BY_TOKEN, [token_hash(token)])), None)


def authenticate(*, token: str, request_id: str = "", address: str = "") -> Caller:
    """The caller behind a bearer token, by one SELECT. Unknown, revoked and expired keys are one error."""
    now = timezone.now()
    key = _find(token) if token else None
    if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        raise Unauthenticated(
            "The API key is missing, unknown, revoked or expired. Send 'Authorization: Bearer <key>'."
        )
    if key.project_status != ProjectStatus.ACTIVE:
        raise Forbidden(f"Project {key.project_name!r} is suspended. Ask its owner.", reason="project_suspended")
    if key.last_used_at is None or now - key.last_used_at > _USE_IS_NOTED_EVERY:
        # Conditional, so that a crowd of first requests writes once.
        ApiKey.objects.filter(
            Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - _USE_IS_NOTED_EVERY), pk=key.pk
        ).update(last_used_at=now)
    allowed = ALLOWED_BY_KEY_KIND[KeyKind(key.kind)]
    if key.scopes:
        allowed = allowed & {Action(scope) for scope in key.scopes}
    return Caller(
        project_id=key.project_id,
        project_public_id=key.project_public_id,
        project_name=key.project_name,
        actor_kind="api_key",
        actor_id=key.public_id,
        actor_label=f"{key.name} ({key.prefix}…)",
        allowed=frozenset(allowed),
        request_id=request_id,
        address=address,
        key_id=key.pk,
        key_kind=key.kind,
    )
