"""The only room that talks to Kafka: reading logs, writing transactions, topics and their settings.

Imports `schemas` and the modules above the rooms. Begin with `log`, the protocols that actors are
given. `kafka_log` implements them, with `fetch` (reading; `fetch_protocol` decides) and `step` (one
transaction, committed whole or not at all).
"""
