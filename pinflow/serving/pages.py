"""The pages for people. They hold no data of their own: what they show has its twin in the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.templating import Jinja2Templates
from starlette.responses import RedirectResponse

import pinflow
from pinflow.errors import SearchError
from pinflow.retrieval import tags
from pinflow.retrieval.query import Example, Pin, Query
from pinflow.retrieval.searcher import Searcher
from pinflow.serving import shown
from pinflow.serving.releases import Releases
from pinflow.serving.services import Services, owner
from pinflow.serving.state import boards, evaluations, history, saved

_TEMPLATES = Path(__file__).parent / "templates"
_METHODS = ("get", "post", "put", "patch", "delete")
# What a page may offer, and how the route ends that it needs.
_ROUTES = {
    "why": "/why",
    "tags": "/tags",
    "price": "/price",
    "lookup": "/lookup",
    "boards": "/boards",
    "history": "/history",
    "saved": "/saved",
    "numbers": "/evaluations",
}
ALIKE = 24  # neighbours on a pin's page
COVERS = 4  # pictures on the card of a board
SIDE = 384  # px, longest side of the picture on a pin's page; thumbnails have 256


def router(app: FastAPI, services: Services) -> APIRouter:
    """All pages. What they offer is what `app` has routes for."""
    releases, database = services.releases, services.database
    templates = Jinja2Templates(directory=_TEMPLATES)
    templates.env.globals |= {"icon": shown.icon, "pin_path": shown.pin_path, "version": pinflow.__version__}
    templates.env.filters |= {"count": shown.count, "day": shown.day, "price": shown.price}
    pages = APIRouter(include_in_schema=False)

    def page(request: Request, template: str, status: int = 200, /, **context: Any) -> Response:
        return templates.TemplateResponse(
            request, f"{template}.html", {"about": None, "can": _abilities(app), **context}, status
        )

    def lost(request: Request, detail: str, status: int = 404) -> Response:
        title = "Not ready yet" if status == 503 else "Nothing here"
        return page(request, "error", status, title=title, detail=detail)

    @pages.get("/")
    def home(request: Request) -> Response:
        about = [{**one, "covers": _covers(one)} for one in _abouts(releases)]
        return page(
            request,
            "home",
            collections=about,
            boards=_boards(services, owner(request))[:8],
            saved=saved.all_of(database, owner(request))[:12],
        )

    @pages.get("/search")
    def choose(c: str, q: str = "") -> Response:
        return RedirectResponse(f"/c/{c}?{urlencode({'q': q})}" if q else f"/c/{c}", 303)

    @pages.get("/c/{name}")
    def search(request: Request, name: str) -> Response:
        searcher = releases.get(name)
        if searcher is None:
            return lost(request, *_absent(releases, name))
        can = _here(_abilities(app), searcher)
        return page(request, "search", about=searcher.about(), collections=releases.names(), can=can)

    @pages.get("/c/{name}/pins/{id:path}")
    def item(request: Request, name: str, id: str) -> Response:
        searcher = releases.get(name)
        if searcher is None:
            return lost(request, *_absent(releases, name))
        try:
            pin = searcher.pin(id)
        except SearchError as error:
            return lost(request, str(error))
        about = searcher.about()
        labels = [one for one in about["labels"] if one["slug"] in pin.labels]
        scale = SIDE / max(pin.width, pin.height)
        return page(
            request,
            "item",
            about=about,
            can=_here(_abilities(app), searcher),
            pin=pin,
            name=pin.title or (labels[0]["query"] if labels else pin.id),
            labels=labels,
            shown={"width": round(pin.width * scale), "height": round(pin.height * scale)},
            page=shown.web_address(pin.page_url),
            original=shown.web_address(pin.image_url),
            alike=searcher.search(Query(positive=[Example(id=id)], limit=ALIKE)).results,
            related=_pins(searcher, pin.related[:ALIKE]),
        )

    @pages.get("/boards")
    def all_boards(request: Request) -> Response:
        return page(request, "boards", boards=_boards(services, owner(request)))

    @pages.get("/boards/{id}")
    def board(request: Request, id: str) -> Response:
        found, pins = boards.one(database, owner(request), id), boards.pins(database, owner(request), id)
        if found is None or pins is None:
            return lost(request, "There is no such board, or it is somebody else's.")
        groups: dict[str, list[Pin]] = {}
        for name in dict.fromkeys(pin.collection for pin in pins):
            searcher = releases.get(name)
            if searcher is not None:
                groups[name] = _pins(searcher, [pin.id for pin in pins if pin.collection == name])
        gone = len(pins) - sum(map(len, groups.values()))
        groups = {name: held for name, held in groups.items() if held}
        return page(request, "board", board=found, groups=list(groups.items()), gone=gone)

    @pages.get("/history")
    def searches(request: Request) -> Response:
        return page(
            request,
            "history",
            saved=saved.all_of(database, owner(request)),
            searches=[_asked(releases, one) for one in history.latest(database, owner(request))],
        )

    @pages.get("/evaluations")
    def numbers(request: Request) -> Response:
        marked = {one.collection: one for one in evaluations.numbers(database, owner(request))}
        return page(
            request,
            "evaluations",
            collections=[_numbers(about, marked.get(about["name"])) for about in _abouts(releases)],
        )

    @pages.get("/docs")
    def docs(request: Request) -> Response:
        schema = app.openapi()
        return page(request, "docs", api=schema["info"], routes=_routes(schema))

    return pages


def _here(can: frozenset[str], searcher: Searcher) -> frozenset[str]:
    """What of all that the server can do makes sense in this collection."""
    release = searcher.release
    needed = {
        "tags": tags.FILE in release.info["files"],
        "price": release.pricing is not None,
        "lookup": bool(release.votes),
    }
    can |= {"colour"} if release.colours is not None else set()
    return can - {name for name, there in needed.items() if not there}


def _abilities(app: FastAPI) -> frozenset[str]:
    paths = app.openapi()["paths"]
    return frozenset(name for name, end in _ROUTES.items() if any(path.endswith(end) for path in paths))


def _abouts(releases: Releases) -> list[dict[str, Any]]:
    found = (releases.get(name) for name in releases.names())
    return [searcher.about() for searcher in found if searcher is not None]


def _absent(releases: Releases, name: str) -> tuple[str, int]:
    if releases.known(name):
        return f"The collection “{name}” has no release yet. Come back when its first run is through.", 503
    return f"There is no collection “{name[:80]}”.", 404


def _covers(about: dict[str, Any]) -> list[dict[str, str]]:
    return [label["cover"] for label in about["labels"] if label["cover"]][:COVERS]


def _pins(searcher: Searcher, ids: list[str]) -> list[Pin]:
    """Those that are served, in this order."""
    found: list[Pin] = []
    for id in ids:
        try:
            found.append(searcher.pin(id))
        except SearchError:
            continue
    return found


def _boards(services: Services, who: str) -> list[dict[str, Any]]:
    listed = []
    for board in boards.all_of(services.database, who):
        covers: list[Pin] = []
        for pin in boards.pins(services.database, who, board.id) or []:
            searcher = services.releases.get(pin.collection)
            if len(covers) < COVERS and searcher is not None:
                covers += _pins(searcher, [pin.id])
        listed.append({**board.model_dump(), "covers": covers})
    return listed


def _asked(releases: Releases, search: history.Search) -> dict[str, Any]:
    """A kept search as a line of the page."""
    searcher, positive = releases.get(search.collection), search.query.get("positive", [])
    ids = [one["id"] for one in positive if one.get("id")]
    thumbs = [pin.thumb_url for pin in _pins(searcher, ids[:COVERS])] if searcher else []
    return {
        **search.model_dump(),
        "path": shown.search_path(search.collection, search.query),
        "words": shown.words(search.query),
        "pictures": len(ids) + search.uploads + sum(bool(one.get("url")) for one in positive),
        "thumbs": thumbs,
        "facts": shown.facts(search.query),
    }


def _numbers(about: dict[str, Any], marked: evaluations.Numbers | None) -> dict[str, Any]:
    """Figures as rows: a metric, and its value in each space that was measured."""
    spaces = {name: each for name, each in about["figures"].items() if isinstance(each, dict)}
    spaces = {name: spaces[name] for name in ("frozen", "candidate", "served") if name in spaces}
    metrics = sorted({metric for each in spaces.values() for metric in each}, key=_counted)
    rows = [(metric, [each.get(metric) for each in spaces.values()]) for metric in metrics]
    told = None if marked is None else marked.model_dump()
    if told is not None:
        for each in told["by_query"]:
            each["path"] = shown.search_path(about["name"], each["query"])
            each["name"] = shown.words(each["query"]) or (
                "by a picture that was sent" if each["uploads"] else "by pictures of the collection"
            )
    return {"about": about, "spaces": list(spaces), "figures": rows, "marked": told}


def _counted(metric: str) -> tuple[str, int]:
    """So that recall@5 stands before recall@10."""
    name, _, at = metric.partition("@")
    return name, int(at) if at.isdigit() else 0


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
