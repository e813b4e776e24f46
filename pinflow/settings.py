"""The environment, in one place: every `PINFLOW_*` variable and what it falls back to."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read once by an entry point and handed down; rooms never look at the environment."""

    model_config = SettingsConfigDict(env_prefix="PINFLOW_", frozen=True, env_ignore_empty=True)

    home: Path = Field(Path(".pinflow"), description="everything local lives here")
    storage: str | None = Field(None, description="any fsspec URL; default <home>/storage")
    collections: Path = Field(Path("collections"), description="folder of collection files")
    database_url: str | None = Field(None, description="default: SQLite under home")
    api_token: str | None = Field(
        None,
        description="asked of HTTP callers when set; several, by comma, are several people, and the first "
        "may back up and restore",
    )
    rate_limit: str | None = Field(
        None,
        description="of searches and other work a token or address, such as 20/second or off; default: "
        "1200/minute, and off for this machine",
    )
    cors_origins: str | None = Field(
        None, description="pages of other origins that may call the API, by comma; default: none"
    )
    batching: bool = Field(True, description="encode requests that come together together")
    contact: str | None = Field(None, description="mail or page in the crawler's user agent")
    pinterest_token: str | None = Field(
        None, repr=False, description="access token of Pinterest's official API, for boards of your own"
    )
    device: str | None = Field(None, description="cpu, cuda, mps; default: best available")

    @cached_property
    def home_path(self) -> Path:
        """`home`, absolute, so that a change of directory does not move it."""
        return self.home.expanduser().absolute()

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """The tokens of `api_token`; none where the API is open."""
        return tuple(one.strip() for one in (self.api_token or "").split(",") if one.strip())

    @cached_property
    def storage_url(self) -> str:
        """Where collections are stored: an absolute path or an fsspec URL."""
        if self.storage is None:
            return str(self.home_path / "storage")
        return self.storage if "://" in self.storage else str(Path(self.storage).expanduser().absolute())

    @cached_property
    def dagster_home(self) -> Path:
        """Where Dagster keeps runs, events and schedules: `DAGSTER_HOME` if set, else under home."""
        given = os.environ.get("DAGSTER_HOME")
        return Path(given).absolute() if given else self.home_path / "dagster"


def engines(home: str | Path) -> Path:
    """The folder under home where trunks are kept in the form that the processor runs fastest."""
    return Path(home) / "cache" / "engines"
