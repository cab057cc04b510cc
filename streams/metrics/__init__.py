"""The metrics of a worker: their names, the figures that grow, and their text for Prometheus.

Imports no other room. Begin with `names`, which is the table of all metrics; `meters` keeps what
actors count and measure, `exposition` writes it together with what is read when somebody asks.
"""
