"""A local Kafka broker for the demo, the tests and for trying things out.

Also certificates for brokers and tests with TLS (`certificates`). Imports no other room; no other
room of `streams` imports it. Begin with `broker`.
"""
