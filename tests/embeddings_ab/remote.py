"""Arms that embed at a local server of the OpenAI form, faults at a chosen call, and time that has passed."""

from collections import Counter
from typing import Any

import pytest

from embeddings_ab.adapters.embedding_providers.canary import CANARY_TEXTS
from embeddings_ab.adapters.embedding_providers.openai import OpenAiProvider
from embeddings_ab.domain import provider_settings
from embeddings_ab.models import AbTest, Arm, Collection
from embeddings_ab.services import progress
from governance.domain.caller import Caller
from governance.models import ProviderRule, Quota
from governance.services.providers import create_rule
from tests.embeddings_ab.pipeline import Jobs
from tests.embeddings_ab.provider_server import ProviderServer

BUILD = "embeddings_ab.tasks.collections.build_collection"
RUN = "embeddings_ab.tasks.ab_tests.run_arm"


def permit(caller: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch, *, batch_texts: int = 2) -> ProviderRule:
    """Let the project call this machine, in small batches, one call after the other."""
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    settings.PARALLEL_REQUESTS = 1
    monkeypatch.setitem(provider_settings._BATCH_TEXTS, "openai", batch_texts)
    return create_rule(caller=caller, effect="allow", provider="*")


def remote_arm(server: ProviderServer, **changes: Any) -> dict[str, Any]:
    """An arm of vectors from the server."""
    return {"retrieval": "vector", "provider": "openai", "model": "m", "base_url": f"{server.url}/v1", **changes}


def fail_at(monkeypatch: pytest.MonkeyPatch, server: ProviderServer, call: int, kind: str, **details: Any) -> None:
    """From the `call`-th embedding on (1 is the first), the server fails as asked."""
    original = OpenAiProvider.embed
    count = 0

    def embed(self: OpenAiProvider, texts: Any, role: Any) -> Any:
        nonlocal count
        count += 1
        if count == call:
            server.fail(kind, path="/v1/embeddings", **details)
        return original(self, texts, role)

    monkeypatch.setattr(OpenAiProvider, "embed", embed)


def paid(server: ProviderServer) -> Counter[str]:
    """How often each text was embedded by calls that were answered well, without canaries and the revision's word."""
    texts = Counter(text for call in server.embed_calls if not call.fault for text in call.texts)
    return Counter({text: n for text, n in texts.items() if text not in CANARY_TEXTS and text != "revision"})


def let_time_pass(jobs: Jobs) -> None:
    """Whatever waits is due, and the sweep has come by."""
    for model in (Collection, Arm, AbTest):
        model.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=None)
        model.objects.update(dispatched_at=None)
    progress.send_lost_work()
    jobs.run()


def used(caller: Caller) -> dict[str, int]:
    """What builds take from the quotas."""
    resources = ["collections", "chunks", "embedding_tokens", "vector_bytes"]
    rows = Quota.objects.filter(project_id=caller.project_id, resource__in=resources)
    return dict(rows.values_list("resource", "used"))
