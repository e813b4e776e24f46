"""Starts the web app with uvicorn; refuses to offer it to a network without a token."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from pinflow.errors import PinflowError
from pinflow.learning.engine import cores
from pinflow.retrieval.encoding import Trunk
from pinflow.retrieval.words import Sentences, load_sentences
from pinflow.serving.app import make_app
from pinflow.serving.batching import BatchedSentences, BatchedTrunk
from pinflow.serving.protocol import Impatient
from pinflow.serving.releases import Releases, Source
from pinflow.serving.security import is_loopback
from pinflow.settings import Settings, engines

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

# Connections; beyond it uvicorn answers 503 itself. What they may send at once is `bodies.Room`'s to say.
MAX_CONNECTIONS = 2048


def serve(source: Source, settings: Settings, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the releases of `source` until Ctrl-C.

    Raises `PinflowError` for an address other than loopback without `settings.api_token`.
    """
    import uvicorn

    from pinflow.learning.trunk import load_trunk

    check_address(host, settings)
    load: Callable[[str], Trunk] = partial(
        load_trunk, device=settings.device, engines=engines(settings.home_path)
    )
    releases = (
        Releases(
            source,
            load_trunk=lambda name: _batched(load(name)),
            load_sentences=lambda name: _batched_sentences(load_sentences(name)),
        )
        if settings.batching
        else Releases(source, load_trunk=load)
    )
    _allow_files(2 * MAX_CONNECTIONS)
    one_thread_a_product()
    app = make_app(releases, settings, only_this_machine=not settings.tokens)
    uvicorn.Server(configured(app, host, port)).run()


def _batched(trunk: Trunk) -> BatchedTrunk:
    """On a CPU a pass for each core, of two pictures at most: eight fall out of its caches (Lite0: 8.4 ms a
    picture, 6.6 of one or two). A GPU has one pass, of all that wait."""
    return BatchedTrunk(trunk, at_once=cores(), most=2) if _on_cpu(trunk) else BatchedTrunk(trunk)


def _batched_sentences(sentences: Sentences) -> BatchedSentences:
    """Words gain by company on a CPU too: eight take a third of the time each."""
    return BatchedSentences(sentences, at_once=cores() if _on_cpu(sentences) else 1)


def _on_cpu(encoder: object) -> bool:
    return str(getattr(encoder, "device", "cpu")) == "cpu"


def configured(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """How the server treats its connections."""
    import uvicorn

    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Impatient,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=30,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=MAX_CONNECTIONS,
    )


def check_address(host: str, settings: Settings) -> None:
    """Raises `PinflowError` where `host` is reachable from outside and no token is set."""
    if not settings.tokens and not is_loopback(host):
        raise PinflowError(
            f"{host} can be reached from other machines: set PINFLOW_API_TOKEN first, or use 127.0.0.1"
        )


def one_thread_a_product() -> None:
    """Requests share the cores among them. OpenBLAS's threads win a query little, and then turn in circles
    for a tenth of a second in case there is more to do: 109 ms of processor time a request, and not 6."""
    import faiss  # noqa: F401 - brings a BLAS of its own, which must be there to be told
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")


def _allow_files(wanted: int) -> None:
    """Every connection is a file to the system, which allows 1024 by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
