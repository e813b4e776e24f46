"""The Dagster project: the only place that knows Dagster.

An asset reads its inputs, calls one function of a room, writes its outputs and reports. What a stage
computes lives in the rooms; what is stale and why lives in `planning`; when it runs, in `automation`.
"""
