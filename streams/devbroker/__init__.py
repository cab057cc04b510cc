"""A local Kafka broker for the demo, the tests and for trying things out.

Imports no other room; no other room of `streams` imports it. Begin with `broker`.
"""
