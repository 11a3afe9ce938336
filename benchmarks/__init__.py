"""Speed, as ratios of things timed in turns in one run: `python -m benchmarks`."""
