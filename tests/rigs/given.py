"""Settings with keys of every scope."""

from pathlib import Path
from typing import Any

from agents.http.keys import ISSUED, Keys, Scope
from streams.settings import Settings, load
from tests.rigs.site import SHARDS


class Given:
    """Settings with a keys file, and a key of each scope."""

    def __init__(self, folder: Path, **more: Any) -> None:
        file = folder / "keys.json"
        keys, self.tokens = Keys(), {}
        for scope in ISSUED:
            keys, self.tokens[scope] = keys.add(scope.value, [scope], 1)
        keys.save(file)
        flags = {"partitions": SHARDS, "data_dir": folder, "keys_file": file, **more}
        self.settings: Settings = load(flags, env={}, file=folder / "none")

    def header(self, scope: Scope) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[scope]}"}


FILTER = {"filter": {"filter": "received_from_campaign", "campaign": "a"}}
