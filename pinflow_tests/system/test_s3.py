"""One whole run through S3: from a label list in a bucket to a release that is searched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg
import pytest

from pinflow import registry
from pinflow.pipeline.automation import GRACE_SECONDS  # noqa: F401
from pinflow.releases import LocalReleases
from pinflow.sample.made import make_samples
from pinflow.settings import Settings
from pinflow_tests.pipeline.houses import Tiny
