"""Shapes of the answer in which two runs are compared."""

from typing import Any

from rest_framework import serializers

from experiments.domain.statistics.sentences import FEW_PAIRS

_VERDICTS = ["better", "worse", "equivalent", "undecided"]
_REASONS = ["too_few", "noisy", "incomplete", "not_significant"]


def _number(help_text: str = "") -> serializers.FloatField:
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
    rate = _number("null without datapoints")
    low = _number("Wilson interval of `level`")
    high = _number()
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


class PairedComparisonOut(serializers.Serializer[Any]):
    """New run (`arm`) against old run (`control`) over the common datapoints; differences are arm − control."""

    metric = serializers.CharField()
    control = serializers.CharField()
    arm = serializers.CharField()
    units_word = serializers.CharField()
    higher_is_better = serializers.BooleanField()
    alpha = serializers.FloatField()
    margin = _number("difference declared as unimportant")
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
    control_mean = _number()
    arm_mean = _number()
    difference = _number()
    interval_low = _number("of the mean difference")
    interval_high = _number()
    interval_level = serializers.FloatField()
    interval_method = serializers.ChoiceField(choices=["bca", "t"])
    p = _number("permutation test, two-sided; it decides")
    sign_p = _number()
    t_p = _number()
    wilcoxon_p = _number()
    wins = serializers.IntegerField(help_text="datapoints on which the new run is better")
    ties = serializers.IntegerField()
    losses = serializers.IntegerField()
    d_z = _number("mean difference / standard deviation of the differences")
    sd = _number()
    mde = _number("difference found with 80 % power by so many datapoints")
    target_effect = _number("what `queries_needed` is reckoned for")
    is_effect_observed = serializers.BooleanField(help_text="no margin was declared: the difference seen stands in")
    queries_needed = serializers.IntegerField(allow_null=True, help_text="datapoints needed in all")
    more_queries = serializers.IntegerField(allow_null=True, help_text="datapoints still missing")
    equivalence_p = _number("two one-sided tests within the margin")
    is_equivalence_shown = serializers.BooleanField()
    correction = serializers.CharField()
    family_size = serializers.IntegerField()
    adjusted_p = _number()
    adjusted_equivalence_p = _number()
    slice_label = serializers.CharField(allow_null=True)
    verdict = serializers.ChoiceField(choices=_VERDICTS)
    reason = serializers.ChoiceField(
        choices=_REASONS, allow_null=True, help_text=f"of `undecided`; too_few: under {FEW_PAIRS} datapoints"
    )
    sentence = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())


class MovedDatapointOut(serializers.Serializer[Any]):
    """A common datapoint whose value changed; means where it has several executions."""

    datapoint_id = serializers.CharField()
    old = serializers.FloatField()
    new = serializers.FloatField()
    difference = _number()


class ComparedMetricOut(serializers.Serializer[Any]):
    """A metric of both runs. Aggregates are of the whole runs; `statistics` are of the common datapoints."""

    metric_name = serializers.CharField()
    metric_type = serializers.CharField()
    event_name = serializers.CharField()
    event_type = serializers.CharField()
    direction = serializers.ChoiceField(choices=["higher", "lower"], help_text="which is better")
    old_aggregate = _number()
    new_aggregate = _number()
    difference = _number("new_aggregate − old_aggregate")
    percentage_change = _number()
    found_count = serializers.IntegerField(help_text="common datapoints that have the metric in both runs")
    improved_count = serializers.IntegerField()
    degraded_count = serializers.IntegerField()
    same_count = serializers.IntegerField()
    statistics = PairedComparisonOut()
    improved_most = MovedDatapointOut(many=True)
    degraded_most = MovedDatapointOut(many=True)


class OnlyInOneOut(serializers.Serializer[Any]):
    """A metric that one run alone has."""

    metric_name = serializers.CharField()
    event_name = serializers.CharField()
    presence = serializers.ChoiceField(choices=["old", "new"])


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
    pass_rates = PassRatesOut()
    metrics = ComparedMetricOut(many=True)
    only_in_one = OnlyInOneOut(many=True)
    warnings = serializers.ListField(child=serializers.CharField())
