"""Console pages of prompt configurations: what each says, which version said what, and what changed."""

from typing import Any

from django.http import HttpResponseBase
from django.urls import reverse
from pydantic import ValidationError

from experiments.admin.configuration_form import ConfigurationDraft, draft_of
from experiments.domain.text_diff import difference
from experiments.domain.wire_configurations import ConfigurationBody
from experiments.models import Configuration, ConfigurationVersion
from experiments.selectors import configurations as reads
from experiments.services import configurations as services
from governance.admin.pages import PAGE_SIZE, Visit, back, clean, page
from governance.domain import formats
from governance.domain.actions import Action
from governance.domain.errors import DomainError
from governance.domain.json_bodies import replace_nul
from governance.domain.spec_faults import refused_spec

VERSIONS_SHOWN = 50


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


@page(Action.METRICS_READ)
def configurations_page(visit: Visit) -> HttpResponseBase:
    """Configurations by name."""
    name = clean(visit.request.GET.get("name"))
    after = clean(visit.request.GET.get("from"), 255)
    rows = reads.configurations(visit.caller)
    if name:
        rows = rows.filter(name__icontains=name)
    if after:
        rows = rows.filter(name__gte=after)
    shown = list(rows[: PAGE_SIZE + 1])
    return visit.render(
        "console/configurations.html",
        title="Configurations",
        lines=shown[:PAGE_SIZE],
        name=name,
        first=after,
        later=shown[PAGE_SIZE].name if len(shown) > PAGE_SIZE else "",
    )


def shown_version(version: ConfigurationVersion) -> dict[str, Any]:
    """A version as one object, for its JSON and for the diff."""
    return {"provider": version.provider, **version.parameters}


@page(Action.METRICS_READ)
def configuration_page(visit: Visit, configuration_id: str) -> HttpResponseBase:
    """One version of a configuration (the newest, or `?version=`), and what changed in it since `?old=`."""
    found = reads.find_configuration(visit.caller, configuration_id)
    query = visit.request.GET
    versions = list(reads.versions_of(found)[: VERSIONS_SHOWN + 1])
    version = reads.find_version(found, _integer(clean(query.get("version"), 20)))
    old = None
    differs = None
    if (number := _integer(clean(query.get("old"), 20))) is not None:
        old = reads.find_version(found, number)
        differs = difference(shown_version(old), shown_version(version))
    template = version.parameters.get("template")
    return visit.render(
        "console/configuration.html",
        title=found.name,
        configuration=found,
        version=version,
        parameters=shown_version(version),
        messages_of_prompt=template if isinstance(template, list) else [],
        old=old,
        differs=differs,
        previous=version.number - 1,
        versions=versions[:VERSIONS_SHOWN],
        has_more_versions=len(versions) > VERSIONS_SHOWN,
    )


def _form(visit: Visit, found: Configuration | None) -> HttpResponseBase:
    post = visit.request.POST
    status = 200
    if visit.request.method == "POST":
        adds_row = post.get("do") == "row"
        draft = draft_of(data=post, more_rows=adds_row)
        answer = None if adds_row else _saved(visit, found, draft)
        if isinstance(answer, HttpResponseBase):
            return answer
        status = answer or 200
    elif found is not None:
        stored = {name: getattr(found, name) for name in ("name", "provider", "parameters", "tags")}
        draft = draft_of(stored=stored)
    else:
        draft = draft_of()
    return visit.render(
        "console/configuration_form.html",
        title="New configuration" if found is None else f"Change configuration {found.name}",
        draft=draft,
        configuration=found,
        status=status,
    )


def _body(given: dict[str, Any]) -> ConfigurationBody:
    """What was typed as a body of the API; the refusal lists every fault by the path that was typed."""
    try:
        return ConfigurationBody.model_validate(replace_nul(given))
    except ValidationError as error:
        raise refused_spec(error, ConfigurationBody) from None


def _saved(visit: Visit, found: Configuration | None, draft: ConfigurationDraft) -> HttpResponseBase | int:
    """The redirect after saving, or the status of the refusal, which then stands in the draft."""
    given = draft.given()
    if given is None:
        return 400
    try:
        if found is None:
            saved = services.create_configuration(caller=visit.caller, body=_body(given))
            visit.tell(f"Configuration created: {saved.name}.")
        else:
            before = found.version
            saved, is_changed = services.update_configuration(
                caller=visit.caller, public_id=found.public_id, body=_body(given)
            )
            made = f" It is version {saved.version} now." if saved.version != before else ""
            visit.tell(
                f"Configuration changed: {saved.name}.{made}" if is_changed else f"Nothing changed: {saved.name}."
            )
    except DomainError as error:
        draft.refuse(error)
        return error.status
    return back("console_configuration", configuration_id=saved.public_id)


@page(Action.METRICS_WRITE, methods=("GET", "POST"))
def new_configuration_page(visit: Visit) -> HttpResponseBase:
    """Describe model and messages."""
    return _form(visit, None)


@page(Action.METRICS_WRITE, methods=("GET", "POST"))
def change_page(visit: Visit, configuration_id: str) -> HttpResponseBase:
    """Make the next version; runs keep theirs."""
    return _form(visit, reads.find_configuration(visit.caller, configuration_id))


@page(Action.METRICS_WRITE, methods=("GET", "POST"))
def delete_page(visit: Visit, configuration_id: str) -> HttpResponseBase:
    """Confirm, then delete."""
    found = reads.find_configuration(visit.caller, configuration_id)
    if visit.request.method == "POST":
        services.delete_configuration(caller=visit.caller, public_id=found.public_id)
        visit.tell(f"Configuration deleted: {found.name}.")
        return back("console_configurations")
    return visit.render(
        "console/confirm.html",
        title=f"Delete configuration {found.name}?",
        what=f"The configuration and its {formats.plural(found.version, 'version')} go away. Schedules that name it "
        "fail at their next start, saying so.",
        stays="Runs keep the version that they pinned, and can be run again.",
        undo="This cannot be undone.",
        button="Delete configuration",
        way_out=(reverse("admin:console_configuration", args=[found.public_id]), "Keep configuration"),
    )
