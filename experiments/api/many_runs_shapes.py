"""Shapes of answers about one run by itself, several runs, and single datapoints of two runs."""

from typing import Any

from rest_framework import serializers

from experiments.api.comparison_shapes import (
    VERDICTS,
    ComparedRunOut,
    CorrectionOut,
    PairedComparisonOut,
    PassRateOut,
    number,
)
from experiments.domain.comparison_options import MISSING
from experiments.selectors.compared_datapoints import OUTCOMES

_WAYS = ["higher", "lower"]


class SummarisedMetricOut(serializers.Serializer[Any]):
    """One metric over the run's datapoints; executions of one datapoint are averaged first."""

    metric_name = serializers.CharField()
    metric_type = serializers.CharField()
    event_name = serializers.CharField()
    event_type = serializers.CharField()
    direction = serializers.ChoiceField(choices=_WAYS)
    is_boolean = serializers.BooleanField()
    n = serializers.IntegerField(help_text="datapoints with a value")
    mean = number("rate of booleans")
    sd = number()
    low = number("null before the run is complete")
    high = number()
    method = serializers.ChoiceField(choices=["wilson", "bca", "t"], allow_null=True)
    warning = serializers.CharField(allow_null=True)


class RunSummaryOut(serializers.Serializer[Any]):
    """One run with the intervals of its figures."""

    run = ComparedRunOut()
    is_complete = serializers.BooleanField()
    confidence = serializers.FloatField()
    datapoints = serializers.IntegerField()
    crashed_datapoints = serializers.IntegerField()
    pass_rate = PassRateOut()
    metrics = SummarisedMetricOut(many=True)
    note = serializers.CharField(help_text="why there are no intervals; empty when there are")


class WatchedMetricOut(serializers.Serializer[Any]):
    """An interval that holds at every look."""

    metric_name = serializers.CharField()
    event_name = serializers.CharField()
    event_type = serializers.CharField()
    mean = number("of the finished prefix of the random order")
    low = serializers.FloatField(help_text="of the mean over all datapoints of the run")
    high = serializers.FloatField()
    method = serializers.CharField()
    level = serializers.FloatField()
    n = serializers.IntegerField(help_text="datapoints of the prefix")
    unscored = serializers.IntegerField(help_text="of them failed or without a score: they widen the interval")
    population = serializers.IntegerField()
    bounds = serializers.ListField(child=serializers.FloatField())
    is_final = serializers.BooleanField()


class WatchedDifferenceOut(serializers.Serializer[Any]):
    """The same of the difference to a baseline."""

    metric_name = serializers.CharField()
    event_name = serializers.CharField()
    event_type = serializers.CharField()
    direction = serializers.ChoiceField(choices=_WAYS)
    difference = number("new − baseline, over the finished prefix")
    low = serializers.FloatField()
    high = serializers.FloatField()
    method = serializers.CharField()
    level = serializers.FloatField()
    n = serializers.IntegerField()
    unscored = serializers.IntegerField()
    population = serializers.IntegerField()
    bounds = serializers.ListField(child=serializers.FloatField())
    is_final = serializers.BooleanField()


class WatchedBaselineOut(serializers.Serializer[Any]):
    """Differences to a baseline over the datapoints that it has as well."""

    run = ComparedRunOut()
    common_datapoints = serializers.IntegerField()
    metrics = WatchedDifferenceOut(many=True)


class WatchedRunOut(serializers.Serializer[Any]):
    """A run in progress, with intervals that may be watched."""

    run = ComparedRunOut()
    status = serializers.CharField()
    total = serializers.IntegerField(help_text="datapoints")
    finished = serializers.IntegerField(help_text="length of the finished prefix of the random order")
    prefix = serializers.IntegerField(help_text="how much of it the intervals are of")
    confidence = serializers.FloatField()
    label = serializers.CharField()  # type: ignore[assignment] # a field by that name is no title of the shape
    metrics = WatchedMetricOut(many=True)
    without_bounds = serializers.ListField(child=serializers.CharField())
    baseline = WatchedBaselineOut(allow_null=True)
    note = serializers.CharField()


class ComparedCandidateOut(serializers.Serializer[Any]):
    """A candidate against the baseline."""

    new_run_id = serializers.CharField()
    old_run_id = serializers.CharField()
    statistics = PairedComparisonOut()


class MeanOfRunOut(serializers.Serializer[Any]):
    """Mean over the datapoints that all runs have."""

    run_id = serializers.CharField()
    mean = number()


class PairOfRunsOut(serializers.Serializer[Any]):
    """Two of the runs; the verdict is of the second one."""

    first_run_id = serializers.CharField()
    second_run_id = serializers.CharField()
    datapoints = serializers.IntegerField()
    difference = number("second − first")
    wins = serializers.IntegerField()
    ties = serializers.IntegerField()
    losses = serializers.IntegerField()
    p = number("corrected for all pairs")
    verdict = serializers.ChoiceField(choices=VERDICTS)
    sentence = serializers.CharField()


class AllPairsOut(serializers.Serializer[Any]):
    """Every pair of runs on one metric."""

    method = serializers.CharField()
    draws = serializers.IntegerField()
    datapoints = serializers.IntegerField()
    left_out = serializers.IntegerField(help_text="datapoints that not every run scored")
    means = MeanOfRunOut(many=True)
    pairs = PairOfRunsOut(many=True)
    sentence = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())


class MetricOfRunsOut(serializers.Serializer[Any]):
    """One metric over several runs."""

    metric_name = serializers.CharField()
    event_name = serializers.CharField()
    event_type = serializers.CharField()
    direction = serializers.ChoiceField(choices=_WAYS)
    is_primary = serializers.BooleanField()
    comparisons = ComparedCandidateOut(many=True)
    all_pairs = AllPairsOut(allow_null=True)


class FailuresOfRunOut(serializers.Serializer[Any]):
    """Failures of a candidate and the baseline over their common datapoints."""

    run_id = serializers.CharField()
    common_datapoints = serializers.IntegerField()
    new = serializers.IntegerField()
    old = serializers.IntegerField()
    p = number("exact McNemar, two-sided; null while a run is in progress")
    new_fails_more = serializers.BooleanField()


class RunComparisonsOut(serializers.Serializer[Any]):
    """Several runs compared with one baseline, and in pairs."""

    baseline = ComparedRunOut()
    runs = ComparedRunOut(many=True)
    confidence = serializers.FloatField()
    missing = serializers.ChoiceField(choices=MISSING)
    cluster = serializers.CharField(allow_null=True)
    correction = CorrectionOut()
    metrics = MetricOfRunsOut(many=True, help_text="the primary one first")
    failures = FailuresOfRunOut(many=True)
    warnings = serializers.ListField(child=serializers.CharField())


class ChangeAtRunOut(serializers.Serializer[Any]):
    """A run from which on the metric has another level."""

    before = serializers.FloatField()
    after = serializers.FloatField()
    difference = serializers.FloatField()
    p = serializers.FloatField()


class TrendPointOut(ComparedRunOut):
    """The metric in one run."""

    n = serializers.IntegerField(help_text="datapoints with a value")
    unscored = serializers.IntegerField(help_text="datapoints without one: failed, or not judged")
    value = serializers.FloatField()
    sd = number()
    low = number()
    high = number()
    method = serializers.ChoiceField(choices=["wilson", "t"])
    is_boolean = serializers.BooleanField()
    change = ChangeAtRunOut(allow_null=True)


class ChangePointOut(serializers.Serializer[Any]):
    """The same change with its place among the points."""

    run_id = serializers.CharField()
    position = serializers.IntegerField()
    before = serializers.FloatField()
    after = serializers.FloatField()
    p = serializers.FloatField()


class TrendOut(serializers.Serializer[Any]):
    """A metric over runs, oldest first."""

    metric_name = serializers.CharField()
    event_name = serializers.CharField(allow_null=True)
    direction = serializers.ChoiceField(choices=_WAYS)
    confidence = serializers.FloatField()
    points = TrendPointOut(many=True)
    changes = ChangePointOut(many=True)
    warnings = serializers.ListField(child=serializers.CharField())


class DatapointInBothOut(serializers.Serializer[Any]):
    """A datapoint of two runs on one metric; means where it has several executions."""

    datapoint_id = serializers.CharField()
    outcome = serializers.ChoiceField(choices=OUTCOMES, help_text="of the new run")
    old = number()
    new = number()
    difference = number("new − old")
    old_session_id = serializers.CharField(allow_null=True)
    new_session_id = serializers.CharField(allow_null=True)


class PaginationOut(serializers.Serializer[Any]):
    """Where a page stands."""

    page = serializers.IntegerField()
    limit = serializers.IntegerField()
    total = serializers.IntegerField()
    total_pages = serializers.IntegerField()
    has_next = serializers.BooleanField()
    has_prev = serializers.BooleanField()


class DatapointsInBothOut(serializers.Serializer[Any]):
    """A page of datapoints, the biggest movers first."""

    metric_name = serializers.CharField(allow_null=True)
    event_name = serializers.CharField(allow_null=True)
    direction = serializers.ChoiceField(choices=_WAYS, allow_null=True)
    metrics = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField()), help_text="[metric, event] to choose from"
    )
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="by outcome, before its filter")
    results = DatapointInBothOut(many=True)
    pagination = PaginationOut()


class ExecutionOut(serializers.Serializer[Any]):
    """One execution of a datapoint."""

    session_id = serializers.CharField()
    sessions = serializers.ListField(child=serializers.CharField(), help_text="all executions in this run")
    outputs = serializers.JSONField(allow_null=True)
    text = serializers.CharField(help_text="the outputs as text")
    error = serializers.CharField()
    latency_ms = number()
    metrics = serializers.DictField(child=serializers.JSONField())


class ChangeOut(serializers.Serializer[Any]):
    """A piece of both outputs. `skip`: `count` equal lines that are not shown. `key` and `parts` belong to JSON."""

    op = serializers.ChoiceField(choices=["equal", "delete", "insert", "replace", "skip"])
    old = serializers.CharField()
    new = serializers.CharField()
    key = serializers.CharField(required=False)
    count = serializers.IntegerField(required=False)
    parts = serializers.ListField(child=serializers.JSONField(), required=False)


class OutputDifferenceOut(serializers.Serializer[Any]):
    """What differs between two outputs."""

    unit = serializers.ChoiceField(choices=["words", "lines", "keys"])
    similarity = serializers.FloatField(help_text="0..1; 1 for equal outputs")
    is_truncated = serializers.BooleanField()
    changes = ChangeOut(many=True)


class SideBySideOut(serializers.Serializer[Any]):
    """One datapoint in two runs."""

    datapoint_id = serializers.CharField()
    inputs = serializers.JSONField(allow_null=True)
    expected = serializers.JSONField(allow_null=True)
    old = ExecutionOut(allow_null=True)
    new = ExecutionOut(allow_null=True)
    diff = OutputDifferenceOut(allow_null=True)
