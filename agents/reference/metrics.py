"""The page of the metrics."""

from agents.reference.page import Page, Section, Table
from agents.reference.pages import ABOUT
from streams.metrics.names import SECTIONS, STANDARD, Metric

__all__ = ["page"]


def page() -> Page:
    """Every metric with its kind, labels and meaning."""
    return Page(
        "metrics",
        "Metrics",
        ABOUT["metrics"],
        (
            Section(
                text=(
                    "`GET /metrics` of each worker has them, in the text format of Prometheus or "
                    "as OpenMetrics. [docs/monitoring.md](../monitoring.md) says how to read them, "
                    "with alert rules and a dashboard.",
                    "A metric without labels says something of the worker; one with the label "
                    "`shard` of a shard that the worker holds: its takeover sets its counters "
                    "to 0. A histogram has `_bucket`, `_sum` and `_count`.",
                )
            ),
            *(Section(title, (), _table(some)) for title, some in SECTIONS.items()),
            Section(
                "Process",
                ("From the library of Prometheus; on Linux only.",),
                Table(
                    ("metric", "meaning"),
                    tuple((f"`{name}`", help_) for name, help_ in STANDARD.items()),
                ),
            ),
        ),
    )


def _table(metrics: tuple[Metric, ...]) -> Table:
    return Table(
        ("metric", "kind", "unit", "labels", "meaning"),
        tuple(
            (
                f"`{one.name}`",
                one.kind,
                one.unit,
                ", ".join(f"`{label}`" for label in one.labels),
                one.help,
            )
            for one in metrics
        ),
    )
