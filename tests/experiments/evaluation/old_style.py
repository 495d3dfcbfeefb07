"""Code as users wrote it for the evaluation API, only the package's name changed. Run by test_with_a_server.py.

Needs HH_API_KEY and HH_API_URL, like the code it stands for.
"""

# mypy: ignore-errors

import os

from experiments import Client as HoneyHive
from experiments.evaluation import (
    BaseEvaluator,
    EvaluationContext,
    EvaluationResult,
    EvaluationRun,
    aevaluator,
    compare_runs,
    evaluate,
    evaluator,
    get_run_metrics,
    get_run_result,
    run_experiment,
)
from experiments.evaluation.evaluators import EvaluationContext as LocalContext
from experiments.evaluation.evaluators import EvaluationResult as LocalResult
from experiments.evaluation.evaluators import (
    ExactMatchEvaluator,
    create_evaluation_run,
    evaluate_batch,
    evaluate_decorator,
    evaluate_with_evaluators,
    get_evaluator,
)
from experiments.evaluation.evaluators import evaluate as evaluate_locally

CAPITALS = {"France": "Paris", "Peru": "Lima", "Kenya": "Nairobi"}

# --- since 1.0

DATASET = [
    {"inputs": {"country": "France"}, "ground_truth": {"answer": "Paris"}},
    {"inputs": {"country": "Peru"}, "ground_truth": {"answer": "Lima"}},
    {"inputs": {"country": "Atlantis"}, "ground_truth": {"answer": "Atlantis City"}, "id": "atlantis"},
]


def looking_up(capitals, default):
    def look_up(datapoint):  # metrics are compared under the function's name
        return {"answer": capitals.get(datapoint["inputs"]["country"], default)}

    return look_up


look_up = looking_up(CAPITALS, "")


@evaluator
def accuracy(outputs, inputs, ground_truth):
    return {"score": float(outputs["answer"] == ground_truth["answer"]), "explanation": "compared as text"}


@aevaluator
async def length(outputs, inputs, ground_truth):
    return len(outputs["answer"])


class Politeness(BaseEvaluator):
    def __init__(self):
        super().__init__("politeness")

    def evaluate(self, inputs, outputs, ground_truth=None, **kwargs):
        return {"score": float("please" in str(outputs))}


def experiments_since_1_0():
    options = {
        "dataset": DATASET,
        "evaluators": [accuracy, length, Politeness()],
        "api_key": os.environ["HH_API_KEY"],
        "server_url": os.environ["HH_API_URL"],
        "project": "old projects",
        "max_workers": 2,
        "verbose": True,
    }
    before = evaluate(function=looking_up({}, "Paris"), name="guess", **options)
    after = evaluate(look_up, name="look up", print_results=False, **options)
    assert isinstance(after, EvaluationResult)
    client = HoneyHive(api_key=os.environ["HH_API_KEY"], server_url=os.environ["HH_API_URL"])
    again = get_run_result(client, after.run_id, None, "average")
    raw = get_run_metrics(client, after.run_id)
    comparison = compare_runs(client, after.run_id, before.run_id)
    context = EvaluationContext(after.run_id, comparison.new_run_id)
    executed = run_experiment(
        look_up,
        DATASET[:1],
        ["EXT-again"],
        experiment_context=context,
        api_key=os.environ["HH_API_KEY"],
        server_url=os.environ["HH_API_URL"],
    )
    run = EvaluationRun(run_id=after.run_id, name="look up")
    client.close()
    return {
        "accuracy": [before.metrics.get_metric("accuracy").aggregate, after.metrics.get_metric("accuracy").aggregate],
        "metrics": sorted(again.metrics.list_metrics()),
        "passed": again.passed,
        "raw": raw["metrics"]["aggregation_function"],
        "improved": comparison.list_improved_metrics(),
        "common": comparison.common_datapoints,
        "delta": comparison.get_metric_delta("accuracy")["improved_count"],
        "executed": executed[0]["status"],
        "run": run.name,
    }


# --- before 1.0

OLD_DATASET = [
    {"inputs": {"country": "France"}, "ground_truths": {"answer": "Paris"}},
    {"inputs": {"country": "Kenya"}, "ground_truths": {"answer": "Mombasa"}},
]


def capital(inputs, ground_truths):
    assert ground_truths["answer"] in ("Paris", "Mombasa")
    return CAPITALS[inputs["country"]]


def capital_of(row):
    return CAPITALS[row["country"]]


def same(outputs, inputs, ground_truths):
    return outputs == ground_truths["answer"]


def experiments_before_1_0():
    found = []
    for function in (capital, capital_of):
        result = evaluate(
            function=function,
            hh_api_key=os.environ["HH_API_KEY"],
            hh_project="old projects",
            name=f"before 1.0: {function.__name__}",
            suite="geography",
            dataset=OLD_DATASET,
            evaluators=[same],
            server_url=os.environ["HH_API_URL"],
            disable_http_tracing=True,
        )
        found.append(result.metrics.get_metric("same").aggregate)
    return {"same": found, "suite": result.run_object.metadata["suite"]}


# --- locally


@evaluate_decorator(evaluators=["exact_match"])
def answer(inputs):
    return {"response": inputs["question"].upper()}


def polite(inputs, outputs):
    return 0.5


def locally():
    context = LocalContext(project="old projects", source="laptop")
    one = evaluate_with_evaluators(
        [ExactMatchEvaluator(), "f1_score", polite],
        {"expected": "the capital is Paris"},
        {"response": "Paris is the capital"},
        context=context,
        max_workers=2,
    )
    batch = evaluate_batch(
        ["exact_match", get_evaluator("length")],
        [{"inputs": {"expected": "a"}, "outputs": {"response": " A "}}, {"inputs": {"expected": "a"}}],
    )
    created = create_evaluation_run("local", "old projects", batch, {"from": "laptop"})
    return {
        "f1": one.metrics["f1_score"]["f1_score"],
        "score": one.score,
        "batch": [result.metrics["exact_match"]["exact_match"] for result in batch],
        "decorated": answer({"question": "a", "expected": "a"})["evaluation"]["result"].score,
        "simple": evaluate_locally("Paris", "paris").score,
        "is_result": isinstance(one, LocalResult),
        "created": created.evaluation.name,
    }


if __name__ == "__main__":
    OUTCOME = {"since": experiments_since_1_0(), "before": experiments_before_1_0(), "local": locally()}
