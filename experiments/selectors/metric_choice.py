"""Which of the metrics that two runs share is meant, or counts most."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from experiments.selectors.comparison import ComparedColumns
from experiments.selectors.results import Computation
from governance.domain.errors import InvalidInput


def primary_of(both: Sequence[ComparedColumns], asked: str, new: Computation) -> int | None:
    """Place of the metric that counts most; None for no metric.

    The one asked for, else the new run's `metadata.primary_metric`, else the first by name that has a pass rule of
    the run, then of the project, else the first. Of several events the last is the one nearest to the session.
    """
    if asked:
        refuse_absent("primary", [asked], both)
    ranges = new.run.metadata.get("passing_ranges")
    wishes = [asked, str(new.run.metadata.get("primary_metric") or "")]
    wishes += sorted(str(name) for name in ranges) if isinstance(ranges, Mapping) else []
    wishes += sorted(name for name, rule in new.table.rules.items() if rule.threshold)
    places = {each.figures.metric_name: place for place, each in enumerate(both)}
    return next((places[name] for name in wishes if name in places), 0 if both else None)


def refuse_absent(
    field: str,
    names: Iterable[str],
    both: Sequence[ComparedColumns],
    of: Callable[[ComparedColumns], str] = lambda each: each.figures.metric_name,
) -> None:
    """Raise InvalidInput for the first name that is no metric of both runs (or no event of one)."""
    known = sorted({of(each) for each in both})
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"Query parameter {field!r} is {name[:80]!r}, which the runs do not both have; they have: "
                f"{', '.join(known[:20]) or 'none'}.",
                field=field,
                value=name[:200],
            )
