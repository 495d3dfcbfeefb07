"""What identifies the embedder of an arm: plain values, their defaults, and the part of them that changes a vector."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from governance.domain.errors import InvalidInput

Provider = Literal["synthetic", "minilm", "wordllama", "openai", "cohere", "tei"]
Role = Literal["document", "query"]

PROVIDERS: tuple[str, ...] = get_args(Provider)
LOCAL_PROVIDERS = frozenset({"synthetic", "minilm", "wordllama"})
#: Local models whose full vectors are cached; fewer dimensions are cut from them afterwards.
TRUNCATED_LOCALLY = frozenset({"minilm", "wordllama"})
DEFAULT_MODELS = {
    "synthetic": "hashing-v1",
    "minilm": "all-MiniLM-L6-v2",
    "wordllama": "l2_supercat_256",
}
FULL_DIMENSIONS = {"minilm": 384, "wordllama": 256}
SYNTHETIC_DIMENSIONS = 256

# A MiniLM batch takes about a second on two cores, so that a cancelled build ends soon.
_BATCH_TEXTS = {"synthetic": 256, "minilm": 32, "wordllama": 512, "openai": 128, "cohere": 96, "tei": 32}
_BATCH_TOKENS = {
    "synthetic": 200_000,
    "minilm": 8_192,
    "wordllama": 400_000,
    "openai": 100_000,
    "cohere": 50_000,
    "tei": 16_384,
}


@dataclass(frozen=True)
class ProviderSettings:
    """One embedder. Zero or None in the batch fields means the provider's own default.

    `revision` is the one asked for; empty takes whatever the provider has. `secret` is the NAME of a project secret.
    """

    provider: str
    model: str = ""
    revision: str = ""
    base_url: str = ""
    secret: str = ""
    dimensions: int | None = None
    document_prefix: str = ""
    query_prefix: str = ""
    normalise: bool = True
    batch_texts: int = 0
    batch_tokens: int = 0
    parallel_requests: int = 0
    timeout_seconds: float = 60.0
    encoding: Literal["base64", "float"] = "base64"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.provider not in PROVIDERS:
            raise InvalidInput(
                f"provider {self.provider!r} is unknown; choose one of {', '.join(PROVIDERS)}",
                field="provider",
                value=self.provider,
            )
        object.__setattr__(self, "model", self.model or DEFAULT_MODELS.get(self.provider, ""))
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))
        self._check_address()
        self._check_numbers()

    @property
    def is_local(self) -> bool:
        """Whether it runs in this process and calls nobody."""
        return self.provider in LOCAL_PROVIDERS

    @property
    def truncates_locally(self) -> bool:
        """True: `dimensions` is cut from full vectors; False: it goes into the request or the hashing."""
        return self.provider in TRUNCATED_LOCALLY

    def with_defaults(self) -> "ProviderSettings":
        """The same settings with the provider's batch limits written out."""
        return replace(
            self,
            batch_texts=self.batch_texts or _BATCH_TEXTS[self.provider],
            batch_tokens=self.batch_tokens or _BATCH_TOKENS[self.provider],
            parallel_requests=self.parallel_requests or (1 if self.is_local else 4),
        )

    def prefix(self, role: Role) -> str:
        """What stands before each text of this role."""
        return self.document_prefix if role == "document" else self.query_prefix

    def identity(self, role: Role | None = None) -> dict[str, Any]:
        """Everything that changes a vector, for hashes. With a role, its prefix alone: like roles share vectors.

        Left out: the secret's name, batch sizes, time-outs, transport encoding. A dimension that is cut from the full
        vectors afterwards is left out too, so that arms of 384 and of 128 dimensions embed a text once.
        """
        known: dict[str, Any] = {
            "provider": self.provider,
            "model": self.model,
            "revision": self.revision,
            "base_url": self.base_url,
            "dimensions": None if self.truncates_locally else self._dimensions_asked(),
            "normalise": self.normalise,
        }
        if role is None:
            return known | {"document_prefix": self.document_prefix, "query_prefix": self.query_prefix}
        if self.provider == "cohere":
            known["input_type"] = role
        return known | {"prefix": self.prefix(role)}

    def _dimensions_asked(self) -> int | None:
        return self.dimensions or (SYNTHETIC_DIMENSIONS if self.provider == "synthetic" else None)

    def _check_address(self) -> None:
        if self.is_local:
            for field in ("base_url", "secret"):
                if value := getattr(self, field):
                    raise InvalidInput(
                        f"{field} {value!r}: provider {self.provider!r} runs here and calls nobody; leave it out",
                        field=field,
                        value=value,
                    )
            default = DEFAULT_MODELS[self.provider]
            if self.model != default:
                raise InvalidInput(
                    f"model {self.model!r}: provider {self.provider!r} has one model, {default!r}; leave model out",
                    field="model",
                    value=self.model,
                )
            return
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise InvalidInput(
                f"base_url {self.base_url!r}: provider {self.provider!r} needs an http(s) address such as "
                "https://models.example.com/v1",
                field="base_url",
                value=self.base_url,
            )
        if address.username or address.password:
            raise InvalidInput(
                "base_url carries a user name or password; store it as a project secret and name that in secret",
                field="base_url",
            )
        if not self.model and self.provider != "tei":
            raise InvalidInput(f"provider {self.provider!r} needs model", field="model", value=self.model)

    def _check_numbers(self) -> None:
        full = FULL_DIMENSIONS.get(self.provider)
        if self.dimensions is not None and not 1 <= self.dimensions <= (full or 16_384):
            raise InvalidInput(
                f"dimensions {self.dimensions} must be between 1 and {full or 16_384} with provider {self.provider!r}",
                field="dimensions",
                value=self.dimensions,
            )
        if self.provider == "tei" and self.dimensions is not None:
            raise InvalidInput(
                f"dimensions {self.dimensions}: a TEI server returns its model's own; leave dimensions out",
                field="dimensions",
                value=self.dimensions,
            )
        for field in ("batch_texts", "batch_tokens", "parallel_requests", "threads"):
            if getattr(self, field) < 0:
                raise InvalidInput(
                    f"{field} {getattr(self, field)} must not be negative", field=field, value=getattr(self, field)
                )
        if not 0 < self.timeout_seconds <= 600:
            raise InvalidInput(
                f"timeout_seconds {self.timeout_seconds} must be above 0 and at most 600",
                field="timeout_seconds",
                value=self.timeout_seconds,
            )
