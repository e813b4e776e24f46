"""Speed and quality, each against a named peer in the same run: `python -m benchmarks.NAME [--quick]`."""
