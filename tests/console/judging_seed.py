"""A judging pool with labels of two people and a model, and searches in each status, over the seeded finished test."""

import itertools
from dataclasses import dataclass

from django.contrib.auth.models import User

from embeddings_ab.models import JudgingItem, JudgingPool, JudgmentSource, Label, Tuning
from embeddings_ab.services.judging import create_pool
from embeddings_ab.services.labels import LabelRow, record_labels
from governance.domain.caller import Caller
from governance.models import Member, Project
from governance.services.projects import system_caller, user_caller
from tests.console.ab_seed import SeededAb

ALPHAS = [0.0, 0.25, 0.5, 0.75, 1.0]
GUIDELINES = "Think of an engineer who looks for measurements.\nIn doubt between two grades, take the lower."


@dataclass
class SeededJudging:
    """What was made; `tunings` by status."""

    pool: JudgingPool
    fresh: JudgingPool
    tunings: dict[str, Tuning]


def judge_called(project: Project, name: str) -> Caller:
    """A member who may judge."""
    user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    Member.objects.get_or_create(project=project, user=user, defaults={"role": "evaluator"})
    return user_caller(user, project)


def seed_judging(project: Project, ab: SeededAb) -> SeededJudging:
    """Two pools, one of them half judged; one search of each status."""
    caller = system_caller(project)
    pool = create_pool(
        caller=caller,
        test_id=ab.done.public_id,
        name="cranfield, first round",
        depth=5,
        guidelines=GUIDELINES,
        only_unjudged=False,
    )
    fresh = create_pool(caller=caller, test_id=ab.done.public_id, name="cranfield, second round", depth=3)
    items = list(JudgingItem.objects.filter(pool=pool).select_related("query"))
    judges = [judge_called(project, "ben"), judge_called(project, "cleo")]
    Label.objects.bulk_create(  # in one statement: many tests start from here
        Label(
            item=item,
            source=JudgmentSource.HUMAN,
            labeller=judge.actor_label,
            grade=(place * 7 + (number and place % 5 == 0)) % 4,
        )
        for place, item in enumerate(items[: min(24, len(items) // 2)])
        for number, judge in enumerate(judges)
    )
    rows = [
        LabelRow(item.query.external_id, item.document_id, (place * 7 + (place % 3 == 0)) % 4, "llm", "judge-model 1.2")
        for place, item in enumerate(items)
    ]
    record_labels(caller=caller, pool_id=pool.public_id, labels=rows)
    return SeededJudging(pool, fresh, dict(_tunings(ab)))


def _tunings(ab: SeededAb) -> list[tuple[str, Tuning]]:
    names = [f"alpha {alpha:g}" for alpha in ALPHAS]
    means = dict(zip(names, (0.412, 0.451, 0.468, 0.462, 0.389), strict=True))
    choices = [
        name for name, _ in zip(itertools.cycle(["alpha 0.5", "alpha 0.5", "alpha 0.75"]), range(25), strict=False)
    ]
    result = {
        "chosen": "alpha 0.5",
        "apparent_mean": 0.468,
        "cross_validated_mean": 0.4553,
        "optimism_gap": 0.0127,
        "fold_choices": choices,
        "fold_sizes": [5, 5, 5, 4, 4] * 5,
        "choice_share": {"alpha 0.5": 17 / 25, "alpha 0.75": 8 / 25},
        "held_out_scores": {"q001": 0.5},
        "means": {**means, "arm bm25": 0.402},
        "queries": 23,
        "folds": 5,
        "repeats": 5,
        "seed": 7,
        "measure": "nDCG@10",
        "pareto_front": ["alpha 0.5", "alpha 0.25", "alpha 0"],
        "points": [
            {"name": name, "quality": means[name], "latency_ms": 3.0 + place / 3, "bytes_per_chunk": 1536}
            for place, name in enumerate(names)
        ],
        "embedded": 0,
    }
    spec = {"arm": "convex", "grid": {"alpha": ALPHAS}, "compare_arms": ["bm25"], "measure": "nDCG@10", "folds": 5}
    shapes = {
        "completed": {"result": result},
        "running": {},
        "failed": {
            "error_code": "invalid_input",
            "error_message": "Field 'compare_arms': arm 'x' has no values of R@1.",
        },
        "pending": {},
    }
    return [
        (status, Tuning.objects.create(test=ab.done, spec=spec, status=status, created_by="anna", **fields))
        for status, fields in shapes.items()
    ]
