"""Objects on any fsspec URL: bytes under a path, written whole or not at all, with errors that say what
to do. Knows nothing of what the bytes mean; that is `store`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pinflow.errors import StoreError

REMOTE_THREADS = 32
# A server that refuses is reported within seconds, one that never answers within a minute.
CONNECT_SECONDS = 5
READ_SECONDS = 15
ATTEMPTS = 3
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Objects:
    """Raises `StoreError` where the storage fails: unreachable, forbidden, full."""

    def __init__(self, url: str) -> None:
        import fsspec

        options: dict[str, Any] = {}
        self._read_options: dict[str, Any] = {}
        if url.startswith("s3://"):
            options = {
                "use_listings_cache": False,
                # s3fs keeps one client for equal options, whatever AWS_ENDPOINT_URL says by then.
                "skip_instance_cache": True,
                "config_kwargs": {
                    "connect_timeout": CONNECT_SECONDS,
                    "read_timeout": READ_SECONDS,
                    "retries": {"total_max_attempts": ATTEMPTS, "mode": "standard"},
                },
            }
            self._read_options = {"max_concurrency": 1}  # else s3fs asks for the size first
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            raise StoreError(
                f"storage {url} needs another package: pip install 'pinflow[s3]' ({error})"
            ) from error
        except ValueError as error:
            raise StoreError(f"storage {url}: {error}") from error
        if url.startswith("s3://"):
            self._fs.retries = 1  # botocore already tries again
        self.url = url
        self._local = url.startswith("file://") or "://" not in url
        self._documents: dict[str, tuple[str, bytes]] = {}

    def path(self, *parts: str) -> str:
        """Where an object is, inside the file system. Parts come from slugs and digests only."""
        return "/".join([self._root.rstrip("/"), *parts])

    def read(self, *parts: str) -> bytes:
        """Raises `FileNotFoundError` where there is none."""
        return self._read(self.path(*parts))

    def write(self, data: bytes, *parts: str) -> None:
        """Atomic: a reader sees the old object, or the whole new one."""
        target = self.path(*parts)
        with self._explained(*parts, writing=True):
            if self._local:
                _replace(Path(target), data)
            else:
                self._fs.pipe_file(target, data)
        self._documents.pop(target, None)

    def write_many(self, objects: Mapping[tuple[str, ...], Callable[[], bytes]]) -> None:
        """Many objects by their parts, each asked for its bytes in its turn, and whole or not at all. On a
        disk one sync serves them all: a sync a picture costs more than fetching it."""
        if not self._local:
            self.many(lambda one: self.write(one[1](), *one[0]), objects.items())
            return
        for parts, content in objects.items():
            with self._explained(*parts, writing=True):
                _replace(Path(self.path(*parts)), content(), sync=False)
        os.sync()

    def delete(self, *parts: str) -> None:
        """What is not there stays so: two may find the same damage at once."""
        with suppress(FileNotFoundError), self._explained(*parts):
            self._fs.rm_file(self.path(*parts))

    def exists(self, *parts: str) -> bool:
        with self._explained(*parts):
            return bool(self._fs.exists(self.path(*parts)))

    def age(self, *parts: str) -> float | None:
        """Seconds since the object was written; None where there is none."""
        with suppress(FileNotFoundError), self._explained(*parts):
            return age_of(self._fs.info(self.path(*parts)))
        return None

    def written(self, *parts: str) -> float:
        """When the object was written, by the file system's clock (POSIX seconds); 0 where there is none."""
        with suppress(FileNotFoundError), self._explained(*parts):
            return written(self._fs.info(self.path(*parts)))
        return 0.0

    def names(self, *parts: str) -> list[str]:
        """Names directly below a folder, sorted; none where the folder is missing."""
        found: list[str] = []
        with suppress(FileNotFoundError), self._explained(*parts):
            found = self._fs.ls(self.path(*parts), detail=False)
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in found)
        return sorted(name for name in names if name and not name.startswith("."))

    def objects(self, *parts: str) -> dict[str, str]:
        """Path -> stamp for every object below a folder; a stamp changes whenever the object does."""
        return {
            path: hashlib.sha256(str(sorted(map(str, info.items()))).encode()).hexdigest()[:16]
            for path, info in self._find(*parts).items()
            if not base_name(path).startswith(".")
        }

    def documents(self, *parts: str) -> dict[str, bytes]:
        """Relative path -> content of every small object below a folder: one listing, and a read only of
        what changed since this process last asked."""
        folder = self.path(*parts)
        stamps = self.objects(*parts)
        known = self._documents
        changed = [path for path, stamp in stamps.items() if path not in known or known[path][0] != stamp]

        def look(path: str) -> None:
            with suppress(FileNotFoundError):  # removed since it was listed
                known[path] = (stamps[path], self._read(path))

        self.many(look, changed)
        return {path[len(folder) + 1 :]: known[path][1] for path in sorted(stamps) if path in known}

    def many(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """`work` over `items` with many requests in flight, in order: storage far away is slow, not busy."""
        todo = list(items)
        if len(todo) < 2:
            return [work(item) for item in todo]
        with ThreadPoolExecutor(min(REMOTE_THREADS, len(todo))) as pool:
            return list(pool.map(work, todo))

    def _read(self, path: str) -> bytes:
        with self._explained(path[len(self._root) :].strip("/")):
            return bytes(self._fs.cat_file(path, **self._read_options))

    def _find(self, *parts: str) -> dict[str, dict[str, Any]]:
        """Path -> what the file system knows, for every object below a folder, temporary ones included."""
        found: dict[str, dict[str, Any]] = {}
        with suppress(FileNotFoundError), self._explained(*parts):
            found = self._fs.find(self.path(*parts), detail=True)
        return found

    @contextmanager
    def _explained(self, *parts: str, writing: bool = False) -> Iterator[None]:
        """Turn what the file system says into a `StoreError` that says what to do."""
        try:
            yield
        except Exception as error:
            told = self._told(error, "/".join([self.url.rstrip("/"), *parts]), writing)
            if told is None:
                raise
            raise StoreError(told) from error

    def _told(self, error: Exception, where: str, writing: bool) -> str | None:
        """The sentence for an error of the storage; None for what is none."""
        if _s3_code(error) == "NoSuchBucket":
            return f"storage {self.url}: its bucket does not exist: create it, or correct PINFLOW_STORAGE"
        if isinstance(error, FileNotFoundError) and not writing:
            return None
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return f"no space left writing {where}: free some and run again; nothing is half-written"
        if isinstance(error, PermissionError):
            what = "the folder's owner and mode" if self._local else "the credentials and the bucket's policy"
            return f"not allowed at {where}: {error}. Check {what}"
        if isinstance(error, OSError) or type(error).__module__.split(".")[0] in (
            "botocore",
            "aiobotocore",
            "aiohttp",
        ):
            return f"cannot {'write' if writing else 'reach'} {where}: {error}. {self._advice()}"
        return None

    def _advice(self) -> str:
        if self._local:
            return "Check the folder and its permissions (PINFLOW_STORAGE)"
        return "Check PINFLOW_STORAGE, AWS_ENDPOINT_URL, the credentials and the network"


def base_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def age_of(info: Mapping[str, Any]) -> float:
    """Seconds since an object was written; a file system that does not tell makes all of them young."""
    return time.time() - written(info)


def written(info: Mapping[str, Any]) -> float:
    """When an object was written, by the clock of the file system (POSIX seconds); now where it does not
    tell."""
    born = info.get("mtime") or info.get("LastModified") or info.get("created")
    return born.timestamp() if isinstance(born, datetime) else float(born or time.time())


def _s3_code(error: BaseException) -> str | None:
    """S3's own word for what went wrong, which s3fs keeps in the cause."""
    response = getattr(error.__cause__, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, Mapping) else None


def _replace(target: Path, data: bytes, *, sync: bool = True) -> None:
    """Write beside the target, then rename over it; the temporary file never stays after an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
