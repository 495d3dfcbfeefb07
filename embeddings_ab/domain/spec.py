"""What a person writes to describe a test: read once, checked whole, every default written out.

Contradictions are refused here, before anything is built. The same shapes serve REST, the command line and the console.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

ArmName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.+-]{0,63}$")]
LOCAL_PROVIDERS = ("synthetic", "minilm", "wordllama")
MAX_ARMS = 32
MAX_DEPTH = 1000


class Shape(BaseModel):
    """No unknown key passes: a typo would otherwise measure something else in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def given(self) -> set[str]:
        """Fields that say something else than their default: a stored specification has every default written out."""
        fields = type(self).model_fields
        return {name for name in self.model_fields_set if getattr(self, name) != fields[name].get_default()}


class Chunking(Shape):
    """How documents are cut. `none` keeps each document whole."""

    method: Literal["none", "tokens", "sentences", "recursive"] = "none"
    size: int = Field(default=256, ge=8, le=100_000, description="tokens in a chunk")
    overlap: int = Field(default=0, ge=0, description="tokens that neighbours share")

    @model_validator(mode="after")
    def _fits(self) -> "Chunking":
        if self.method == "none" and self.given() - {"method"}:
            raise ValueError("method 'none' takes neither size nor overlap; leave them out or choose another method")
        if self.method != "none" and self.overlap >= self.size:
            raise ValueError(f"overlap {self.overlap} must be smaller than size {self.size}")
        return self


class Lexical(Shape):
    """A lexical index. k1, b, stop words and stemmer belong to bm25s alone; the databases have their own."""

    engine: Literal["bm25s", "sqlite_fts5", "postgres_fts"] = "bm25s"
    k1: float = Field(default=1.5, ge=0, le=10)
    b: float = Field(default=0.75, ge=0, le=1)
    stop_words: Literal["en", "none"] = "en"
    stemmer: str = Field(default="none", pattern=r"^[a-z]{2,20}$")

    @model_validator(mode="after")
    def _fits(self) -> "Lexical":
        if self.engine != "bm25s" and (extra := self.given() - {"engine"}):
            raise ValueError(f"{', '.join(sorted(extra))}: only engine 'bm25s' has these settings")
        return self


class Fusion(Shape):
    """How two rankings become one. `alpha` is the weight of the vectors: 0 is lexical alone, 1 vectors alone."""

    method: Literal["rrf", "convex"] = "rrf"
    k: int = Field(default=60, ge=1, le=10_000)
    vector_weight: float = Field(default=1.0, ge=0, le=1000)
    lexical_weight: float = Field(default=1.0, ge=0, le=1000)
    alpha: float = Field(default=0.5, ge=0, le=1)
    depth: int | None = Field(
        default=None, ge=1, le=MAX_DEPTH, description="candidates of each side; None: as deep as asked"
    )

    @model_validator(mode="after")
    def _fits(self) -> "Fusion":
        of_rrf, of_convex = {"k", "vector_weight", "lexical_weight"}, {"alpha"}
        if wrong := self.given() & (of_convex if self.method == "rrf" else of_rrf):
            raise ValueError(f"{', '.join(sorted(wrong))}: method {self.method!r} has no such setting")
        if self.method == "rrf" and self.vector_weight == self.lexical_weight == 0:
            raise ValueError("vector_weight and lexical_weight cannot both be 0")
        return self


class Index(Shape):
    """How vectors are searched. Anything but `exact` is a thing to measure, never a silent judge."""

    kind: Literal["exact", "hnsw", "pgvector_exact", "pgvector_hnsw"] = "exact"
    m: int = Field(default=16, ge=2, le=100)
    ef_construction: int = Field(default=100, ge=4, le=2000)
    ef_search: int = Field(default=100, ge=1, le=2000)

    @model_validator(mode="after")
    def _fits(self) -> "Index":
        if not self.kind.endswith("hnsw") and (extra := self.given() - {"kind"}):
            raise ValueError(f"{', '.join(sorted(extra))}: index {self.kind!r} has no such setting")
        return self


class Quantisation(Shape):
    """How vectors are kept while searching. `bits` are rescored: the best `rescore` by Hamming distance, exactly."""

    kind: Literal["float32", "float16", "int8", "bits"] = "float32"
    rescore: int = Field(default=200, ge=0, le=10_000)


class Reranker(Shape):
    """What reorders the best `depth` candidates."""

    kind: Literal["overlap", "http", "cross_encoder"] = "overlap"
    form: Literal["cohere", "jina", "tei"] = "cohere"
    url: str = ""
    secret: str = ""
    model: str = ""
    path: str = Field(default="", description="folder of a local cross-encoder")
    depth: int = Field(default=100, ge=1, le=MAX_DEPTH)

    @model_validator(mode="after")
    def _fits(self) -> "Reranker":
        if self.kind == "http" and not self.url:
            raise ValueError("a reranker of kind 'http' needs url")
        if self.kind == "cross_encoder" and not self.path:
            raise ValueError("a reranker of kind 'cross_encoder' needs path")
        return self


class External(Shape):
    """A search endpoint of the user's own."""

    url: str = Field(min_length=1)
    secret: str = ""
    body: dict[str, Any] | None = Field(default=None, description='template with "{query}" and "{depth}"')
    results_path: str = "results"
    id_field: str = "id"
    score_field: str = "score"


_VECTOR_FIELDS = {
    "provider", "model", "revision", "base_url", "secret", "dimensions", "document_prefix", "query_prefix",
    "normalise", "quantisation", "index",
}  # fmt: skip


class ArmSpec(Shape):
    """One arm. Which fields it may carry follows from `retrieval`."""

    retrieval: Literal["vector", "lexical", "hybrid", "external", "run"]
    provider: Literal["synthetic", "minilm", "wordllama", "openai", "cohere", "tei"] | None = None
    model: str = Field(default="", max_length=200)
    revision: str = Field(default="", max_length=200)
    base_url: str = Field(default="", max_length=500)
    secret: str = Field(default="", max_length=100, description="name of a project secret, never the key itself")
    dimensions: int | None = Field(default=None, ge=1, le=16_384)
    document_prefix: str = Field(default="", max_length=1000)
    query_prefix: str = Field(default="", max_length=1000)
    normalise: bool = True
    quantisation: Quantisation = Quantisation()
    index: Index = Index()
    chunking: Chunking = Chunking()
    lexical: Lexical | None = None
    fusion: Fusion | None = None
    candidate_depth: int | None = Field(default=None, ge=1, le=MAX_DEPTH)
    reranker: Reranker | None = None
    external: External | None = None
    run: str = Field(default="", max_length=120, description="name of an uploaded TREC run")

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, dict):
            value = dict(value)
            for field in ("index", "quantisation", "reranker"):
                if isinstance(value.get(field), str):
                    value[field] = {"kind": value[field]}
            if isinstance(value.get("chunking"), str):
                value["chunking"] = {"method": value["chunking"]}
            if isinstance(value.get("fusion"), str):
                value["fusion"] = {"method": value["fusion"]}
            if isinstance(value.get("lexical"), str):
                value["lexical"] = {"engine": value["lexical"]}
            if value.get("retrieval") in ("lexical", "hybrid") and value.get("lexical") is None:
                value["lexical"] = {}
            if value.get("retrieval") == "hybrid" and value.get("fusion") is None:
                value["fusion"] = {}
        return value

    @model_validator(mode="after")
    def _fits(self) -> "ArmSpec":
        given = self.given()
        embeds = self.retrieval in ("vector", "hybrid")
        if embeds and self.provider is None:
            raise ValueError(f"retrieval {self.retrieval!r} needs provider")
        if not embeds and (wrong := given & _VECTOR_FIELDS - {"index", "quantisation", "normalise"}):
            raise ValueError(f"{', '.join(sorted(wrong))}: retrieval {self.retrieval!r} embeds nothing")
        if not embeds and (self.index != Index() or self.quantisation != Quantisation()):
            raise ValueError(f"index and quantisation: retrieval {self.retrieval!r} searches no vectors")
        if self.retrieval not in ("lexical", "hybrid") and self.lexical is not None:
            raise ValueError(f"lexical: retrieval {self.retrieval!r} has no lexical side")
        if self.retrieval != "hybrid" and self.fusion is not None:
            raise ValueError(f"fusion: retrieval {self.retrieval!r} has one side only; use 'hybrid'")
        if (self.retrieval == "external") != (self.external is not None):
            raise ValueError("external: given exactly when retrieval is 'external'")
        if (self.retrieval == "run") != bool(self.run):
            raise ValueError("run: given exactly when retrieval is 'run'")
        if self.retrieval in ("external", "run") and (self.chunking != Chunking() or self.reranker):
            raise ValueError(f"chunking and reranker: retrieval {self.retrieval!r} brings its own ranking")
        if embeds and self.provider in LOCAL_PROVIDERS and (self.base_url or self.secret):
            raise ValueError(f"base_url and secret: provider {self.provider!r} runs here and calls nobody")
        if (
            embeds
            and self.provider not in LOCAL_PROVIDERS
            and not (self.base_url and (self.model or self.provider == "tei"))
        ):
            raise ValueError(f"provider {self.provider!r} needs base_url and model")
        if self.quantisation.kind != "float32" and self.index.kind != "exact":
            raise ValueError("quantisation: only index 'exact' searches quantised vectors")
        return self


class CleanUp(Shape):
    """When a finished test lets go of its collections. Results always stay."""

    on_complete: bool = False
    ttl_hours: int = Field(default=168, ge=0, le=24 * 366)


class Limits(Shape):
    """Bounds that are kept: more documents or queries are refused, more time ends the test."""

    max_documents: int | None = Field(default=None, ge=1)
    max_queries: int | None = Field(default=None, ge=1)
    timeout_seconds: int | None = Field(default=None, ge=1, le=7 * 86_400)


class TestSpec(Shape):
    """One test. `control`, `primary_metric`, `alpha`, `margin` and `seed` decide; the rest is exploratory."""

    __test__ = False

    name: str = Field(min_length=1, max_length=200)
    corpus: str = Field(min_length=1, max_length=140, description="name, or name@version")
    query_set: str = Field(min_length=1, max_length=140, description="name, or name@version")
    metrics: tuple[str, ...] = Field(min_length=1, max_length=64)
    primary_metric: str = ""
    control: str = ""
    arms: dict[ArmName, ArmSpec] = Field(min_length=1, max_length=MAX_ARMS)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    margin: float | None = Field(default=None, gt=0, lt=1, description="differences within it are equivalent")
    effect: float | None = Field(default=None, gt=0, lt=1, description="smallest difference worth finding")
    seed: int = Field(default=20_260_101, ge=0, lt=2**53)
    draws: int = Field(default=100_000, ge=1_000, le=1_000_000, description="sign flips of the permutation test")
    relevant_from: int = Field(default=1, ge=1, le=100, description="least grade that counts as relevant")
    drop_same_id: bool = Field(default=False, description="drop a document whose id is the query's (ArguAna)")
    slices: tuple[str, ...] = Field(default=(), max_length=8, description="keys of query metadata")
    cluster_key: str = Field(
        default="", max_length=100, description="query metadata key of queries that belong together"
    )
    latency_queries: int = Field(default=200, ge=0, le=200, description="queries of the latency sample, per arm")
    reuse_existing: bool = True
    clean_up: CleanUp = CleanUp()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _fits(self) -> "TestSpec":
        if self.control and self.control not in self.arms:
            raise ValueError(f"control {self.control!r} is no arm; arms are {', '.join(self.arms)}")
        if len(set(self.metrics)) != len(self.metrics):
            raise ValueError("metrics: one is named twice")
        return self
