"""Files from the console: by POST, because each export is audited. The file is made while it is sent."""

from collections.abc import Callable

from django.http import HttpResponseBase, StreamingHttpResponse

from experiments.admin.comparison_settings import asked_of
from experiments.admin.runs import find_run
from experiments.domain.comparison_options import ComparisonOptions
from experiments.selectors.event_pages import EventSelection
from experiments.services import exports as services
from experiments.services.comparison_exports import export_comparison_statistics
from governance.admin.pages import Visit, clean, page
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput
from governance.domain.file_exports import Export, download, valid_format


def _answer(visit: Visit, export: Export) -> HttpResponseBase:
    made = download(export, valid_format(clean(visit.request.POST.get("format"))))
    return StreamingHttpResponse(made.pieces, headers=made.headers)


@page(Action.EXPORTS_READ, methods=("POST",))
def run_download(visit: Visit, run_id: str) -> HttpResponseBase:
    """Datapoints, metrics or events of a run, or its comparison with `baseline`: counts, or statistics as set."""
    run = find_run(visit.caller, run_id)
    caller, key = visit.caller, run.run_key
    baseline = clean(visit.request.POST.get("baseline"), 255)
    kinds: dict[str, Callable[[], Export]] = {
        "datapoints": lambda: services.export_run_datapoints(caller=caller, run_id=key),
        "metrics": lambda: services.export_run_metrics(caller=caller, run_id=key),
        "events": lambda: services.export_events(caller=caller, selection=EventSelection(run_id=key)),
        "comparison": lambda: services.export_comparison(
            caller=caller, new=key, old=find_run(caller, baseline).run_key
        ),
        "statistics": lambda: export_comparison_statistics(
            caller=caller, new=key, old=find_run(caller, baseline).run_key, options=_settings(visit)
        ),
    }
    what = clean(visit.request.POST.get("what"))
    if what not in kinds:
        raise InvalidInput(f"Field 'what' is {what!r}; use one of {', '.join(kinds)}.", field="what", value=what)
    return _answer(visit, kinds[what]())


def _settings(visit: Visit) -> ComparisonOptions:
    asked = asked_of(visit.request.POST)
    if asked.fault is not None:
        raise asked.fault
    return asked.options


@page(Action.EXPORTS_READ, methods=("POST",))
def dataset_download(visit: Visit, dataset_id: str) -> HttpResponseBase:
    """The datapoints of a dataset."""
    return _answer(visit, services.export_dataset(caller=visit.caller, dataset_id=dataset_id))
