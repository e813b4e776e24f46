"""The sample pictures and the sample site: what the demo, the tests and the benchmarks run on.

Nothing here is part of a user's own pipeline.
"""
