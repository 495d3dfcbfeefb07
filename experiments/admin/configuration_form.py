"""Form of a prompt configuration: model, messages one by one, the rest as JSON. Nothing it does not show gets lost."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.forms import BaseFormSet, formset_factory
from django.http import QueryDict

from experiments.admin.experiment_fields import Choice, document, text
from experiments.admin.experiment_form import Problem, json_of, pretty, with_one_more
from governance.domain.errors import DomainError, InvalidInput

MESSAGES = "m"  # prefix of the messages' fields
ROLES = ("system", "user", "assistant", "developer")
MOST_MESSAGES = 100
EMPTY_MESSAGES = 1
OTHER = ("responseFormat", "selectedFunctions", "functionCallParams", "forceFunction", "call_type", "template")
SHOWN = frozenset({"call_type", "model", "hyperparameters", "template"})  # parameters with fields of their own


class ConfigurationFields(forms.Form):
    """Everything but the messages."""

    use_required_attribute = False

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments, auto_id="n-%s", label_suffix="")
        self.fields |= {
            "name": text("Name", hint="for example: support answers"),
            "provider": text(
                "Provider", "A word for people and for the project's rules, such as openai.", hint="openai"
            ),
            "model": text("Model", "As the API spells it.", hint="gpt-4o-mini"),
            "hyperparameters": document(
                "Hyperparameters (JSON)", "Sent with every call.", hint='{"temperature": 0.2, "max_tokens": 500}'
            ),
            "other": document("Other parameters (JSON)", "responseFormat, selectedFunctions and the like."),
            "tags": text("Tags", "Separated by commas."),
        }


class MessageFields(forms.Form):
    """One message of the prompt."""

    use_required_attribute = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "auto_id": "n-%s", "label_suffix": ""})
        self.fields |= {
            "role": (role := Choice("Role", [(name, name) for name in ROLES], empty="none")),
            "content": forms.CharField(
                label="Text", required=False, strip=False, widget=forms.Textarea(attrs={"rows": 4})
            ),
        }
        role.keep(str(self["role"].value() or ""))


class ConfigurationDraft:
    """What somebody typed, and what is wrong with it."""

    def __init__(self, fields: ConfigurationFields, messages: "BaseFormSet[MessageFields]") -> None:
        self.fields, self.messages = fields, messages
        self.problems: list[Problem] = []

    def complain(self, name: str, message: str) -> None:
        """Put a message beside a field; without one into the summary alone."""
        if name not in self.fields.fields:
            self.problems.append(Problem("", "", message))
            return
        self.fields.add_error(name, message)
        self.problems.append(Problem(self.fields[name].auto_id, str(self.fields[name].label), message))

    def refuse(self, error: DomainError) -> None:
        """Put a service's refusal beside the field its path lies in."""
        told = error.details.get("problems")
        if not isinstance(told, list):
            told = [{"field": error.details.get("field", ""), "message": error.message}]
        for each in told:
            path = str(each["field"]).removeprefix("parameters.").replace(".list[TemplateItem]", "")
            self._blame(path, str(each["message"]))

    def _blame(self, path: str, message: str) -> None:
        name, _, rest = path.partition(".")
        number, _, part = rest.partition(".")
        written = self._written()
        if name == "template" and number.isdigit() and int(number) < len(written) and part in ("role", "content"):
            row = self.messages.forms[written[int(number)]]
            row.add_error(part, message)
            self.problems.append(Problem(row[part].auto_id, str(row[part].label), message))
        elif name in self.fields.fields:
            self.complain(name, message)
        else:
            self.complain("other" if name in OTHER else "", f"{path}: {message}" if path else message)

    def given(self) -> dict[str, Any] | None:
        """Name, provider, parameters and tags; None when some JSON cannot be read."""
        typed = {name: str(self.fields[name].value() or "").strip() for name in self.fields.fields}
        documents: dict[str, Any] = {}
        for name in ("hyperparameters", "other"):
            try:
                documents[name] = json_of(typed[name]) if typed[name] else {}
                if not isinstance(documents[name], dict):
                    raise InvalidInput("Write an object: names and values in braces.")
            except InvalidInput as error:
                self.complain(name, error.message)
        if self.problems:
            return None
        parameters = {"call_type": "chat", **documents["other"]}
        if typed["model"]:
            parameters["model"] = typed["model"]
        if documents["hyperparameters"]:
            parameters["hyperparameters"] = documents["hyperparameters"]
        if messages := self._typed_messages():
            parameters["template"] = messages
        named = {name: typed[name] for name in ("name", "provider") if typed[name]}
        return {
            **named,
            "parameters": parameters,
            "tags": [tag for tag in (each.strip() for each in typed["tags"].split(",")) if tag],
        }

    def _written(self) -> list[int]:
        """Which rows hold a message."""
        rows = enumerate(self.messages.forms)
        return [at for at, row in rows if str(row["content"].value() or "").strip() or row["role"].value()]

    def _typed_messages(self) -> list[dict[str, str]]:
        rows = [self.messages.forms[at] for at in self._written()]
        # Browsers send CRLF for every line break in a text area.
        return [
            {
                "role": str(row["role"].value() or "user"),
                "content": str(row["content"].value() or "").replace("\r\n", "\n"),
            }
            for row in rows
        ]


def _messages_of(template: Any) -> list[dict[str, str]] | None:
    """The template as rows of the form; None when it holds more than roles and texts."""
    if template is None:
        return []
    if isinstance(template, str):
        return [{"role": "user", "content": template}]
    if not isinstance(template, list):
        return None
    plain = all(
        isinstance(each, dict) and set(each) == {"role", "content"} and isinstance(each["content"], str)
        for each in template
    )
    return [dict(each) for each in template] if plain else None


def draft_of(
    *, data: QueryDict | None = None, stored: Mapping[str, Any] | None = None, more_rows: bool = False
) -> ConfigurationDraft:
    """The form for what was sent, else for a stored configuration (name, provider, parameters, tags), else empty."""
    make = formset_factory(
        MessageFields,
        extra=0 if data is not None else EMPTY_MESSAGES,
        max_num=MOST_MESSAGES,
        absolute_max=MOST_MESSAGES,
    )
    if data is not None:
        data = with_one_more(data, MESSAGES) if more_rows else data
        return ConfigurationDraft(ConfigurationFields(data=data), make(data=data, prefix=MESSAGES))
    if stored is None:
        rows = [{"role": "system", "content": ""}, {"role": "user", "content": "{{question}}"}]
        return ConfigurationDraft(ConfigurationFields(), make(initial=rows, prefix=MESSAGES))
    parameters = dict(stored["parameters"])
    messages = _messages_of(parameters.get("template"))
    other = {name: value for name, value in parameters.items() if name not in SHOWN}
    if parameters.get("call_type", "chat") != "chat":
        other["call_type"] = parameters["call_type"]
    if messages is None:
        other["template"] = parameters["template"]
    initial = {
        "name": stored["name"],
        "provider": stored["provider"],
        "model": parameters.get("model", ""),
        "hyperparameters": pretty(parameters.get("hyperparameters")),
        "other": pretty(other),
        "tags": ", ".join(map(str, stored["tags"])),
    }
    return ConfigurationDraft(ConfigurationFields(initial=initial), make(initial=messages or [], prefix=MESSAGES))
