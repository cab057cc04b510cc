"""Answers over all shards: what a filter is planned against, who is asked, what comes back."""
