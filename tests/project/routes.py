"""Every route of the protocol and of the native API, found by walking the URL resolver, and a good body for each."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.test import RequestFactory
from django.urls import URLPattern, get_resolver

# Doors for operators and browsers, which have tests of their own.
EXEMPT = ("health/", "internal/", "console", "static/", "api/v1/schema", "api/v1/^", "^$", "favicon", "")
_WRITES = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class Route:
    """One method of one address. `pattern` as Django spells it; `canonical` without the alias's difference."""

    method: str
    pattern: str
    is_native: bool

    @property
    def canonical(self) -> str:
        if self.is_native or self.pattern.startswith(("v1/", "opentelemetry/", "session/")):
            return self.pattern
        if self.pattern in ("events", "events/batch", "events/model", "events/model/batch"):
            return self.pattern
        return f"v1/{self.pattern}"

    @property
    def name(self) -> str:
        return f"{self.method} {self.canonical}"

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"


def _walk(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for item in patterns:
        if isinstance(item, URLPattern):
            yield prefix + str(item.pattern), item.callback
        else:
            yield from _walk(item.url_patterns, prefix + str(item.pattern))


def all_routes() -> list[Route]:
    """What the resolver holds now; a new route is here without anybody's doing."""
    found = []
    for pattern, view in _walk(get_resolver().url_patterns):
        if any(pattern.startswith(start) for start in EXEMPT if start) or pattern == "":
            continue
        if native := getattr(view, "view_class", None):
            methods = [name.upper() for name in native.http_method_names if hasattr(native, name)]
        else:
            refusal = view(RequestFactory().generic("TRACE", "/"))
            methods = refusal["Allow"].split(", ")
        found += [Route(m, pattern, native is not None) for m in methods if m not in ("HEAD", "OPTIONS")]
    return found


def is_write(route: Route) -> bool:
    return route.method in _WRITES


INGESTION = {
    "POST session/start",
    "POST session/<str:session_id>/traces",
    "POST v1/sessions",
    "POST v1/sessions/<str:session_id>/events/batch",
    "POST events",
    "PUT events",
    "POST events/batch",
    "POST events/model",
    "POST events/model/batch",
    "POST v1/events",
    "PUT v1/events",
    "POST v1/events/batch",
    "POST v1/events/model",
    "POST v1/events/model/batch",
    "PUT v1/events/<str:event_id>",
    "POST opentelemetry/v1/traces",
    "POST v1/traces",
}


def bodies(ids: dict[str, str]) -> dict[str, Any]:
    """A body that each writing route accepts, made of the given ids; None where a route takes none."""
    event = {"event_type": "tool", "inputs": {"q": 1}, "event_id": ids["event_id"], "session_id": ids["session_id"]}
    update = {"metadata": {"k": "v"}, "metrics": {"m": 1}}
    session = {"session_id": ids["session_id"], "session_name": "s", "metadata": {"run_id": ids["run_id"]}}
    metric = {"name": "another", "type": "PYTHON", "criteria": "x"}
    trial = {"metric": {**metric, "criteria": "exact_match"}, "event": {"outputs": 1, "feedback": {"ground_truth": 1}}}
    span = {
        "traceId": ids["trace_id"],
        "spanId": "00f067aa0ba902b7",
        "name": "span",
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000001000000000",
        "attributes": [{"key": "honeyhive.session_id", "value": {"stringValue": ids["session_id"]}}],
    }
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    dataset = {"name": "renamed", "datapoints": []}
    run = {"name": "renamed", "metadata": {"k": "v"}}
    key = {"name": "k"}
    ab_test = {
        "name": "another",
        "corpus": ids["corpus_id"],
        "query_set": ids["query_set_id"],
        "metrics": ["nDCG@10"],
        "arms": {
            "a": {"retrieval": "lexical", "lexical": {"k1": 1.2}},
            "b": {"retrieval": "hybrid", "provider": "synthetic", "fusion": {"method": "convex", "alpha": 0.4}},
        },
    }
    configuration = {
        "name": "another",
        "provider": "openai",
        "parameters": {"call_type": "chat", "model": "m", "template": "{{question}}"},
    }
    experiment = {
        "name": "another",
        "dataset_id": ids["dataset_id"],
        "target": {
            "kind": "http",
            "url": "https://target.example/answer",
            "headers": {"X-Kind": "test"},
            "body": {"q": "{{inputs.q}}"},
        },
        "evaluators": [{"kind": "builtin", "name": "exact_match"}],
        "retry": {"max_attempts": 2},
        "tags": ["t"],
        "bounds": {"score": [0, 1]},
        "passing_ranges": {"score": {"min": 1}},
    }
    return {
        "POST session/start": {"session": session},
        "POST session/<str:session_id>/traces": {"events": [event]},
        "POST v1/sessions": session,
        "POST v1/sessions/<str:session_id>/events/batch": {"events": [event]},
        "DELETE v1/sessions/<str:session_id>": None,
        "POST events": {"event": event},
        "PUT events": {"event_id": ids["event_id"], **update},
        "POST events/batch": {"events": [event]},
        "POST events/model": {"model_event": {**event, "event_type": "model"}},
        "POST events/model/batch": {"model_events": [{**event, "event_type": "model"}]},
        "POST v1/events": event,
        "PUT v1/events": {"event_id": ids["event_id"], **update},
        "POST v1/events/batch": {"events": [event]},
        "POST v1/events/model": {"model_event": {**event, "event_type": "model"}},
        "POST v1/events/model/batch": {"model_events": [{**event, "event_type": "model"}]},
        "POST v1/events/export": {"filters": []},
        "POST v1/events/search": {"filters": []},
        "PUT v1/events/<str:event_id>": update,
        "POST v1/runs": {"run_id": ids["run_id"], **run, "event_ids": [ids["session_id"]]},
        "PUT v1/runs/<str:run_id>": run,
        "DELETE v1/runs/<str:run_id>": None,
        "POST v1/metrics": metric,
        "POST v1/metrics/run_metric": trial,
        "POST v1/metrics/run": trial,
        "PUT v1/metrics": {"id": ids["metric_id"], "description": "d"},
        "DELETE v1/metrics": None,
        "PUT v1/metrics/<str:metric_id>": {"description": "d"},
        "DELETE v1/metrics/<str:metric_id>": None,
        "POST v1/metrics/<str:metric_id>/versions": {"message": "m", "content": metric},
        "POST v1/metrics/<str:metric_id>/versions/<str:name>/deploy": None,
        "POST v1/configurations": configuration,
        "PUT v1/configurations/<str:configuration_id>": {**configuration, "name": "renamed"},
        "DELETE v1/configurations/<str:configuration_id>": None,
        "POST v1/datasets": {"name": "another", "datapoints": [ids["datapoint_id"]]},
        "PUT v1/datasets": {"dataset_id": ids["dataset_id"], **dataset},
        "DELETE v1/datasets": None,
        "PUT v1/datasets/<str:dataset_id>": dataset,
        "DELETE v1/datasets/<str:dataset_id>": None,
        "POST v1/datasets/<str:dataset_id>/datapoints": {"data": [{"q": 1}], "mapping": {"inputs": ["q"]}},
        "DELETE v1/datasets/<str:dataset_id>/datapoints/<str:datapoint_id>": None,
        "DELETE v1/datasets/<str:dataset_id>/<str:datapoint_id>": None,
        "POST v1/datapoints": {"inputs": {"q": 1}, "linked_datasets": [ids["dataset_id"]]},
        "POST v1/datapoints/batch": {"events": [ids["event_id"]], "dataset_id": ids["dataset_id"]},
        "PUT v1/datapoints/<str:datapoint_id>": {"inputs": {"q": 2}, "linked_datasets": []},
        "DELETE v1/datapoints/<str:datapoint_id>": None,
        "POST v1/projects/<str:project_id>/ingestion_api_keys": key,
        "POST v1/projects/<str:project_id>/fine_grained_api_keys": {
            **key,
            "permissions": ["runs.read"],
            "expires_at": "2100-01-01T00:00:00Z",
        },
        "POST opentelemetry/v1/traces": spans,
        "POST v1/traces": spans,
        "PATCH api/v1/project": {"status": "suspended"},
        "PATCH api/v1/quotas/<str:resource>": {"ceiling": 7},
        "POST api/v1/keys": {"name": "k", "kind": "project"},
        "DELETE api/v1/keys/<str:key_id>": None,
        "POST api/v1/members": {"username": ids["username"], "role": "owner"},
        "PATCH api/v1/members/<str:username>": {"role": "viewer"},
        "DELETE api/v1/members/<str:username>": None,
        "POST api/v1/audit/verifications": {},
        "POST api/v1/providers/rules": {"effect": "allow", "provider": "openai"},
        "DELETE api/v1/providers/rules/<str:rule_id>": None,
        "POST api/v1/prices": {"provider": "p", "per_million_tokens": "0.02", "valid_from": "2026-01-01T00:00:00Z"},
        "DELETE api/v1/prices/<str:price_id>": None,
        "POST api/v1/secrets": {"name": "another", "value": "v"},
        "DELETE api/v1/secrets/<str:secret_id>": None,
        "POST api/v1/datasets/<str:dataset_id>/versions": {},
        "POST api/v1/datasets": {"name": "another", "datapoints": [ids["datapoint_id"]]},
        "POST api/v1/experiments": experiment,
        "POST api/v1/experiments/<str:run_id>/cancel": None,
        "POST api/v1/experiments/<str:run_id>/pause": None,
        "POST api/v1/experiments/<str:run_id>/resume": None,
        "POST api/v1/experiments/<str:run_id>/retry-failed": None,
        "POST api/v1/experiments/<str:run_id>/rerun": {"name": "again"},
        "POST api/v1/experiment-schedules": {
            "name": "another",
            "crontab": "0 2 * * *",
            "timezone": "UTC",
            "baseline": {"kind": "none"},
            "spec": {name: experiment[name] for name in ("name", "dataset_id", "target")},
        },
        "PATCH api/v1/experiment-schedules/<str:schedule_id>": {"crontab": "0 3 * * *"},
        "DELETE api/v1/experiment-schedules/<str:schedule_id>": None,
        "POST api/v1/experiment-schedules/<str:schedule_id>/start": {},
        "POST api/v1/ab/corpora": {"name": "another", "documents": [{"id": "d", "text": "t"}]},
        "DELETE api/v1/ab/corpora/<str:corpus_id>": None,
        "POST api/v1/ab/query-sets": {
            "name": "another",
            "corpus": ids["corpus_id"],
            "queries": [{"id": "q", "text": "t"}],
            "judgments": [{"query_id": "q", "document_id": "d1", "grade": 1}],
            "grade_map": {"1": 1},
        },
        "DELETE api/v1/ab/query-sets/<str:query_set_id>": None,
        "POST api/v1/ab/runs": {
            "name": "another",
            "query_set": ids["query_set_id"],
            "rankings": {"q1": [{"document_id": "d1", "score": 1.5}]},
        },
        "DELETE api/v1/ab/runs/<str:uploaded_run_id>": None,
        "POST api/v1/ab/plan": ab_test,
        "POST api/v1/ab/tests": ab_test,
        "DELETE api/v1/ab/tests/<str:test_id>": None,
        "POST api/v1/ab/tests/<str:test_id>/start": None,
        "POST api/v1/ab/tests/<str:test_id>/resume": None,
        "POST api/v1/ab/tests/<str:test_id>/cancel": None,
        "DELETE api/v1/ab/collections/<str:collection_id>": None,
        "POST api/v1/ab/tests/<str:test_id>/tunings": {
            "arm": "minilm",
            "grid": {"alpha": [0, 1]},
            "compare_arms": ["bm25"],
            "measure": "nDCG@10",
            "folds": 2,
        },
        "POST api/v1/ab/judging-pools": {
            "test_id": ids["test_id"],
            "name": "another",
            "guidelines": "g",
            "scale": [{"grade": 0, "label": "no", "help": "h"}, {"grade": 1, "label": "yes"}],
            "only_unjudged": False,
        },
        "DELETE api/v1/ab/judging-pools/<str:pool_id>": None,
        "POST api/v1/ab/judging-pools/<str:pool_id>/labels": {
            "labels": [
                {"query_id": "q1", "document_id": "d1", "grade": 1, "source": "llm", "labeller": "m", "comment": "c"}
            ]
        },
        "POST api/v1/ab/judging-pools/<str:pool_id>/assignment": {"users": [ids["username"]]},
        "POST api/v1/ab/judging-pools/<str:pool_id>/publish": {"source": "llm", "rule": "mean", "overwrite": True},
    }


QUERIES = {
    "DELETE v1/metrics": "metric_id={metric_id}",
    "DELETE v1/datasets": "dataset_id={dataset_id}",
    "GET v1/runs/compare/events": "run_id_1={run_id}&run_id_2={old_run_id}",
    "GET v1/datapoints": "datapoint_ids[]={datapoint_id}",
    "GET v1/datasets": "dataset_id={dataset_id}",
    "GET v1/runs": "run_ids[]={run_id}",
    "GET v1/metrics": "id={metric_id}",
    "GET api/v1/events": "run_id={run_id}",
    "GET api/v1/events/export": "run_id={run_id}",
    "GET api/v1/ab/tests/<str:test_id>/movers": "arm=minilm",
    "GET api/v1/comparisons": "baseline={old_run_id}&run={run_id}",
    "GET api/v1/trends": "metric=score",
}
PARAMETERS = {"new": "run_id", "old": "old_run_id", "name": "version_name", "old_corpus_id": "corpus_id"}
VERSIONS = {"number": "version_number", "old": "version_number", "new": "version_number"}


def address(route: Route, ids: dict[str, str]) -> str:
    """The route's address for these ids."""
    path = "/" + route.pattern
    names = VERSIONS if "/versions/" in path and "datasets" in path else PARAMETERS
    for kind, name in re.findall(r"<(str|path):(\w+)>", route.pattern):
        path = path.replace(f"<{kind}:{name}>", ids[names.get(name, name)])
    query = QUERIES.get(route.name)
    return f"{path}?{query.format(**ids)}" if query else path


def nowhere() -> dict[str, str]:
    """Ids that nothing has."""
    new = str(uuid.uuid4())
    return {
        "session_id": new,
        "event_id": new,
        "run_id": new,
        "old_run_id": new,
        "dataset_id": "nobody",
        "datapoint_id": "nobody",
        "configuration_id": "nobody",
        "schedule_id": "nobody",
        "metric_id": "nobody",
        "version_name": "v0",
        "version_number": "1",
        "project_id": "nobody",
        "key_id": "nobody",
        "verification_id": "nobody",
        "rule_id": "nobody",
        "price_id": "nobody",
        "secret_id": "nobody",
        "username": "nobody",
        "resource": "runs",
        "trace_id": uuid.uuid4().hex,
        "corpus_id": "nobody",
        "query_set_id": "nobody",
        "uploaded_run_id": "nobody",
        "test_id": "nobody",
        "query_id": "nobody",
        "collection_id": "nobody",
        "pool_id": "nobody",
        "tuning_id": "nobody",
    }
