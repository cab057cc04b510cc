"""Samples become figures: medians with their range, costs for each event, ratios."""

from agents.tools.bench.figures import BenchReport, Measurement, Sample, Spread

RUNS = [
    Sample(2.0, 1000, cpu=0.004, rss=100_000_000, facts={"wall_s": 3.0, "odd": 1.0}),
    Sample(1.0, 1000, cpu=0.002, rss=300_000_000, facts={"wall_s": 2.0}),
    Sample(4.0, 1000, cpu=0.003, rss=200_000_000, facts={"wall_s": 5.0}),
]


def test_spread_is_median_least_and_greatest() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


def test_a_rate_is_the_median_of_the_runs_rates() -> None:
    assert Measurement(RUNS).as_json() == {
        "events_per_s": {"median": 500.0, "min": 250.0, "max": 1000.0},
        "cpu_us_per_event": 3.0,
        "rss_mb": 300.0,
        "runs": 3,
        "events": 1000,
        "wall_s": 3.0,
    }


def test_seconds_are_given_where_no_rate_is_asked_for() -> None:
    found = Measurement([Sample(0.5), Sample(0.7)], rate=False).as_json()
    assert found["seconds"] == {"median": 0.6, "min": 0.5, "max": 0.7}
    assert found["cpu_us_per_event"] is None
    assert found["rss_mb"] is None


def test_a_report_has_the_promised_names_and_a_table() -> None:
    report = BenchReport("ingest", {"events": 1000}, {"cpus": 2}, {"worker": Measurement(RUNS)})
    report.ratios["quix"] = 9.87654
    report.agree["worker"] = False
    found = report.as_json()
    assert {"benchmark", "settings", "machine", "results", "ratios"} <= found.keys()
    assert found["ratios"] == {"quix": 9.877}
    table = report.table()
    assert "worker" in table
    assert "DIFFERS" in table
