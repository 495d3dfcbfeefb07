"""Secrets of a project: written by maintainers, never shown again, opened by workers only."""

import re

import structlog
from django.db import IntegrityError, transaction

from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, DomainError, InvalidInput, NotFound
from governance.models import Secret
from governance.outbound import secrets as sealing
from governance.services import audit

LONGEST_VALUE = 8_192
MOST_SECRETS = 200
log = structlog.get_logger(__name__)


@transaction.atomic
def create_secret(*, caller: Caller, name: str, value: str) -> Secret:
    """Store a value under a new name. It is sealed before it is stored, and nothing shows it again."""
    caller.require(Action.SECRETS_WRITE)
    name = name.strip()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise InvalidInput(
            f"Field 'name' is {name[:64]!r}; use 1 to 64 letters, digits, dots, dashes and underscores, "
            "beginning with a letter or digit.",
            field="name",
            value=name[:64],
        )
    value = value.strip()
    # It becomes a header: nothing may end one and begin another.
    if not value or len(value) > LONGEST_VALUE or not value.isascii() or not value.isprintable():
        raise InvalidInput(
            f"Field 'value' must have 1 to {LONGEST_VALUE} visible ASCII characters in one line.", field="value"
        )
    if Secret.objects.filter(project_id=caller.project_id).count() >= MOST_SECRETS:
        raise Conflict(f"The project has {MOST_SECRETS} secrets already; delete some first.", field="name")
    sealed, key = sealing.seal(value, owner=caller.project_public_id, name=name)
    try:
        with transaction.atomic():
            secret = Secret.objects.create(
                project_id=caller.project_id, name=name, sealed=sealed, key_id=key, created_by=caller.actor_label[:240]
            )
    except IntegrityError:
        raise Conflict(
            f"A secret named {name!r} exists already; delete it first, or choose another name.",
            field="name",
            value=name,
        ) from None
    _record(caller, "secret.create", secret)
    return secret


@transaction.atomic
def delete_secret(*, caller: Caller, public_id: str) -> None:
    """Remove a secret. Work that names it fails from now on, saying so."""
    caller.require(Action.SECRETS_WRITE)
    secret = Secret.objects.select_for_update().filter(project_id=caller.project_id, public_id=public_id[:64]).first()
    if secret is None:
        raise NotFound(
            f"Secret {public_id[:64]!r} does not exist in this project.", field="secret_id", value=public_id[:64]
        )
    Secret.objects.filter(pk=secret.pk).delete()
    _record(caller, "secret.delete", secret)


def require_known(*, project_id: int, name: str, field: str = "secret") -> None:
    """Raise `NotFound` naming `field` unless the project has a secret of this name."""
    if not Secret.objects.filter(project_id=project_id, name=name[:64]).exists():
        raise NotFound(
            f"Field '{field}': there is no secret named {name[:64]!r} in this project. Store it, or name another.",
            field=field,
            value=name[:64],
        )


def reveal(*, project_id: int, name: str) -> str:
    """The value, for a worker that calls the provider now. Never log, store or show it."""
    secret = Secret.objects.select_related("project").filter(project_id=project_id, name=name[:64]).first()
    if secret is None:
        raise NotFound(
            f"There is no secret named {name[:64]!r} in this project any more. Store it again.",
            field="secret",
            value=name[:64],
        )
    return sealing.unseal(secret.sealed, key=secret.key_id, owner=secret.project.public_id, name=secret.name)


def reseal_all() -> tuple[int, int]:
    """Seal what still needs an old signing key with the present one; returns how many were, and how many could not."""
    done = failed = 0
    for pk in list(Secret.objects.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            secret = Secret.objects.select_for_update(of=("self",)).select_related("project").filter(pk=pk).first()
            if secret is None:
                continue
            owner = secret.project.public_id
            try:
                value = sealing.unseal(secret.sealed, key=secret.key_id, owner=owner, name=secret.name)
            except DomainError:
                failed += 1
                log.warning("secret_not_resealed", project=owner, secret=secret.name)
                continue
            before = secret.key_id
            secret.sealed, secret.key_id = sealing.seal(value, owner=owner, name=secret.name)
            if secret.key_id != before:
                secret.save(update_fields=["sealed", "key_id"])
                done += 1
    return done, failed


def _record(caller: Caller, action: str, secret: Secret) -> None:
    said = {"name": secret.name}
    audit.record(
        caller=caller,
        action=action,
        target_kind="secret",
        target_id=secret.public_id,
        target_label=secret.name,
        before=said if action == "secret.delete" else None,
        after=said if action == "secret.create" else None,
    )
