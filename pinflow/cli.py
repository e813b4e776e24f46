"""The command line: a thin layer over the functions that Dagster, the web app and a notebook share.

Exit codes: 0 done, 1 failed, 2 bad usage.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pinflow import __version__
from pinflow.collection import Collection, load
from pinflow.errors import CollectionError, ExportError, LabelError, PinflowError, PurgeError, SearchError
from pinflow.settings import Settings

if TYPE_CHECKING:
    from pinflow.store import Store

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
labels_app = typer.Typer(help="Add, list and remove the labels of a collection.", no_args_is_help=True)
app.add_typer(labels_app, name="labels")

Name = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="the name of a file in collections/, without .yaml")
]
Labels = Annotated[list[str], typer.Argument(metavar="LABEL...", help="queries or slugs")]


class Format(StrEnum):
    """What `export` writes."""

    imagefolder = "imagefolder"
    parquet = "parquet"
    onnx = "onnx"
    fiftyone = "fiftyone"


AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def main() -> None:
    """Run the command line; what a person can mend is told in one line."""
    try:
        app()
    except (CollectionError, ExportError, LabelError, PurgeError, SearchError) as error:
        print(f"pinflow: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except PinflowError as error:
        print(f"pinflow: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if show:
        print(__version__)
        raise typer.Exit


@app.command()
def run(
    name: Name,
    label: Annotated[list[str] | None, typer.Option("--label", help="only these, by query or slug")] = None,
) -> None:
    """Scrape a collection and bring everything behind it up to date, phase by phase."""
    from pinflow.commands.console import Console
    from pinflow.commands.summary import summarise
    from pinflow.pipeline.session import Session

    collection, settings = _collection(name)
    console = Console()
    with Session(settings) as session, console.showing(name) as tell:
        ran = session.run(collection, labels=label, tell=tell)
    console.print_summaries([summarise(session.house.store, collection, ran)])
    raise typer.Exit(1 if ran.failed else 0)


@app.command()
def demo() -> None:
    """The main job, end to end, on the two sample collections: fetch, scrape, tune, publish, search."""
    from pinflow.commands.demo import run_demo

    raise typer.Exit(run_demo(Settings()))


@app.command()
def up(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    dagster_port: Annotated[int, typer.Option(envvar="DAGSTER_PORT")] = 3000,
    port: Annotated[int, typer.Option(envvar="PINFLOW_PORT")] = 8000,
) -> None:
    """Dagster's UI and daemon, and the app, until Ctrl-C."""
    from pinflow.commands.up import up as start

    raise typer.Exit(start(Settings(), host=host, dagster_port=dagster_port, app_port=port))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PINFLOW_PORT")] = 8000,
) -> None:
    """The app alone: pages and API over the published releases."""
    from pinflow.releases import LocalReleases
    from pinflow.serving.run import serve as start

    settings = Settings()
    start(LocalReleases(_store(settings), settings.home_path / "cache" / "releases"), settings, host, port)


@app.command()
def doctor() -> None:
    """Say what works here, what does not, and what to do about it."""
    from pinflow.commands.doctor import examine

    raise typer.Exit(examine(Settings()))


@app.command()
def search(
    name: Name,
    image: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="a picture file")] = None,
    text: Annotated[str | None, typer.Option(help="words")] = None,
    url: Annotated[str | None, typer.Option(help="a link to a picture")] = None,
    label: Annotated[str | None, typer.Option(help="only this label")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 10,
    as_json: AsJson = False,
) -> None:
    """Search by picture, words or link; several together are fused. `--json` prints the HTTP body."""
    from pinflow import releases
    from pinflow.commands.find import find, show

    settings = Settings()
    if releases.current(_store(settings), name) is None:
        _collection(name)
    answer = find(settings, name, image=image, text=text, url=url, label=label, limit=limit)
    print(json.dumps(answer, ensure_ascii=False) if as_json else show(answer))


@app.command()
def export(
    name: Name,
    to: Annotated[Path, typer.Option(help="a folder that is not there yet, or empty")],
    format: Annotated[Format, typer.Option(help="what others read")] = Format.imagefolder,
) -> None:
    """Write the current release for others: pictures and splits, a table, or the network as ONNX."""
    from pinflow import releases
    from pinflow.commands.export import export as write

    settings = Settings()
    if releases.current(_store(settings), name) is None:
        _collection(name)
    write(settings, name, to, format.value)


@app.command()
def purge(
    name: Name,
    pins: Annotated[list[str], typer.Argument(metavar="ID...", help="ids, or links to a page or picture")],
    why: Annotated[str, typer.Option(help="kept with the tombstone")] = "",
) -> None:
    """Remove pins for good: from search at once, then from all that is stored; they never come back."""
    from pinflow.commands.purge import purge as remove

    collection, settings = _collection(name)
    raise typer.Exit(remove(settings, collection, pins, why))


@labels_app.command("add")
def labels_add(name: Name, labels: Labels) -> None:
    """Add labels; `pinflow run` or the automation scrapes them."""
    from pinflow import registry

    collection, settings = _collection(name)
    for label in registry.add(_store(settings), collection.name, labels, source="command line"):
        print(f"{label.slug}\t{label.query}")


@labels_app.command("list")
def labels_list(name: Name, as_json: AsJson = False) -> None:
    """The live labels, and how each one stands."""
    from pinflow.pipeline.planning import Snapshot

    collection, settings = _collection(name)
    snapshot = Snapshot(_store(settings), collection)
    rows: list[dict[str, Any]] = []
    for slug, label in snapshot.labels.items():
        pins, images = snapshot.manifest("pins", slug), snapshot.manifest("images", slug)
        status = pins.status if pins else "not scraped"
        rows.append(
            {
                "slug": slug,
                "query": label.query,
                "status": status,
                "reason": pins.reason if pins else None,
                "pictures": images.facts["kept"] if images else 0,
            }
        )
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
    for row in () if as_json else rows:
        print(f"{row['slug']}\t{row['query']}\t{row['status']}\t{row['pictures']}\t{row['reason'] or ''}")


@labels_app.command("remove")
def labels_remove(name: Name, labels: Labels) -> None:
    """Remove labels from the next release on; runs in flight finish undisturbed."""
    from pinflow import registry

    collection, settings = _collection(name)
    for label in registry.remove(_store(settings), collection.name, labels):
        print(f"{label.slug}\tremoved")


def _collection(name: str) -> tuple[Collection, Settings]:
    settings = Settings()
    found = load(settings.collections)
    if name in found.good:
        return found.good[name], settings
    for file, error in found.bad.items():
        if Path(file).stem == name:
            raise CollectionError(error)
    known = ", ".join(found.good) or f"none; put a YAML file into {settings.collections}/"
    raise CollectionError(f"no collection {name!r}; there are: {known}")


def _store(settings: Settings) -> Store:
    from pinflow.store import open_store

    return open_store(settings.storage_url)


if __name__ == "__main__":
    main()
