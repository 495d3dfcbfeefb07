"""Shapes of the answer in which two runs are compared."""

from typing import Any

from rest_framework import serializers

from experiments.domain.comparison_options import MISSING
from experiments.domain.statistics.sentences import FEW_PAIRS

VERDICTS = ["better", "worse", "equivalent", "undecided"]
_REASONS = ["too_few", "noisy", "incomplete", "not_significant"]


def number(help_text: str = "") -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=help_text)


class ComparedRunOut(serializers.Serializer[Any]):
    """One of the two runs."""

    run_id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class PassRateOut(serializers.Serializer[Any]):
    """Datapoints of the whole run that passed every metric and did not crash."""

    passed = serializers.IntegerField()
    total = serializers.IntegerField()
    rate = number("null without datapoints")
    low = number("Wilson interval of `level`")
    high = number()
    level = serializers.FloatField()
    method = serializers.CharField()


class PassRatesOut(serializers.Serializer[Any]):
    """Of both runs."""

    new = PassRateOut()
    old = PassRateOut()


class CrashedOut(serializers.Serializer[Any]):
    """Common datapoints with a crashed execution."""

    new = serializers.IntegerField()
    old = serializers.IntegerField()


class ComparisonPlanOut(serializers.Serializer[Any]):
    """How thoroughly a metric was compared."""

    flips = serializers.IntegerField()
    interval = serializers.ChoiceField(choices=["bca", "t"])
    resamples = serializers.IntegerField()
    text = serializers.CharField()


class FailureCountsOut(serializers.Serializer[Any]):
    """Failed datapoints among those that both runs executed."""

    executed = serializers.IntegerField()
    control = serializers.IntegerField()
    arm = serializers.IntegerField()
    both = serializers.IntegerField()
    only_control = serializers.IntegerField()
    only_arm = serializers.IntegerField()
    p = number("exact McNemar, two-sided; null while a run is in progress")
    mid_p = number()


class BinaryOut(serializers.Serializer[Any]):
    """Pairs of a metric that is 0 or 1 everywhere."""

    both = serializers.IntegerField()
    only_control = serializers.IntegerField()
    only_arm = serializers.IntegerField()
    neither = serializers.IntegerField()
    control_rate = serializers.FloatField()
    arm_rate = serializers.FloatField()
    p = serializers.FloatField(help_text="exact McNemar, two-sided")
    mid_p = serializers.FloatField()
    low = number("of the difference of the rates (Newcombe 1998, method 10)")
    high = number()
    level = serializers.FloatField()
    method = serializers.CharField()


class NonInferiorityOut(serializers.Serializer[Any]):
    """Whether the new run is shown not to be worse by more than the margin declared."""

    margin = serializers.FloatField()
    p = number("one-sided t")
    adjusted_p = number()
    is_shown = serializers.BooleanField()
    sentence = serializers.CharField()


class WorstCaseOut(serializers.Serializer[Any]):
    """The comparison again, with the worst value for what the new run alone failed to score."""

    value = serializers.FloatField()
    filled = serializers.IntegerField()
    difference = serializers.FloatField()
    p = serializers.FloatField()
    is_equivalent = serializers.BooleanField()
    is_not_worse = serializers.BooleanField()


class EvidenceOut(serializers.Serializer[Any]):
    """What is known beside the figures."""

    plan = ComparisonPlanOut()
    failures = FailureCountsOut()
    failure_rule = serializers.ChoiceField(choices=["any", "more"])
    missing = serializers.ChoiceField(choices=MISSING)
    lacking = FailureCountsOut(allow_null=True, help_text="failed, or scored on the other side alone: it decides")
    filled_control = serializers.IntegerField(help_text="scores filled in by missing=worst")
    filled_arm = serializers.IntegerField()
    filled_with = number()
    binary = BinaryOut(allow_null=True)
    noninferiority = NonInferiorityOut(allow_null=True)
    worst_case = WorstCaseOut(allow_null=True)
    holm_p = number("corrected over the metrics, whichever correction decides")
    benjamini_hochberg_p = number()


class PairedComparisonOut(serializers.Serializer[Any]):
    """New run (`arm`) against old run (`control`) over the common datapoints; differences are arm − control."""

    metric = serializers.CharField()
    control = serializers.CharField()
    arm = serializers.CharField()
    units_word = serializers.CharField()
    higher_is_better = serializers.BooleanField()
    alpha = serializers.FloatField()
    margin = number("difference declared as unimportant")
    seed = serializers.IntegerField(max_value=2**53, min_value=0, help_text="follows from the two run ids")
    draws = serializers.IntegerField(help_text="sign flips seen by the permutation test")
    is_exact = serializers.BooleanField(help_text="all flips were seen")
    n_common = serializers.IntegerField(help_text="datapoints scored in both runs")
    n_clusters = serializers.IntegerField(allow_null=True)
    n_only_control = serializers.IntegerField()
    n_only_arm = serializers.IntegerField()
    n_failed_control = serializers.IntegerField()
    n_failed_arm = serializers.IntegerField()
    is_complete = serializers.BooleanField(help_text="both runs completed")
    control_mean = number()
    arm_mean = number()
    difference = number()
    interval_low = number("of the mean difference")
    interval_high = number()
    interval_level = serializers.FloatField()
    interval_method = serializers.ChoiceField(choices=["bca", "t"])
    p = number("permutation test, two-sided; it decides")
    sign_p = number()
    t_p = number()
    wilcoxon_p = number()
    wins = serializers.IntegerField(help_text="datapoints on which the new run is better")
    ties = serializers.IntegerField()
    losses = serializers.IntegerField()
    d_z = number("mean difference / standard deviation of the differences")
    sd = number()
    mde = number("difference found with 80 % power by so many datapoints")
    target_effect = number("what `queries_needed` is reckoned for")
    is_effect_observed = serializers.BooleanField(help_text="no margin was declared: the difference seen stands in")
    queries_needed = serializers.IntegerField(allow_null=True, help_text="datapoints needed in all")
    more_queries = serializers.IntegerField(allow_null=True, help_text="datapoints still missing")
    equivalence_p = number("two one-sided tests within the margin")
    is_equivalence_shown = serializers.BooleanField()
    correction = serializers.CharField()
    family_size = serializers.IntegerField()
    adjusted_p = number()
    adjusted_equivalence_p = number()
    slice_label = serializers.CharField(allow_null=True)
    verdict = serializers.ChoiceField(choices=VERDICTS)
    reason = serializers.ChoiceField(
        choices=_REASONS, allow_null=True, help_text=f"of `undecided`; too_few: under {FEW_PAIRS} datapoints"
    )
    sentence = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())
    evidence = EvidenceOut()


class QuantilesOut(serializers.Serializer[Any]):
    """Values of the common datapoints ascending; their 0th to 100th percentiles where there are more than 101."""

    old = serializers.ListField(child=serializers.FloatField())
    new = serializers.ListField(child=serializers.FloatField())


class MovedDatapointOut(serializers.Serializer[Any]):
    """A common datapoint whose value changed; means where it has several executions."""

    datapoint_id = serializers.CharField()
    old = serializers.FloatField()
    new = serializers.FloatField()
    difference = number()


class ComparedMetricOut(serializers.Serializer[Any]):
    """A metric of both runs. Aggregates are of the whole runs; `statistics` are of the common datapoints."""

    metric_name = serializers.CharField()
    metric_type = serializers.CharField()
    event_name = serializers.CharField()
    event_type = serializers.CharField()
    direction = serializers.ChoiceField(choices=["higher", "lower"], help_text="which is better")
    is_primary = serializers.BooleanField(help_text="the metric that counts most")
    bounds = serializers.ListField(
        child=serializers.FloatField(), allow_null=True, help_text="least and greatest value, where known"
    )
    old_aggregate = number()
    new_aggregate = number()
    difference = number("new_aggregate − old_aggregate")
    percentage_change = number()
    found_count = serializers.IntegerField(help_text="common datapoints that have the metric in both runs")
    improved_count = serializers.IntegerField()
    degraded_count = serializers.IntegerField()
    same_count = serializers.IntegerField()
    statistics = PairedComparisonOut()
    quantiles = QuantilesOut()
    improved_most = MovedDatapointOut(many=True)
    degraded_most = MovedDatapointOut(many=True)


class OnlyInOneOut(serializers.Serializer[Any]):
    """A metric that one run alone has."""

    metric_name = serializers.CharField()
    event_name = serializers.CharField()
    presence = serializers.ChoiceField(choices=["old", "new"])


class FailedDatapointOut(serializers.Serializer[Any]):
    """A common datapoint with a crashed execution."""

    datapoint_id = serializers.CharField()
    side = serializers.ChoiceField(choices=["new", "old", "both"])


class FailuresOut(serializers.Serializer[Any]):
    """Common datapoints with a crashed execution on either side. While the new run fails more, "better" is withheld."""

    old = serializers.IntegerField()
    new = serializers.IntegerField()
    both = serializers.IntegerField()
    only_old = serializers.IntegerField()
    only_new = serializers.IntegerField()
    difference = number("rate of the new run − rate of the old one")
    low = number("Newcombe interval of the difference; null while a run is in progress")
    high = number()
    level = serializers.FloatField()
    method = serializers.CharField()
    p = number("exact McNemar, two-sided; null while a run is in progress")
    new_fails_more = serializers.BooleanField()
    is_shown_worse = serializers.BooleanField(help_text="p is at most alpha")
    sentence = serializers.CharField()
    datapoints = FailedDatapointOut(many=True, help_text="the first hundred, those of the new run alone before others")
    datapoints_left_out = serializers.IntegerField()


class CorrectionOut(serializers.Serializer[Any]):
    """Correction for many comparisons: which one decides."""

    name = serializers.CharField()
    family_size = serializers.IntegerField()
    sentence = serializers.CharField()


class ClusterOut(serializers.Serializer[Any]):
    """Datapoints that belong together; those without the key are clusters of their own."""

    key = serializers.CharField()
    clusters = serializers.IntegerField()
    unlabelled = serializers.IntegerField()


class PrimaryMetricOut(serializers.Serializer[Any]):
    """The metric that counts most."""

    metric_name = serializers.CharField()
    event_name = serializers.CharField()


class SlicesOut(serializers.Serializer[Any]):
    """One metric within each value of a key, the largest slice first."""

    key = serializers.CharField()
    metric_name = serializers.CharField(allow_null=True)
    event_name = serializers.CharField(allow_null=True)
    correction = CorrectionOut()
    slices = PairedComparisonOut(many=True)
    left_out = serializers.IntegerField(help_text="values beyond the fifty most frequent")
    unlabelled = serializers.IntegerField(help_text="common datapoints without the key")
    warnings = serializers.ListField(child=serializers.CharField())


class RunComparisonOut(serializers.Serializer[Any]):
    """Two runs compared with statistics."""

    new_run = ComparedRunOut()
    old_run = ComparedRunOut()
    aggregate_function = serializers.CharField()
    confidence = serializers.FloatField()
    common_datapoints = serializers.IntegerField()
    new_only_datapoints = serializers.IntegerField()
    old_only_datapoints = serializers.IntegerField()
    crashed_datapoints = CrashedOut()
    failures = FailuresOut()
    missing = serializers.ChoiceField(choices=MISSING)
    pass_rates = PassRatesOut()
    correction = CorrectionOut()
    cluster = ClusterOut(allow_null=True)
    primary_metric = PrimaryMetricOut(allow_null=True)
    metrics = ComparedMetricOut(many=True)
    slices = SlicesOut(allow_null=True)
    only_in_one = OnlyInOneOut(many=True)
    warnings = serializers.ListField(child=serializers.CharField())
