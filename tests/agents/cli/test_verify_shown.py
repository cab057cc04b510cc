"""What `emberline verify` tells people."""

import pytest

from agents.cli.verify import show
from agents.verify.report import VerifyReport


@pytest.mark.parametrize(("count", "said"), [(1, "(1 row)"), (2, "(2 rows)")])
def test_a_single_row_is_no_rows(count: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = VerifyReport()
    report.figures.update(hot_segments=1, hot_rows=count, archived_segments=1, archived_rows=count)
    show(report)
    shown = " ".join(capsys.readouterr().out.split())
    assert said in shown
    assert said[:-1] + ", 0 B)" in shown
