"""The command line: ``python -m airflow_provider_apiframe.sandbox``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from airflow_provider_apiframe.sandbox.options import describe_allowed
from airflow_provider_apiframe.sandbox.settings import Settings

BANNER = """\
Apiframe sandbox: images are drawn on this machine, credits are play money.

  URL      {url}
  API key  {key}
  State    {url}/_sandbox/state

Add the Airflow connection:

  airflow connections add apiframe_default --conn-type apiframe --conn-host {url} \
--conn-password {key}

Press Ctrl+C to stop.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line: a few flags for serving, and one for each setting."""
    flags = argparse.ArgumentParser(
        prog="python -m airflow_provider_apiframe.sandbox",
        description="Apiframe v2 on this machine, for demos and tests: no account, no charge.",
        epilog="A prompt can steer its job: [fail: some text], [cancel], [stuck], "
        "[takes: 12] (seconds), [images: 4].",
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

    settings = Settings.model_json_schema()["properties"]
    for title in dict.fromkeys(setting["group"] for setting in settings.values()):
        group = flags.add_argument_group(title)
        for name, setting in settings.items():
            if setting["group"] == title:
                group.add_argument(f"--{name.replace('_', '-')}", **_flag(setting))
    return flags


def _flag(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flag of a setting, given as its JSON schema."""
    kind = setting.get("anyOf", [setting])[0]
    help_text, default = setting["description"], setting["default"]
    if kind["type"] == "boolean":
        return {"action": "store_true", "help": help_text}
    if "enum" in kind:
        return {"choices": kind["enum"], "default": default, "help": help_text}
    return {
        "type": {"integer": int, "number": float}.get(kind["type"], str),
        "metavar": setting["metavar"],
        "default": ":".join(map(str, default)) if isinstance(default, list) else default,
        "help": f"{help_text}; {describe_allowed(setting)}",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a sandbox until it is interrupted; return the exit status."""
    flags = parser()
    options: dict[str, Any] = vars(flags.parse_args(arguments))
    host, port, expose = options.pop("host"), options.pop("port"), options.pop("expose")
    api_keys, quiet = options.pop("api_keys"), options.pop("quiet")
    try:
        from airflow_provider_apiframe.sandbox.faults import Faults
        from airflow_provider_apiframe.sandbox.server import create_server, listen, url_of
        from airflow_provider_apiframe.sandbox.state.accounts import API_KEY, Accounts
        from airflow_provider_apiframe.sandbox.state.store import Store
        from airflow_provider_apiframe.sandbox.web.hosts import is_loopback
    except ModuleNotFoundError as missing:
        print(
            f"The sandbox needs the package {missing.name!r}: "
            "pip install 'airflow-provider-apiframe[sandbox]'",
            file=sys.stderr,
        )
        return 1
    if not is_loopback(host) and not expose:
        flags.error(
            f"--host {host} can be reached from other machines; "
            "add --expose if that is what you want"
        )
    try:
        store = Store(Faults(Settings().changed(options)), Accounts(api_keys))
    except ValueError as error:
        flags.error(str(error))
    try:
        listener = listen(host, port)
    except (OSError, OverflowError) as error:
        flags.error(f"can't listen on {host} port {port}: {error}")

    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, format="%(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    url = url_of(listener).replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    print(url if quiet else BANNER.format(url=url, key=API_KEY), flush=True)
    server = create_server(store, host, access_log=not quiet)
    with listener, suppress(KeyboardInterrupt):
        asyncio.run(server.serve(sockets=[listener]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
