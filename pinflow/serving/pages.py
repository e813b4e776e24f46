"""The pages for people. They hold no data of their own: what they show comes from the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.templating import Jinja2Templates

import pinflow

_TEMPLATES = Path(__file__).parent / "templates"
_METHODS = ("get", "post", "put", "patch", "delete")


def router(app: FastAPI) -> APIRouter:
    """`/`, the search page, and `/docs`, the routes of `app` from its own OpenAPI schema."""
    templates = Jinja2Templates(directory=_TEMPLATES)
    pages = APIRouter(include_in_schema=False)

    @pages.get("/")
    def search(request: Request) -> Response:
        return templates.TemplateResponse(request, "search.html", {"version": pinflow.__version__})

    @pages.get("/docs")
    def docs(request: Request) -> Response:
        schema = app.openapi()
        context = {"version": pinflow.__version__, "about": schema["info"], "routes": _routes(schema)}
        return templates.TemplateResponse(request, "docs.html", context)

    return pages


def _routes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "method": method.upper(),
            "path": path,
            "summary": route.get("summary", ""),
            "parameters": route.get("parameters", []),
            "bodies": list(route.get("requestBody", {}).get("content", {})),
            "statuses": sorted(route.get("responses", {})),
        }
        for path, methods in schema["paths"].items()
        for method, route in methods.items()
        if method in _METHODS
    ]
