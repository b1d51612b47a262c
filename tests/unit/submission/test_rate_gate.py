from __future__ import annotations

import threading

from airflow_provider_apiframe.api.errors import RateLimitedError
from airflow_provider_apiframe.submission import rate_gate
from airflow_provider_apiframe.submission.rate_gate import RateGate


class Clock:
    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(rate_gate.time, "monotonic", lambda: self.now)


def limited(retry_after: float) -> RateLimitedError:
    return RateLimitedError("slow down", retry_after=retry_after)


def test_one_limit_makes_all_wait_as_long_as_is_asked(monkeypatch):
    clock, gate = Clock(monkeypatch), RateGate()
    assert gate.limit(limited(30))
    assert gate._resume_at == clock.now + 30
    for _ in range(7):  # the requests that were in flight
        assert gate.limit(limited(30))
    assert gate._resume_at == clock.now + 30
    assert gate._pauses == 1
    clock.now += 30
    assert gate.wait()


def test_a_limit_that_lasts_too_long_is_given_up(monkeypatch):
    clock, gate = Clock(monkeypatch), RateGate(max_seconds=100)
    for _ in range(3):
        assert gate.limit(limited(30))
        clock.now += 30
    assert not gate.limit(limited(30))


def test_what_passes_between_limits_starts_their_count_anew(monkeypatch):
    clock, gate = Clock(monkeypatch), RateGate(max_seconds=100)
    for _ in range(9):
        assert gate.limit(limited(30))
        clock.now += 30
        gate.passed()


def test_who_waits_is_let_go_when_the_submitting_ends():
    gate = RateGate()
    gate.limit(limited(200))
    passed: list[bool] = []
    thread = threading.Thread(target=lambda: passed.append(gate.wait()))
    thread.start()
    gate.close()
    thread.join(10)
    assert passed == [False]
