"""Backing up what people left behind, and bringing it back. For the first token only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from pinflow.serving.problems import not_found, responses
from pinflow.serving.services import Services
from pinflow.serving.state.backup import Backup, BackupContent


class Backups(BaseModel):
    """What there is to restore."""

    backups: list[Backup] = Field(description="newest first")


class ToRestore(BaseModel):
    """Which backup."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=100, examples=["20261125T030000Z-0123456789abcdef.sqlite"])


def admin(request: Request) -> None:
    """Raises a 403 for any token but the first."""
    if not request.state.admin:
        raise HTTPException(403, "this is for the first token of PINFLOW_API_TOKEN")


def router(services: Services) -> APIRouter:
    """`/v1/admin/backup`, `/backups` and `/restore`."""
    routes = APIRouter(prefix="/v1/admin", tags=["admin"], dependencies=[Depends(admin)])

    @routes.post(
        "/backup",
        summary="Back up boards, history, saved queries and evaluations to storage",
        status_code=201,
        response_model=BackupContent,
        responses=responses(403, 503),
    )
    def backup() -> BackupContent:
        """Safe while in use: the backup is one moment of the database. It goes where the collections are
        stored, a disk or S3."""
        return services.backups.make()

    @routes.get("/backups", summary="All backups", response_model=Backups, responses=responses(403, 503))
    def listed() -> Backups:
        return Backups(backups=services.backups.all())

    @routes.post(
        "/restore",
        summary="Replace everything by a backup",
        response_model=BackupContent,
        responses=responses(403, 404, 422, 503),
    )
    def restore(
        body: Annotated[
            ToRestore,
            Body(openapi_examples={"one": {"value": {"name": "20261125T030000Z-0123456789abcdef.sqlite"}}}),
        ],
    ) -> BackupContent:
        """All or nothing, while others read and write. Pins that were purged since do not come back."""
        found = services.backups.restore(body.name, services.releases.erased())
        if found is None:
            raise not_found(f"no backup {body.name!r}; GET /v1/admin/backups lists them")
        return found

    return routes
