"""An event loop and a sandbox whose time nobody waits for."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_apiframe.sandbox.server import Sandbox

START = 1_800_000_000.0  # seconds since the epoch
LATENCY = 0.001  # seconds that a request takes at least; what comes earlier comes before it
HUNG = 10.0  # seconds of real time without any response: the test fails rather than hangs


class Clock:
    """The time of the event loop and of the sandbox: it jumps to where something happens next."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class JumpingSelector(selectors.DefaultSelector):
    """Where an event loop would sleep, the clock jumps; responses under way are waited for."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        responses_are_due = len(self.get_map()) > 1  # more than the loop's own wake-up call
        if timeout is None or (responses_are_due and timeout > LATENCY):
            ready = super().select(HUNG)
            assert ready, "no response came"
            return ready
        self._clock.advance(timeout + 1e-6)  # so that it moves at all, at this size of numbers
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop on the clock. It waits for what it gives to a thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__(JumpingSelector(clock))

    def time(self) -> float:
        return self._clock() - START  # small numbers, which float holds exactly enough

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(func, *args)
        return asyncio.wrap_future(done, loop=self)


@pytest.fixture(scope="session")
def _time() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def _server(_time: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=_time, latency=10, api_keys=["afk_other=someone"]) as sandbox:
        yield sandbox


@pytest.fixture
def clock(_time: Clock) -> Clock:
    _time.now = START
    return _time


@pytest.fixture
def sandbox(_server: Sandbox, clock: Clock) -> Sandbox:
    """A local Apiframe, empty, with a job time of 10 s on ``clock``."""
    _server.reset()
    return _server


@pytest.fixture
def run(clock: Clock) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Call it to run a coroutine on an event loop of its own, on ``clock``."""

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=lambda: JumpingLoop(clock)) as runner:
            return runner.run(coroutine)

    return run


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
