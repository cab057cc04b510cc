"""For a wrong word the nearest correct one is suggested; unusual words cost little."""

import time

from schemas.words.nearest import hint, nearest, nearest_key

STATES = ["ACTIVE", "EXPIRED", "EXPIRING"]


def test_the_nearest_in_any_case_or_none() -> None:
    assert nearest("expird", STATES) == "EXPIRED"
    assert nearest("chanel", ["channel", "time"]) == "channel"
    assert nearest("zzz", STATES) is None


def test_a_hint_names_all_there_are() -> None:
    assert hint("expird", STATES) == "Did you mean EXPIRED? Use one of ACTIVE, EXPIRED, EXPIRING"
    assert hint("zzz", STATES, before="It takes") == "It takes ACTIVE, EXPIRED, EXPIRING"


def test_a_key_is_meant_by_its_id_alone_or_nearly() -> None:
    keys = ["campaign:fall", "campaign:spring", "canvas:spring-sale"]
    assert nearest_key("spring", keys) == "campaign:spring"
    assert nearest_key("campagin:sprng", keys) == "campaign:spring"
    assert nearest_key("spring-sale", keys) == "canvas:spring-sale"
    assert nearest_key("zzz", keys) is None
    # a command may be refused for what is there: that is no other one's name
    assert nearest_key("campaign:fall", ["campaign:fall"]) is None


def test_a_very_long_word_costs_no_more_than_a_long_one() -> None:
    before = time.process_time()
    nearest("expired" * 100_000, STATES)
    assert time.process_time() - before < 0.5
