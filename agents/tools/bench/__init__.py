"""Benchmarks: the throughput and latency of the worker, compared with other programs on the same
events.
"""
