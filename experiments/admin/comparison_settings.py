"""What a visitor asks of a comparison: which runs, and the settings of the small form, read from the address."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from django.http import QueryDict

from experiments.domain.comparison_options import CORRECTIONS, ComparisonOptions, options_from
from experiments.models import Run
from experiments.selectors.runs import run_not_found, runs_of
from governance.admin.pages import Visit, clean
from governance.domain.errors import InvalidInput

MOST_RUNS = 8
PER_METRIC = ("margin", "noninferiority", "effect", "bounds")
SETTINGS = ("confidence", "correction", "missing", "cluster", "primary", "slice_by", "slice_metric", *PER_METRIC)
CORRECTION_WORDS = {"holm": "Holm", "benjamini_hochberg": "Benjamini-Hochberg", "none": "none"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The settings, the texts that stand in the form, and what is wrong with them (then the usual ones hold)."""

    options: ComparisonOptions
    texts: Mapping[str, str] = field(default_factory=dict)
    fault: InvalidInput | None = None

    @property
    def is_usual(self) -> bool:
        """Whether nothing was changed."""
        return self.options.said() == ComparisonOptions().said()


def chosen_runs(visit: Visit) -> list[Run]:
    """The runs of `?baseline=`, `?candidate=` and `?run=`, the baseline first; empty when fewer than two are named.

    Without a baseline the oldest is it. A run may be named by our id or by the client's. One query.
    """
    query = visit.request.GET
    baseline = clean(query.get("baseline"), 255)
    named = [baseline, clean(query.get("candidate"), 255), *(clean(text, 255) for text in query.getlist("run"))]
    keys = list(dict.fromkeys(key for key in named if key))
    if len(keys) > MOST_RUNS:
        raise InvalidInput(f"{len(keys)} runs are chosen; compare at most {MOST_RUNS} at once.", field="run")
    rows = (
        runs_of(visit.caller).filter(Q(public_id__in=keys) | Q(run_key__in=keys))
        if keys
        else runs_of(visit.caller).none()
    )
    found = {run.run_key: run for run in rows} | {run.public_id: run for run in rows}
    for key in keys:
        if key not in found:
            raise run_not_found(key)
    runs = list({found[key].pk: found[key] for key in keys}.values())
    if len(runs) < 2:
        return []
    return runs if baseline else sorted(runs, key=lambda run: (run.created_at, run.pk))


def asked_of(given: QueryDict) -> Asked:
    """The settings among `given`: the API's own parameters, and the form's fields `margin.<metric>` and so on."""
    query = QueryDict(mutable=True)
    texts: dict[str, str] = {}
    for name, values in given.lists():
        kind, _, metric = name.partition(".")
        last = clean(values[-1], 300)
        if kind in PER_METRIC and metric and last:
            query.appendlist(kind, f"{metric}={last}")
            texts[name] = last
        elif name in PER_METRIC:
            for text in values:
                query.appendlist(name, text)
                told, _, number = text.rpartition("=")
                texts[f"{name}.{told}"] = number
        elif name == "percent" and last:
            query["confidence"] = _share(last)
            texts["percent"] = last
        elif name in SETTINGS and last:
            query[name] = last
            texts[name] = last
    texts.setdefault("percent", _percent(query.get("confidence")))
    try:
        return Asked(options_from(query), texts)
    except InvalidInput as fault:
        return Asked(ComparisonOptions(), texts, fault)


def metric_fields(asked: Asked, names: list[str]) -> list[dict[str, Any]]:
    """One line of the form per metric: its margin, the difference worth finding, its bounds."""
    return [
        {"name": name, **{kind: asked.texts.get(f"{kind}.{name}", "") for kind in PER_METRIC}}
        for name in dict.fromkeys(names)
    ]


def corrections() -> list[tuple[str, str]]:
    """(value, words) of the corrections to choose from."""
    return [(name, CORRECTION_WORDS[name]) for name in CORRECTIONS]


def _share(text: str) -> str:
    try:
        return f"{float(text.replace('%', '').strip()) / 100:.6g}"
    except ValueError:
        return text


def _percent(confidence: str | None) -> str:
    try:
        return f"{float(confidence or 0.95) * 100:g}"
    except ValueError:
        return confidence or ""
