"""Fields of the form in which somebody describes an experiment: labels, help, choices. Every field is text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms

from experiments.domain.builtin_evaluators import NAMES as BUILTINS

KINDS = (("http", "HTTP endpoint"), ("chat", "Chat model"), ("callable", "Registered callable"))
METHODS = ("POST", "GET", "PUT", "PATCH")


@dataclass(frozen=True, slots=True)
class Offer:
    """What the project has to choose from: (value, words) pairs."""

    datasets: Sequence[tuple[str, str]] = ()
    configurations: Sequence[tuple[str, str]] = ()
    secrets: Sequence[tuple[str, str]] = ()
    callables: Sequence[tuple[str, str]] = ()
    metrics: Sequence[tuple[str, str]] = ()
    runs: Sequence[tuple[str, str]] = ()


class Choice(forms.ChoiceField):
    """One of what is offered; a value that is not offered any more stays chosen and is judged by the service."""

    def __init__(self, label: str, choices: Iterable[tuple[Any, Any]], help_text: str = "", empty: str = "") -> None:
        super().__init__(label=label, required=False, help_text=help_text)
        self.offered = [("", empty or "choose one"), *choices]
        self.choices = self.offered

    def keep(self, value: str) -> None:
        """Offer `value`, too."""
        known = {key for _, inner in self.offered if isinstance(inner, list | tuple) for key, _ in inner}
        if value and value not in known and value not in {key for key, _ in self.offered}:
            self.choices = [*self.offered, (value, f"{value} (not offered any more)")]

    def valid_value(self, value: Any) -> bool:
        """The service decides."""
        return True


def text(label: str, help_text: str = "", *, hint: str = "", numeric: bool = False) -> forms.CharField:
    """A line of text."""
    attributes = {"autocomplete": "off", **({"placeholder": hint} if hint else {})}
    if numeric:
        attributes["inputmode"] = "decimal"
    return forms.CharField(label=label, help_text=help_text, required=False, widget=forms.TextInput(attrs=attributes))


def document(label: str, help_text: str = "", *, rows: int = 3, hint: str = "") -> forms.CharField:
    """JSON as text, so that a fault can be told by line and column and nothing typed is lost."""
    attributes = {"rows": rows, "spellcheck": "false", "class": "hh-mono", **({"placeholder": hint} if hint else {})}
    return forms.CharField(label=label, help_text=help_text, required=False, widget=forms.Textarea(attrs=attributes))


class ExperimentFields(forms.Form):
    """Everything but the evaluators."""

    use_required_attribute = False

    def __init__(self, offer: Offer, *, is_scheduled: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments, auto_id="n-%s", label_suffix="")
        self.fields |= _fields_of_work(offer, is_scheduled) | _fields_of_targets(offer)
        for name, choice in self.fields.items():
            if isinstance(choice, Choice):
                choice.keep(str(self[name].value() or ""))


class EvaluatorFields(forms.Form):
    """One row: an evaluator, its options, and who judges when it is an LLM metric."""

    use_required_attribute = False

    def __init__(self, *arguments: Any, offer: Offer, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "auto_id": "n-%s", "label_suffix": ""})
        groups = [
            ("Built in", [(f"builtin:{name}", name) for name in BUILTINS]),
            ("Metrics of the project", [(f"metric:{name}", words) for name, words in offer.metrics]),
            ("Registered callables", [(f"callable:{name}", words) for name, words in offer.callables]),
        ]
        what = Choice("Evaluator", [group for group in groups if group[1]], empty="none")
        self.fields |= {
            "what": what,
            "metric_name": text("Stored as", "The metric's name; empty: the evaluator's own."),
            "options": document("Options (JSON)", rows=2, hint='for example {"key": "answer"}'),
            "base_url": text("Judge: root of the API", hint="https://api.openai.com/v1"),
            "secret": (secret := Choice("Judge: secret with the key", offer.secrets, empty="none")),
        }
        what.keep(str(self["what"].value() or ""))
        secret.keep(str(self["secret"].value() or ""))

    @property
    def is_judged(self) -> bool:
        """Whether somebody is named who judges."""
        return bool(self["base_url"].value() or self["secret"].value())


def _fields_of_work(offer: Offer, is_scheduled: bool) -> dict[str, forms.Field]:
    fields: dict[str, forms.Field] = {
        "name": text(
            "Name of its runs" if is_scheduled else "Name", hint="for example: prompt v5 on support questions"
        ),
        "description": text("Description", "Why, for those who come later."),
        "dataset": Choice("Dataset", offer.datasets, empty="choose one" if offer.datasets else "none yet"),
        "dataset_version": text(
            "Version", "A number; empty: what the dataset holds when a run starts.", numeric=True, hint="newest"
        ),
        "repetitions": text("Repetitions", "How often each datapoint runs, 1 to 100.", numeric=True),
        "concurrency": text("Calls at a time", "1 to 64; project and provider may allow fewer.", numeric=True),
        "max_attempts": text("Attempts", "Per datapoint, 1 to 10. Only what can heal is tried again.", numeric=True),
        "deadline_seconds": text("Deadline of a call", "Seconds, at most 300.", numeric=True),
        "tags": text("Tags", "Separated by commas.", hint="nightly, main"),
        "first_delay_seconds": text(
            "First pause", "Seconds before the second attempt; it doubles each time.", numeric=True
        ),
        "longest_delay_seconds": text("Longest pause", "Seconds between two attempts.", numeric=True),
        "function": text("Name of the main event", "Metrics of two runs pair up by it."),
        "seed": text("Seed", "Of the random order of datapoints; empty: one is drawn.", numeric=True),
        "metadata": document("Metadata (JSON)", "Kept with the run."),
        "passing_ranges": document(
            "Passing ranges (JSON)", "A datapoint outside of one fails.", hint='{"exact_match": {"min": 1}}'
        ),
        "bounds": document(
            "Bounds of metrics (JSON)",
            "Lowest and highest possible value. Metrics with bounds have an interval that may be watched.",
            hint='{"answer_f1": [0, 1]}',
        ),
    }
    if not is_scheduled:
        fields["baseline_run_id"] = Choice("Baseline", offer.runs, "What it is compared with at the end.", "none")
    return fields


def _fields_of_targets(offer: Offer) -> dict[str, forms.Field]:
    placeholders = "{{inputs.question}} stands for a value of the datapoint."
    return {
        "kind": forms.ChoiceField(label="Target", choices=KINDS, widget=forms.RadioSelect, required=False),
        "http_method": Choice("Method", [(name, name) for name in METHODS[1:]], empty=METHODS[0]),
        "http_url": text("Address", placeholders, hint="https://app.example.com/answer"),
        "http_headers": document(
            "Headers (JSON)",
            "The value of a stored secret: {\"Authorization\": {\"secret\": \"name\", \"prefix\": \"Bearer \"}}",
        ),
        "http_body": document("Body (JSON)", f"{placeholders} A lone placeholder keeps its type.", rows=5),
        "http_response_path": text(
            "Output in the answer", "A path such as choices.0.text; empty: the whole answer.", hint="answer.text"
        ),
        "chat_configuration": Choice(
            "Configuration", offer.configurations, empty="choose one" if offer.configurations else "none yet"
        ),
        "chat_version": text("Version", "A number; empty: the newest at the start.", numeric=True, hint="newest"),
        "chat_base_url": text("Root of the API", hint="https://api.openai.com/v1"),
        "chat_secret": Choice("Secret with the key", offer.secrets, empty="none"),
        "callable_name": Choice(
            "Callable", offer.callables, "Operators register them in HHWEB_CALLABLES.",
            "choose one" if offer.callables else "none is registered",
        ),
        "callable_options": document("Options (JSON)", "Passed to the callable with each datapoint."),
    }  # fmt: skip
