"""The command line: ``python -m airflow_provider_apiframe.sandbox``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, get_args

from airflow_provider_apiframe.sandbox.settings import Dialect, ResultForm, Settings, WebhookDigest

BANNER = """\
Apiframe sandbox: images are drawn on this machine, credits are play money.

  URL      {url}
  API key  {key}
  State    {url}/_sandbox/state

Add the Airflow connection:

  airflow connections add apiframe_default --conn-type apiframe --conn-host {url} --conn-password {key}

Press Ctrl+C to stop.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; destinations carry the names of `Options`."""
    defaults = Settings()
    flags = argparse.ArgumentParser(
        prog="python -m airflow_provider_apiframe.sandbox",
        description="Apiframe v2 on this machine, for demos and tests: no account, no charge.",
        epilog="A prompt can steer its job: [fail: some text], [cancel], [stuck], [takes: 12] (seconds).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    serve = flags.add_argument_group("serving")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serve.add_argument(
        "--expose", action="store_true", help="allow a --host that other machines can reach"
    )
    serve.add_argument("--port", type=int, default=8765, help="port to listen on, 0 for a free one")
    serve.add_argument(
        "--api-key",
        dest="api_keys",
        action="append",
        default=[],
        metavar="KEY[=USER]",
        help="one more key beside afk_sandbox, of a user of its own or of USER; may be repeated",
    )
    serve.add_argument("--quiet", action="store_true", help="print the URL only")

    world = flags.add_argument_group("the account and its jobs")
    world.add_argument("--credits", type=int, default=defaults.credits, help="balance at the start")
    world.add_argument(
        "--latency", default="2.0", metavar="S[:S]", help="seconds a job takes, or min:max"
    )
    world.add_argument(
        "--retention", type=float, default=defaults.retention, help="seconds an image is kept"
    )
    world.add_argument(
        "--dialect", choices=get_args(Dialect), default="both", help="spellings accepted"
    )
    world.add_argument(
        "--result-form",
        choices=get_args(ResultForm),
        default="images",
        help="shape of a job's result",
    )
    world.add_argument("--cost-null", action="store_true", help="say null for a job's creditCost")
    world.add_argument("--progress-null", action="store_true", help="say null for a job's progress")
    world.add_argument(
        "--webhook-digest",
        choices=get_args(WebhookDigest),
        default="raw",
        help="form of the key that signs webhooks",
    )
    world.add_argument(
        "--allow-external-webhooks", action="store_true", help="let webhooks leave this machine"
    )

    faults = flags.add_argument_group("faults")
    for name, what in (
        ("--fail-rate", "share (0-1) of jobs that fail for want of capacity"),
        ("--error-rate", "share (0-1) of requests answered 503"),
        ("--drop-responses", "share (0-1) of accepted generations that get no answer"),
        ("--gateway-timeouts", "share (0-1) of accepted generations answered 504"),
    ):
        faults.add_argument(name, type=float, default=0.0, metavar="SHARE", help=what)
    faults.add_argument(
        "--rate-limit",
        type=int,
        default=0,
        metavar="N",
        help="requests per minute and key, 0 for any",
    )
    faults.add_argument(
        "--retry-after",
        type=float,
        metavar="S",
        help="seconds a 429 says to wait; without it, the true wait",
    )
    faults.add_argument("--seed", type=int, help="makes the shares fall the same way each time")
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a sandbox until it is interrupted; return the exit status."""
    flags = parser()
    chosen: dict[str, Any] = vars(flags.parse_args(arguments))
    host, port, expose = chosen.pop("host"), chosen.pop("port"), chosen.pop("expose")
    api_keys, quiet = chosen.pop("api_keys"), chosen.pop("quiet")
    try:
        from airflow_provider_apiframe.sandbox.faults import Faults
        from airflow_provider_apiframe.sandbox.server import listen, server_of, url_of
        from airflow_provider_apiframe.sandbox.state.accounts import API_KEY, Accounts
        from airflow_provider_apiframe.sandbox.state.store import Store
        from airflow_provider_apiframe.sandbox.web.hosts import is_loopback
    except ModuleNotFoundError as missing:
        print(
            f"The sandbox needs the package {missing.name!r}: pip install 'airflow-provider-apiframe[sandbox]'",
            file=sys.stderr,
        )
        return 1
    if not is_loopback(host) and not expose:
        flags.error(
            f"--host {host} can be reached from other machines; add --expose if that is what you want"
        )
    try:
        world = Store(Faults(Settings().changed(chosen)), Accounts(api_keys))
        listener = listen(host, port)
    except (ValueError, OSError, OverflowError) as error:
        flags.error(
            f"{error}"
            if isinstance(error, ValueError)
            else f"can't listen on {host} port {port}: {error}"
        )

    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, format="%(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    url = url_of(listener).replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    print(url if quiet else BANNER.format(url=url, key=API_KEY), flush=True)
    with listener, suppress(KeyboardInterrupt):
        asyncio.run(server_of(world, access_log=not quiet).serve(sockets=[listener]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
