"""Form of what the server is to execute, for new experiments and for schedules. Nobody loses what was typed.

Every field is text; what it means and whether it is right say `ExperimentSpec` and the service, as for REST. Their
refusals come back by path (`target.headers.Authorization`) and stand beside the field that the path lies in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from django import forms
from django.forms import BaseFormSet, formset_factory
from django.http import QueryDict

from experiments.admin.experiment_fields import KINDS, METHODS, EvaluatorFields, ExperimentFields, Offer
from experiments.domain.experiment_spec import MOST_EVALUATORS, ExperimentSpec
from experiments.domain.experiment_spec_errors import read_experiment_spec
from governance.domain.errors import DomainError, InvalidInput
from governance.domain.json_bodies import decode_json, replace_nul

ROWS = "e"  # prefix of the evaluators' fields
EMPTY_ROWS = 2
BODY = '{"inputs": "{{inputs}}"}'
# Field of the form -> path in the specification, for what does not stand there under its own name.
PATHS = {
    "dataset": "dataset_id",
    "max_attempts": "retry.max_attempts",
    "first_delay_seconds": "retry.first_delay_seconds",
    "longest_delay_seconds": "retry.longest_delay_seconds",
    "kind": "target",
    **{f"{kind}_{name}": f"target.{name}" for kind, name in (
        *(("http", name) for name in ("url", "method", "headers", "body", "response_path")),
        *(("chat", name) for name in ("configuration", "version", "base_url", "secret")),
        *(("callable", name) for name in ("name", "options")),
    )},
}  # fmt: skip
JSON_FIELDS = {"http_headers", "http_body", "callable_options", "metadata", "passing_ranges", "bounds", "options"}
# Shown only when opened, because their defaults suit nearly everybody.
MORE = ("function", "first_delay_seconds", "longest_delay_seconds", "seed", "metadata", "passing_ranges", "bounds")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `at` is the id of the field it stands beside, empty when it has none."""

    at: str
    label: str
    message: str


@dataclass
class Draft:
    """What somebody typed (or what the form begins with), and what is wrong with it."""

    fields: ExperimentFields
    rows: "BaseFormSet[EvaluatorFields]"
    problems: list[Problem] = field(default_factory=list)
    row_of: list[int] = field(default_factory=list)

    @property
    def shows_more(self) -> bool:
        """Whether the folded part holds something that was changed or is wrong."""
        wrong = {problem.at for problem in self.problems}
        written = ("seed", "metadata", "passing_ranges", "bounds")
        return any(f"n-{name}" in wrong for name in MORE) or any(self.fields[name].value() for name in written)

    def blame(self, path: str, message: str) -> None:
        """Put a message beside the field in which `path` of the specification lies."""
        self.complain(*self._place(path), message)

    def complain(self, form: forms.Form | None, name: str, message: str) -> None:
        """Put a message beside a field of any form on the page; without a name only into the summary."""
        if form is None or not name:
            self.problems.append(Problem("", "", message))
            return
        form.add_error(name, message)
        row = f"Evaluator {self.rows.forms.index(form) + 1}, " if form in self.rows.forms else ""
        self.problems.append(Problem(form[name].auto_id, f"{row}{form[name].label}", message))

    def refuse(self, error: DomainError) -> None:
        """Put a refusal of the specification or of a service beside its fields."""
        told = error.details.get("problems")
        path = str(error.details.get("field", ""))
        if isinstance(told, list) and told:
            for each in told:
                self.blame(str(each.get("field", "")), str(each.get("message", "")))
        else:
            self.blame(path, error.message)

    def _place(self, path: str) -> tuple[forms.Form | None, str]:
        parts = path.split(".")
        if parts[0] == "evaluators" and len(parts) > 1 and parts[1].isdigit() and int(parts[1]) < len(self.row_of):
            row: forms.Form = self.rows.forms[self.row_of[int(parts[1])]]
            named = parts[2] if len(parts) > 2 else ""
            return row, named if named in row.fields else "what"
        kind = str(self.fields["kind"].value() or "")
        whose = [name for name in self.fields.fields if not name.startswith(("http_", "chat_", "callable_"))]
        whose += [name for name in self.fields.fields if name.startswith(f"{kind}_")]
        fitting = [name for name in whose if f"{path}.".startswith(f"{PATHS.get(name, name)}.")]
        best = max(fitting, key=lambda name: len(PATHS.get(name) or name), default="")
        return (self.fields, best) if best else (None, "")

    def spec(self) -> ExperimentSpec | None:
        """The specification; None when something is wrong, which then stands beside the fields."""
        data = self._given(self.fields, "", self._names())
        evaluators = []
        self.row_of = [index for index, row in enumerate(self.rows.forms) if str(row["what"].value() or "")]
        for number, index in enumerate(self.row_of):
            row = self.rows.forms[index]
            kind, _, name = str(row["what"].value()).partition(":")
            given = self._given(row, f"evaluators.{number}.", ["metric_name", "options", "base_url", "secret"])
            evaluators.append({**given, "kind": kind, "name": name})
        data["evaluators"] = evaluators
        try:
            spec = read_experiment_spec(replace_nul(data))
        except InvalidInput as error:
            self.refuse(error)
            return None
        return None if self.problems else spec

    def _names(self) -> list[str]:
        kind = str(self.fields["kind"].value() or "")
        other = tuple(f"{each}_" for each, _ in KINDS if each != kind)
        return [name for name in self.fields.fields if not name.startswith(other)]

    def _given(self, form: forms.Form, prefix: str, names: Iterable[str]) -> dict[str, Any]:
        """What was filled in, nested as the specification is; what was left empty is not in it."""
        data: dict[str, Any] = {}
        for name in names:
            typed = str(form[name].value() or "").strip()
            path = PATHS.get(name, name)
            if not typed:
                continue
            value: Any = typed
            if name in JSON_FIELDS:
                try:
                    value = json_of(typed)
                except InvalidInput as error:  # left out below, so that the rest can be judged, too
                    self.blame(prefix + path, error.message)
                    continue
            if name == "tags":
                value = [tag for tag in (each.strip() for each in typed.split(",")) if tag]
            *outer, last = ("target", "kind") if name == "kind" else path.split(".")
            inner = data
            for part in outer:
                inner = inner.setdefault(part, {})
            inner[last] = value
        return data


def json_of(typed: str) -> Any:
    """The value in a JSON text; `InvalidInput` says line and column."""
    if "\x00" in typed:
        raise InvalidInput("This text holds a NUL character; remove it.")
    try:
        orjson.loads(typed)
    except orjson.JSONDecodeError as error:
        what = str(error).partition(": line ")[0]
        raise InvalidInput(f"This is not JSON: {what} (line {error.lineno}, column {error.colno}).") from None
    return decode_json(typed.encode())


def pretty(value: Any) -> str:
    """A JSON value as the form shows it; empty ones as nothing."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() if value not in (None, {}, [], "") else ""


def initial_of(spec: Mapping[str, Any]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """What fields and rows hold for a stored specification."""
    target = dict(spec.get("target") or {"kind": "http"})
    kind = target.pop("kind", "http")
    values: dict[str, Any] = {**spec, **spec.get("retry", {}), "dataset": spec.get("dataset_id"), "kind": kind}
    values |= {f"{kind}_{name}": value for name, value in target.items()}
    values["tags"] = ", ".join(spec.get("tags", []))
    shown = {
        name: _shown(name, value)
        for name, value in values.items()
        if not isinstance(value, dict | list) or name in JSON_FIELDS
    }
    if kind == "http" and shown.get("http_method") == METHODS[0]:
        shown["http_method"] = ""
    rows = [
        {
            "what": f"{each['kind']}:{each['name']}",
            **{name: _shown(name, each.get(name)) for name in ("metric_name", "options", "base_url", "secret")},
        }
        for each in spec.get("evaluators", [])
    ]
    return shown, rows


def _shown(name: str, value: Any) -> str:
    if name in JSON_FIELDS:
        return pretty(value)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def first_values() -> dict[str, str]:
    """What an empty form begins with: the specification's own defaults."""
    fields = ExperimentSpec.model_fields
    retry = fields["retry"].get_default(call_default_factory=True).model_dump()
    names = ("repetitions", "concurrency", "deadline_seconds", "function")
    plain = {name: fields[name].get_default() for name in names}
    return {name: _shown(name, value) for name, value in {**plain, **retry}.items()} | {
        "kind": "http",
        "http_body": BODY,
    }


def with_one_more(data: QueryDict, prefix: str) -> QueryDict:
    """What was sent, with one more row in the formset of this prefix."""
    grown, name = data.copy(), f"{prefix}-TOTAL_FORMS"
    sent = str(data.get(name, ""))
    grown[name] = str(int(sent) + 1) if sent.isascii() and sent.isdigit() and len(sent) < 5 else "1"
    return grown


def draft_of(
    offer: Offer,
    *,
    data: QueryDict | None = None,
    spec: Mapping[str, Any] | None = None,
    values: Mapping[str, str] | None = None,
    is_scheduled: bool = False,
    more_rows: bool = False,
) -> Draft:
    """The form for what was sent (`data`), else for a stored specification, else with its first values.

    `values` replace single fields of what the form begins with. `more_rows` adds an empty row to what was sent.
    """
    make_rows = formset_factory(
        EvaluatorFields,
        extra=0 if data is not None else 1 if spec else EMPTY_ROWS,
        max_num=MOST_EVALUATORS,
        absolute_max=MOST_EVALUATORS + 10,
    )
    if data is not None:
        data = with_one_more(data, ROWS) if more_rows else data
        fields = ExperimentFields(offer, is_scheduled=is_scheduled, data=data)
        return Draft(fields, make_rows(data=data, prefix=ROWS, form_kwargs={"offer": offer}))
    initial, rows = (first_values(), []) if spec is None else initial_of(spec)
    initial = {"http_body": BODY, **initial, **(values or {})}
    fields = ExperimentFields(offer, is_scheduled=is_scheduled, initial=initial)
    return Draft(fields, make_rows(initial=rows, prefix=ROWS, form_kwargs={"offer": offer}))
