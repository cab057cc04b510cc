"""Benchmarks: what the worker does in a second, beside what its peers do with the same events."""
