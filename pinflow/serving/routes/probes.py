"""Whether the server is there, ready, which one it is, and what it counts."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

import pinflow
from pinflow.serving import metrics, problems
from pinflow.serving.problems import responses
from pinflow.serving.security import authorised
from pinflow.serving.services import Services


def router(services: Services) -> APIRouter:
    """`/healthz`, `/readyz`, `/version`, `/metrics`."""
    routes = APIRouter(tags=["probes"])
    releases, settings = services.releases, services.settings

    @routes.get("/healthz", summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/version", summary="Version of pinflow")
    async def version() -> dict[str, str]:
        return {"pinflow": pinflow.__version__}

    @routes.get("/readyz", summary="A release is loaded, or 503", responses=responses(503))
    def readyz(request: Request) -> Response:
        served = {name: searcher.release.id for name in releases.names() if (searcher := releases.get(name))}
        troubles = releases.problems()
        if releases.problem is not None:
            troubles["storage"] = releases.problem
        # Reasons may name storage and collections: not for those who lack the token.
        insider = authorised(request.headers, settings.tokens)
        if not served:
            reasons = [{"field": name, "message": reason} for name, reason in troubles.items()]
            return problems.problem(request, 503, "no release is loaded yet", reasons if insider else None)
        body: dict[str, Any] = {"status": "ready"}
        if insider:
            body |= {"releases": served, "problems": troubles}
        return JSONResponse(body)

    @routes.get(
        "/metrics",
        summary="Counts and times, for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    def measured() -> Response:
        return Response(services.metrics.text(), media_type=metrics.CONTENT_TYPE)

    return routes
