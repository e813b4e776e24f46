"""What Dagster loads: `dagster dev -w workspace.yaml`, `dg dev`, or any deployment."""

from pinflow.pipeline.build import build_defs

defs = build_defs()
