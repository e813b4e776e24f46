"""Starts the web app with uvicorn; refuses to offer it to a network without a token."""

from __future__ import annotations

import ipaddress
from functools import partial

from pinflow.errors import PinflowError
from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases, Source
from pinflow.settings import Settings, engines


def serve(source: Source, settings: Settings, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the releases of `source` until Ctrl-C.

    Raises `PinflowError` for an address other than loopback without `settings.api_token`.
    """
    import uvicorn

    from pinflow.learning.trunk import load_trunk

    check_address(host, settings)
    load = partial(load_trunk, device=settings.device, engines=engines(settings.home_path))
    releases = Releases(source, load_trunk=load)
    uvicorn.run(
        make_app(releases, settings),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=30,
        limit_concurrency=256,  # beyond it uvicorn answers 503 instead of queueing without end
    )


def check_address(host: str, settings: Settings) -> None:
    """Raises `PinflowError` where `host` is reachable from outside and no token is set."""
    if settings.api_token is None and not is_loopback(host):
        raise PinflowError(
            f"{host} can be reached from other machines: set PINFLOW_API_TOKEN first, or use 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`. A name other than localhost counts as outside."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
