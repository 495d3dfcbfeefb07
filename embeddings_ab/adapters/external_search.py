"""A user's own search endpoint as an arm: asked over HTTP, its answer checked before anything is scored."""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from embeddings_ab.adapters.outbound_calls import Endpoint, HttpClient
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.spec import External

_TIMEOUT_SECONDS = 60.0
_NAMED = 5
DEFAULT_BODY: Mapping[str, Any] = {"query": "{query}", "depth": "{depth}"}


@dataclass(frozen=True)
class FoundDocuments:
    """Distinct known documents with finite scores in the order of the answer; what was put right on the way.

    `by_order`: the answer had no scores, so they are -1, -2, … by place. `repeated`: rows whose document came before.
    """

    documents: tuple[tuple[str, float], ...]
    repeated: int = 0
    by_order: bool = False


class ExternalSearch:
    """POSTs one query at a time. Cancel by closing the client."""

    def __init__(self, spec: External, *, secret_value: str | None, client: HttpClient) -> None:
        if spec.secret and not secret_value:
            raise ProviderFailed(f"secret {spec.secret!r} of the search endpoint has no value", cause="unauthorised")
        self._spec = spec
        self._endpoint = Endpoint(
            client, who=f"search endpoint {spec.url}", secret_value=secret_value, timeout=_TIMEOUT_SECONDS
        )

    def search(self, query: str, depth: int, *, known: Set[str]) -> FoundDocuments:
        """The best `depth` documents; rows beyond are left out. `known`: external ids of the corpus.

        Raises ProviderFailed (bad_answer) naming unknown ids, or a score that is no finite number, or some rows
        without one.
        """
        body = filled(DEFAULT_BODY if self._spec.body is None else self._spec.body, query=query, depth=depth)
        answer, _ = self._endpoint.post(self._spec.url, body)
        rows = self._rows(answer)
        found: dict[str, float | None] = {}
        unknown: list[str] = []
        taken = 0
        for place, row in enumerate(rows):
            if len(found) == depth:
                break
            taken += 1
            name = self._id(row, place)
            if name not in known:
                unknown.append(name)
            else:
                score = self._score(row, place)
                found.setdefault(name, score)
        if unknown:
            named = ", ".join(repr(name[:80]) for name in unknown[:_NAMED])
            more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
            raise self._endpoint.bad_answer(
                f"documents that the corpus does not have: {named}{more}; id_field must hold the corpus's external ids",
                unknown=unknown[:_NAMED],
                unknown_count=len(unknown),
            )
        scored = [(name, score) for name, score in found.items() if score is not None]
        if scored and len(scored) != len(found):
            raise self._endpoint.bad_answer(
                f"{len(found) - len(scored)} of {len(found)} rows without {self._spec.score_field!r}; send scores for "
                "all rows or for none"
            )
        by_order = bool(found) and not scored
        documents = [(name, -float(place)) for place, name in enumerate(found, start=1)] if by_order else scored
        return FoundDocuments(tuple(documents), repeated=taken - len(found), by_order=by_order)

    def close(self) -> None:
        """The client belongs to the job and is closed there."""

    def _rows(self, answer: Any) -> list[Any]:
        value = answer
        for key in filter(None, self._spec.results_path.split(".")):
            if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, list):
            raise self._endpoint.bad_answer(f"no list at results_path {self._spec.results_path!r}")
        return value

    def _id(self, row: Any, place: int) -> str:
        """A row's document. A row may be the bare id; numbers stand for their digits."""
        name = row.get(self._spec.id_field) if isinstance(row, dict) else row
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise self._endpoint.bad_answer(f"row {place} without {self._spec.id_field!r}", position=place)
        return str(name)

    def _score(self, row: Any, place: int) -> float | None:
        score = row.get(self._spec.score_field) if isinstance(row, dict) else None
        if score is None:
            return None
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise self._endpoint.bad_answer(f"score {score!r} in row {place}, expected a finite number", position=place)
        return float(score)


def filled(template: Any, *, query: str, depth: int) -> Any:
    """The template with "{query}" and "{depth}" put in, at any depth. A bare "{depth}" becomes a number.

    The query is put in last and never looked at again, so braces in it stay what they are.
    """
    if isinstance(template, Mapping):
        return {key: filled(value, query=query, depth=depth) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [filled(value, query=query, depth=depth) for value in template]
    if template == "{depth}":
        return depth
    if isinstance(template, str):
        return query.join(part.replace("{depth}", str(depth)) for part in template.split("{query}"))
    return template
