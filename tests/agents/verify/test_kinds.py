"""Each kind of damage has a meaning, a remedy, a planted case, and its row in docs/verify.md."""

from pathlib import Path

import pytest

from agents.verify.kinds import MEANINGS, REMEDIES, FindingKind

PAGE = (Path(__file__).parents[3] / "docs" / "verify.md").read_text()


@pytest.mark.parametrize("kind", FindingKind)
def test_the_page_has_every_kind(kind: FindingKind) -> None:
    assert f"| `{kind}` | {MEANINGS[kind]} | {REMEDIES[kind]}. |" in PAGE
