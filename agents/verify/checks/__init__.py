"""The checks: pure functions over what was read; each yields the findings of one comparison."""
