"""Console form of a new experiment: what is executed over what, a plan before anything is called, then the start."""

import uuid
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponseBase

from experiments.admin.experiment_fields import Offer
from experiments.admin.experiment_form import Draft, draft_of
from experiments.domain.callables import registered
from experiments.domain.experiment_spec import ExperimentSpec
from experiments.models import Dataset, DatasetMembership
from experiments.selectors.configurations import configurations
from experiments.selectors.dataset_versions import find_version
from experiments.selectors.datasets import datasets, find_dataset
from experiments.selectors.experiments import get_experiment
from experiments.selectors.metrics import list_metrics
from experiments.selectors.runs import runs_of
from experiments.services.experiment_access import pin
from experiments.services.experiments import create_experiment
from governance.admin.pages import Visit, back, clean, page
from governance.domain import formats
from governance.domain.actions import Action
from governance.domain.errors import DomainError
from governance.selectors.providers import secrets
from governance.services.idempotency import answer_once, request_hash

OFFERED = 200
ROUTE = "console new experiment"
EXECUTABLE = ("PYTHON", "LLM")


def offer_of(visit: Visit) -> Offer:
    """What the project has to choose from. Five queries."""
    caller = visit.caller
    named: list[str] = []
    if caller.may(Action.PROVIDERS_READ):
        named = list(secrets(caller=caller).values_list("name", flat=True)[:OFFERED])
    metrics = [metric for metric in list_metrics(caller=caller) if metric.type in EXECUTABLE]
    runs = runs_of(caller).select_related(None).only("run_key", "name").order_by("-created_at", "-id")[:OFFERED]
    return Offer(
        datasets=[(each.public_id, each.name) for each in _first(datasets(caller))],
        configurations=[
            (each.name, f"{each.name} (version {each.version})") for each in configurations(caller)[:OFFERED]
        ],
        secrets=[(name, name) for name in named],
        callables=[(name, name) for name in sorted(registered(settings.CALLABLES))],
        metrics=[(each.name, f"{each.name} ({each.type.lower()})") for each in metrics[:OFFERED]],
        runs=[(each.run_key, f"{each} ({formats.short_id(each.run_key)})") for each in runs],
    )


def _first(rows: QuerySet[Dataset]) -> list[Dataset]:
    return list(rows.only("public_id", "name")[:OFFERED])


def plan_of(visit: Visit, spec: ExperimentSpec) -> dict[str, Any]:
    """What the run would call. Checks target, evaluators and rights as the start does; raises what it refuses."""
    if spec.dataset_version is not None:
        version = find_version(visit.caller, spec.dataset_id, spec.dataset_version)
        datapoints, over = version.datapoint_count, str(version)
    else:
        dataset = find_dataset(visit.caller, spec.dataset_id)
        datapoints, over = DatasetMembership.objects.filter(dataset=dataset).count(), dataset.name
    pin(caller=visit.caller, spec=spec)
    calls = datapoints * spec.repetitions
    repeated = f" × {spec.repetitions} repetitions" if spec.repetitions > 1 else ""
    most = calls * spec.retry.max_attempts
    judged = sum(1 for each in spec.evaluators if each.base_url)
    return {
        "sentence": f"The plan: {formats.plural(datapoints, 'datapoint')}{repeated} = {formats.plural(calls, 'call')}"
        + (f", at most {formats.exact(most)} with retries" if most > calls else "")
        + f"; {spec.concurrency} at a time.",
        "note": f"Over {over}. Nothing has been called yet."
        + (f" Judges add {formats.plural(calls * judged, 'call')}." if judged else ""),
        "is_empty": not datapoints,
    }


def first_draft(visit: Visit, offer: Offer) -> Draft:
    """The form as it opens: empty, for `?dataset=`, or after the run named by `?from=`."""
    asked = {name: clean(visit.request.GET.get(name), 255) for name in ("from", "dataset", "configuration")}
    if not asked["from"]:
        named = {"dataset": asked["dataset"], "chat_configuration": asked["configuration"]}
        values = {name: value for name, value in named.items() if value}
        return draft_of(offer, values=values | ({"kind": "chat"} if asked["configuration"] else {}))
    earlier = get_experiment(visit.caller, asked["from"])
    values = {
        "dataset": earlier.dataset_version.dataset_key,
        "dataset_version": str(earlier.dataset_version.number),
        "baseline_run_id": earlier.run.run_key,
        "seed": "",
    }
    return draft_of(offer, spec=earlier.spec, values=values)


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def new_experiment_page(visit: Visit) -> HttpResponseBase:
    """Describe target and evaluators, look at the plan, start."""
    post = visit.request.POST
    offer = offer_of(visit)
    plan = None
    status = 200
    once = clean(post.get("once"), 40) or uuid.uuid4().hex
    if visit.request.method != "POST":
        draft = first_draft(visit, offer)
    else:
        adds_row = post.get("do") == "row"
        draft = draft_of(offer, data=post, more_rows=adds_row)
        spec = None if adds_row else draft.spec()
        try:
            if spec is not None and post.get("do") == "start":
                return _started(visit, spec, once)
            plan = plan_of(visit, spec) if spec is not None else None
        except DomainError as error:
            draft.refuse(error)
            status = error.status
        if draft.problems and status == 200:
            status = 400
    return visit.render(
        "console/experiment_new.html",
        title="New experiment",
        draft=draft,
        plan=plan,
        once=once,
        may_store_secrets=visit.caller.may(Action.SECRETS_WRITE),
        status=status,
    )


def _started(visit: Visit, spec: ExperimentSpec, once: str) -> HttpResponseBase:
    """Create the run. The same form sent twice (a double click, a reload) creates one run."""

    def create() -> tuple[int, Any]:
        experiment = create_experiment(caller=visit.caller, spec=spec)
        return 201, {"run": experiment.run.public_id, "name": str(experiment.run)}

    body = spec.model_dump(mode="json")
    key = f"{once}:{request_hash(body)[:16]}"
    answer = answer_once(caller=visit.caller, key=key, route=ROUTE, body=body, create=create)
    visit.tell(f"Run started: {answer.body['name']}.")
    return back("console_run", run_id=answer.body["run"])
