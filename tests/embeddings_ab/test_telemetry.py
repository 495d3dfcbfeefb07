"""Instruments of A/B testing: what they count, and that no label takes a value from outside its closed set."""

import pytest
from prometheus_client import REGISTRY

from embeddings_ab import telemetry


def sample(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def labels_of(name):
    return {
        tuple(sorted(sample.labels.items()))
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_builds_are_counted_by_outcome_and_cause_and_timed():
    before = (
        sample("hhweb_ab_builds_total", outcome="failed", cause="timeout"),
        sample("hhweb_ab_build_seconds_count"),
        sample("hhweb_ab_build_seconds_sum"),
    )
    telemetry.count_build("started")
    telemetry.count_build("failed", cause="timeout", seconds=2.5)
    assert sample("hhweb_ab_builds_total", outcome="failed", cause="timeout") == before[0] + 1
    assert sample("hhweb_ab_build_seconds_count") == before[1] + 1
    assert sample("hhweb_ab_build_seconds_sum") == before[2] + 2.5


def test_tests_and_arms_are_counted_and_timed_only_where_a_time_is_given():
    tests = sample("hhweb_ab_test_seconds_count")
    arms = sample("hhweb_ab_arm_seconds_count", kind="hybrid")
    completed = sample("hhweb_ab_arms_total", kind="hybrid", outcome="completed")
    telemetry.count_test("queued")
    telemetry.count_test("completed", seconds=3)
    telemetry.count_arm("hybrid", "completed", seconds=1)
    telemetry.count_arm("hybrid", "cancelled")
    assert sample("hhweb_ab_test_seconds_count") == tests + 1
    assert sample("hhweb_ab_arm_seconds_count", kind="hybrid") == arms + 1
    assert sample("hhweb_ab_arms_total", kind="hybrid", outcome="completed") == completed + 1


def test_texts_tokens_and_cache_hits_are_counted_apart():
    names = ("hhweb_ab_embedded_texts_total", "hhweb_ab_embedded_tokens_total", "hhweb_ab_cache_hits_total")
    before = [sample(name, provider="tei") for name in names]
    telemetry.count_embedded("tei", texts=3, tokens=40, cache_hits=7)
    after = [sample(name, provider="tei") for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [3, 40, 7]


class Refused(Exception):
    cause = "rate_limited"


@pytest.mark.parametrize(("error", "outcome"), [(Refused(), "rate_limited"), (ValueError("x"), "other"), (None, "ok")])
def test_a_timed_call_is_counted_by_the_cause_of_its_failure_which_is_passed_on(error, outcome):
    before = sample("hhweb_ab_provider_calls_total", provider="cohere", outcome=outcome)
    timed = sample("hhweb_ab_provider_seconds_count", provider="cohere")
    caught = None
    try:
        with telemetry.timed_call("cohere"):
            if error:
                raise error
    except Exception as raised:
        caught = raised
    assert caught is error
    assert sample("hhweb_ab_provider_calls_total", provider="cohere", outcome=outcome) == before + 1
    assert sample("hhweb_ab_provider_seconds_count", provider="cohere") == timed + 1


def test_free_names_never_become_labels():
    """W24: providers and models as labels let one project fill the memory of every process."""
    for number in range(100):
        name = f"free name {number}"
        telemetry.count_call(name, seconds=0.1, cause=name)
        telemetry.count_embedded(name, texts=1)
        telemetry.count_build("failed", cause=name)
        telemetry.count_arm(name, "failed")
    for name in ("hhweb_ab_provider_calls_total", "hhweb_ab_embedded_texts_total", "hhweb_ab_builds_total"):
        assert not any("free name" in value for labels in labels_of(name) for _, value in labels)
    assert (("outcome", "other"), ("provider", "other")) in labels_of("hhweb_ab_provider_calls_total")
    assert (("kind", "other"), ("outcome", "failed")) in labels_of("hhweb_ab_arms_total")


def test_no_instrument_has_a_label_for_a_model_or_a_project():
    free = {"model", "revision", "project", "test", "arm", "collection", "url"}
    instruments = [value for value in vars(telemetry).values() if hasattr(value, "_labelnames")]
    assert len(instruments) == 12
    assert not free & {label for instrument in instruments for label in instrument._labelnames}
