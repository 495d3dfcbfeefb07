"""Which space a provider's vectors belong to, and whether the model behind the name is still the same."""

import datetime as dt
from dataclasses import replace
from typing import Any, Literal

import structlog
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from embeddings_ab import telemetry
from embeddings_ab.domain.fingerprint import canonical_json_hash
from embeddings_ab.domain.provider_settings import ProviderSettings
from embeddings_ab.models import EmbeddingSpace
from embeddings_ab.services.provider_access import Access

CANARY_VALID_FOR = dt.timedelta(minutes=10)
Role = Literal["document", "query"]
log = structlog.get_logger(__name__)


def identity_of(settings: ProviderSettings, access: Access, role: Role) -> dict[str, Any]:
    """Everything that changes a vector of this role.

    Dimensions cut here, normalisation and quantisation happen while searching: arms that differ in them alone share
    one space, and embed once.
    """
    with telemetry.timed_call(settings.provider):
        revision = access.provider.ask_revision()
    return {**replace(settings, normalise=False).identity(role), "revision": revision}


def _checked_just_now(
    project_id: int, settings: ProviderSettings, role: Role, extra: dict[str, Any]
) -> EmbeddingSpace | None:
    """The space of these settings whose revision and canary were looked at within the last minutes: nobody is called.

    Two revisions at once (replicas in the middle of an upgrade) are no answer.
    """
    asked = {**replace(settings, normalise=False).identity(role), **extra}
    rows = EmbeddingSpace.objects.filter(
        project_id=project_id,
        provider=settings.provider,
        is_current=True,
        canary_checked_at__gt=timezone.now() - CANARY_VALID_FOR,
    ).defer("canary")
    found = [row for row in rows if {**row.identity, "revision": settings.revision} == asked]
    wanted = [
        row for row in found if not settings.revision or settings.revision in (row.revision, *row.revision.split())
    ]
    return wanted[0] if len(wanted) == 1 else None


def current_space(
    *, project_id: int, settings: ProviderSettings, access: Access, role: Role, private: str = ""
) -> EmbeddingSpace:
    """The space of the provider as it answers now.

    Twenty canary texts are embedded when they were not within the last minutes. When one of their vectors has turned
    by more than the limit, another model stands behind the same name: a new generation begins, and nothing of the old
    one is reused. `private` (a test's id) makes a space that no other test shares.
    """
    provider = access.provider
    extra = {"private": private} if private else {}
    if not provider.is_local and (just_now := _checked_just_now(project_id, settings, role, extra)):
        return just_now
    with access.slot(project_id):
        identity = {**identity_of(settings, access, role), **extra}
    key = canonical_json_hash(identity)
    current = EmbeddingSpace.objects.filter(project_id=project_id, identity_hash=key, is_current=True)
    space = current.first()
    # The revision of a local provider is a hash of its weights: nothing else can be behind the name.
    if space is not None and (provider.is_local or space.canary_checked_at > timezone.now() - CANARY_VALID_FOR):
        EmbeddingSpace.objects.filter(pk=space.pk).update(last_used_at=Now())
        return space
    import numpy as np

    from embeddings_ab.adapters.embedding_providers.canary import CANARY_TEXTS, drift, has_drifted

    with access.slot(project_id), telemetry.timed_call(settings.provider):
        vectors = provider.embed([settings.prefix(role) + text for text in CANARY_TEXTS], role).vectors
    if space is not None:
        known = np.frombuffer(bytes(space.canary), dtype=np.float32).reshape(len(CANARY_TEXTS), -1)
        if not has_drifted(known, vectors):
            EmbeddingSpace.objects.filter(pk=space.pk).update(canary_checked_at=Now(), last_used_at=Now())
            return space
        log.warning(
            "model_changed_behind_its_name",
            provider=settings.provider,
            model=settings.model,
            revision=provider.revision,
            least_cosine=drift(known, vectors),
            generation=space.generation + 1,
        )
    try:
        with transaction.atomic():
            if space is not None:
                current.filter(pk=space.pk).update(is_current=False)
            return EmbeddingSpace.objects.create(
                project_id=project_id,
                identity_hash=key,
                generation=space.generation + 1 if space else 1,
                identity=identity,
                provider=settings.provider,
                model=provider.settings.model,
                revision=provider.revision,
                dimensions=int(vectors.shape[1]),
                canary=vectors.tobytes(),
                canary_checked_at=timezone.now(),
            )
    except IntegrityError:  # another worker made it at this moment
        return current.get()
