"""What `/metrics` says, against what happened."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from judge.verdict import Verdict
from leaderboard.reconciler import end_leases
from tests.leaderboard.world import World


def scrape(world: World) -> dict[str, float]:
    """The samples of the one device, and those without a device."""
    response = world.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.labels in ({}, {"device": "cpu"})
    }


def test_nothing_happened_yet(world: World) -> None:
    found = scrape(world)

    assert found["opjudge_queue_length"] == 0
    assert found["opjudge_oldest_waiting_seconds"] == 0
    assert found["opjudge_judging_error_ratio"] == 0
    assert found["opjudge_device_busy_ratio"] == 0
    assert found["opjudge_sse_clients"] == 0
    assert found["opjudge_lease_expiries_total"] == 0
    assert found["opjudge_verdict_latency_seconds_count"] == 0


def test_the_queue_and_how_long_it_has_waited(world: World) -> None:
    alice = world.person("alice")
    world.submit(alice)
    world.clock.advance(90)
    world.submit(alice)
    world.clock.advance(10)

    assert scrape(world)["opjudge_queue_length"] == 2
    assert scrape(world)["opjudge_oldest_waiting_seconds"] == 100
    world.claim()
    found = scrape(world)
    assert found["opjudge_oldest_waiting_seconds"] == 10
    assert found["opjudge_judgements_running"] == 1


def test_verdicts_errors_and_busy_devices(world: World) -> None:
    alice = world.person("alice")
    for verdict in (Verdict.AC, Verdict.WA, Verdict.JE):
        world.submit(alice)
        claim = world.claim()
        world.clock.advance(600)
        world.finish(claim, verdict=verdict)

    found = scrape(world)

    assert found["opjudge_verdict_latency_seconds_count"] == 2, "a judging error is no verdict"
    assert found["opjudge_verdict_latency_seconds_sum"] == 1200
    assert found["opjudge_judging_error_ratio"] == pytest.approx(1 / 3)
    assert found["opjudge_device_busy_ratio"] == pytest.approx(0.5)
    world.clock.advance(3601)
    assert scrape(world)["opjudge_device_busy_ratio"] == 0


def test_a_silent_worker_is_counted(world: World) -> None:
    world.submit(world.person("alice"))
    world.claim()
    world.clock.advance(1000)
    end_leases(world.services, world.clock.now)

    found = scrape(world)
    assert found["opjudge_lease_expiries_total"] == 1
    assert found["opjudge_judging_error_ratio"] == 1


def test_every_line_about_a_submission_names_it(world: World) -> None:
    alice = world.person("alice")
    with capture_logs() as lines:
        submission = world.submit(alice)
        world.finish(world.claim())
        other = world.submit(alice)
        world.cancel(other, alice)
        third = world.submit(alice)
        world.claim()
        world.clock.advance(1000)
        end_leases(world.services, world.clock.now)

    told = [(line["event"], line["submission"]) for line in lines if "submission" in line]
    assert [event for event, id in told if id == str(submission)] == [
        "submitted", "claimed", "judged",
    ]  # fmt: skip
    assert [event for event, id in told if id == str(other)] == ["submitted", "cancelled"]
    assert [event for event, id in told if id == str(third)] == [
        "submitted", "claimed", "lease expired",
    ]  # fmt: skip
