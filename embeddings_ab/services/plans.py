"""What a test would cost before it starts: texts to embed, calls, tokens, money and minutes of each arm.

Nothing is built and nobody is called. What is cached is found under the revision that the provider showed last.
"""

from typing import Any

from django.db.models import Sum

from embeddings_ab.domain.batches import cut_batches, latency_sample
from embeddings_ab.domain.provider_settings import ProviderSettings
from embeddings_ab.domain.spec import ArmSpec, Chunking, TestSpec
from embeddings_ab.domain.statuses import CollectionStatus
from embeddings_ab.models import Collection, Corpus, EmbeddingSpace, QuerySet
from embeddings_ab.services import ab_tests, embedding_cache, provider_access
from embeddings_ab.services.corpus_texts import chunks_of, queries_of
from embeddings_ab.services.costs import cost_now
from governance.domain.actions import Action
from governance.domain.caller import Caller

_CHARACTERS_PER_TOKEN = 4  # of an estimate that says it is one


def plan_test(*, caller: Caller, spec: TestSpec) -> dict[str, Any]:
    """By arm what would be done; texts that an earlier arm of the same test embeds are counted there."""
    caller.require(Action.AB_READ)
    complete, corpus, query_set = ab_tests.checked(caller=caller, spec=spec)
    planner = _Planner(caller, complete, corpus, query_set)
    arms = {name: planner.arm(arm) for name, arm in complete.arms.items()}
    return {
        "name": complete.name,
        "corpus": str(corpus),
        "query_set": str(query_set),
        "documents": corpus.document_count,
        "queries": query_set.query_count,
        "judged_queries": query_set.judged_query_count,
        "arms": arms,
        "warnings": planner.warnings,
    }


class _Planner:
    def __init__(self, caller: Caller, spec: TestSpec, corpus: Corpus, query_set: QuerySet) -> None:
        self.caller, self.spec, self.corpus = caller, spec, corpus
        self.chunks: dict[str, dict[str, int]] = {}
        self.counts: dict[str, int] = {}
        self.queries = {embedding_cache.text_hash(q.text): _tokens(q.text) for q in queries_of(query_set)}
        self.planned: dict[str, set[str]] = {}
        self.warnings: list[str] = []
        if query_set.judged_query_count == 0:
            self.warnings.append("No query has a judgment: every measure will be undefined. Judge some first.")
        elif query_set.judged_query_count < 50:
            self.warnings.append(
                f"Only {query_set.judged_query_count} queries have judgments: intervals will be wide and rough."
            )

    def _chunks(self, chunking: Chunking) -> tuple[dict[str, int], int]:
        key = chunking.model_dump_json()
        if key not in self.chunks:
            found = chunks_of(self.corpus, chunking)
            self.chunks[key] = {embedding_cache.text_hash(text): _tokens(text) for text in found.texts}
            self.counts[key] = len(found.texts)
        return self.chunks[key], self.counts[key]

    def arm(self, arm: ArmSpec) -> dict[str, Any]:
        """One arm's share."""
        plan: dict[str, Any] = {
            "retrieval": arm.retrieval,
            "documents": self.corpus.document_count,
            "chunks": None,
            "texts_to_embed": 0,
            "cached": 0,
            "provider_calls": 0,
            "tokens": 0,
            "cost": "0",
            "currency": "",
            "minutes": 0.0,
        }
        if arm.retrieval in ("external", "run"):
            plan["provider_calls"] = len(self.queries) if arm.retrieval == "external" else 0
            return plan
        texts, plan["chunks"] = self._chunks(arm.chunking)
        if arm.provider is not None:
            settings = provider_access.settings_of(arm).with_defaults()
            self._embedding(plan, settings, texts)
        return plan

    def _embedding(self, plan: dict[str, Any], settings: ProviderSettings, texts: dict[str, int]) -> None:
        rate = self._seconds_per_token(settings)
        tokens = 0
        timed = latency_sample(list(self.queries))
        for role, wanted in (("document", texts), ("query", self.queries)):
            space = self._space(settings, role)
            there = embedding_cache.present(space, wanted) if space is not None else set()
            planned = self.planned.setdefault(str(settings.identity(role)), set())  # type: ignore[arg-type]
            missing = [key for key in wanted if key not in there and key not in planned]
            planned.update(missing)
            batches = cut_batches(
                missing,
                tokens=wanted.__getitem__,
                alone=timed.__contains__ if role == "query" else never,
                most_texts=settings.batch_texts,
                most_tokens=settings.batch_tokens,
            )
            plan["texts_to_embed"] += len(missing)
            plan["cached"] += len(wanted) - len(missing)
            plan["provider_calls"] += sum(1 for _ in batches)
            tokens += sum(wanted[key] for key in missing)
        plan["tokens"] = tokens
        price = cost_now(
            project_id=self.caller.project_id, provider=settings.provider, model=settings.model, tokens=tokens
        )
        plan["cost"] = None if price is None else f"{price.amount:f}"
        plan["currency"] = "" if price is None else price.currency
        plan["minutes"] = round(tokens * rate / 60, 2) if rate is not None else (0.0 if tokens == 0 else None)

    def _space(self, settings: ProviderSettings, role: str) -> EmbeddingSpace | None:
        if not self.spec.reuse_existing:
            return None
        found = EmbeddingSpace.objects.filter(
            project_id=self.caller.project_id,
            is_current=True,
            provider=settings.provider,
            model=settings.model,
        )
        wanted = {key: value for key, value in settings.identity(role).items() if key not in ("revision", "normalise")}  # type: ignore[arg-type]
        for space in found.order_by("-last_used_at"):
            if all(space.identity.get(key) == value for key, value in wanted.items()):
                return space
        return None

    def _seconds_per_token(self, settings: ProviderSettings) -> float | None:
        """From what was built before with this model."""
        built = Collection.objects.filter(
            project_id=self.caller.project_id,
            status=CollectionStatus.READY,
            space__provider=settings.provider,
            space__model=settings.model,
        ).aggregate(seconds=Sum("provider_seconds"), tokens=Sum("token_count"))
        return float(built["seconds"]) / built["tokens"] if built["tokens"] else None


def never(key: str) -> bool:
    """No document goes in a call of its own."""
    return False


def _tokens(text: str) -> int:
    return max(len(text) // _CHARACTERS_PER_TOKEN, 1)
