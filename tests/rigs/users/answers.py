"""What is answered about the users of `tests/rigs/users/sites.py`, before any source expires."""

from typing import Any

__all__ = [
    "BRAZE_1",
    "BRAZE_2",
    "BRAZE_5",
    "BRAZE_A",
    "BRAZE_B",
    "BRAZE_C",
    "CSV_A",
    "CSV_C",
    "NOTHING",
    "NOT_ENGAGED",
    "PROFILE",
    "A",
    "B",
    "C",
    "at",
    "span",
]


def at(minute: int) -> str:
    return f"2026-03-01T09:{minute:02d}:00.000Z"


def span(minute: int) -> dict[str, str]:
    return {"first": at(minute), "last": at(minute)}


A: dict[str, Any] = {
    "source": "campaign:a",
    "name": "Spring sale",
    "state": "ACTIVE",
    # the second message came to u3, who is u1
    "received": {"first": at(0), "last": at(9)},
    "channels": ["EMAIL"],
    "variations": [{"id": "v1", "name": "Red", "first": at(0), "last": at(2)}],
    "opened": span(1),
    "machine_opened": None,
    "clicked": span(2),
    "bot_clicked": None,
    "aliases_clicked": [{"alias": "buy", **span(2)}],
    "converted": False,
    "conversions": [{"index": 1, **span(3)}],
    "entered": None,
    "in_control": False,
    "exited": None,
}

B: dict[str, Any] = {
    **A,
    "source": "campaign:b",
    "name": "Autumn",
    "state": "STOPPED",
    "received": span(4),
    "channels": ["PUSH"],
    "variations": [],
    "opened": None,
    "clicked": None,
    "aliases_clicked": [],
    "conversions": [],
}

C: dict[str, Any] = {
    **B,
    "source": "canvas:c",
    "name": "Welcome",
    "state": "ACTIVE",
    "received": span(6),
    "channels": ["EMAIL"],
    "variations": [{"id": "p1", "name": "Path 1", "first": at(5), "last": at(7)}],
    "entered": span(5),
    "exited": span(7),
    "steps": [{"id": "s1", "name": "Hello", **span(6)}],
}

PROFILE: dict[str, Any] = {
    "user_id": "u1",
    "external_user_id": "ext-1",
    "aliases": ["one"],
    "user_aliases": [{"alias_name": "eins", "alias_label": "de"}],
    "merged_users": ["u3"],
    "in_roster": True,
    "campaigns_received": [A, B],
    "canvas_messages_received": [C],
    "through_archive": None,
    "signals": {
        "hard_bounced": at(12),
        "marked_spam": None,
        "invalid_phone": None,
        "inbound_keywords": [{"category": "STOP", "last": at(16)}],
        "feature_flags": [{"id": "f1", "last": at(13)}],
    },
    "feed_views": {"count": 3, "last": at(19)},
    "excluded_expired": {
        "entries": 0,
        "sources": [],
        "unchecked": {"count": 0, "sources": []},
        "archived": [],
    },
}

BRAZE_A = {
    "name": "Spring sale",
    "last_received": at(9),
    "engaged": {
        "opened_email": True,
        "opened_push": False,
        "clicked_email": True,
        "clicked_triggered_in_app_message": False,
    },
    "converted": False,
    "api_campaign_id": "a",
    "variation_name": "Red",
    "variation_api_id": "v1",
    "in_control": False,
}

NOT_ENGAGED = {
    "opened_email": False,
    "opened_push": False,
    "clicked_email": False,
    "clicked_triggered_in_app_message": False,
}

BRAZE_B = {
    "name": "Autumn",
    "last_received": at(4),
    "engaged": NOT_ENGAGED,
    "converted": False,
    "api_campaign_id": "b",
}

BRAZE_C = {
    "name": "Welcome",
    "api_canvas_id": "c",
    "last_received_message": at(6),
    "last_entered": at(5),
    "variation_name": "Path 1",
    "in_control": False,
    "last_exited": at(7),
    "steps_received": [{"name": "Hello", "api_canvas_step_id": "s1", "last_received": at(6)}],
}

BRAZE_1 = {
    "external_id": "ext-1",
    "user_aliases": [
        {"alias_name": "one", "alias_label": ""},
        {"alias_name": "eins", "alias_label": "de"},
    ],
    "braze_id": "u1",
    "campaigns_received": [BRAZE_A, BRAZE_B],
    "canvases_received": [BRAZE_C],
}

BRAZE_2 = {
    "external_id": "ext-2",
    "braze_id": "u2",
    "campaigns_received": [
        {
            "name": "Spring sale",
            "engaged": NOT_ENGAGED,
            "converted": False,
            "api_campaign_id": "a",
            "variation_name": "Red",
            "variation_api_id": "v1",
            "in_control": True,
        }
    ],
}

BRAZE_5 = {
    "external_id": "by-event",
    "braze_id": "u5",
    "campaigns_received": [
        {
            "name": "Spring sale",
            "last_received": at(11),
            "engaged": NOT_ENGAGED,
            "converted": False,
            "api_campaign_id": "a",
        }
    ],
}

NOTHING = {"entries": 0, "sources": [], "users": {}, "unchecked": {"count": 0, "sources": []}}

CSV_A = {
    "u1": {
        "Appboy ID": "u1",
        "user_id": "ext-1",
        "user_aliases": '[{"alias_name": "one", "alias_label": ""}, '
        '{"alias_name": "eins", "alias_label": "de"}]',
        "variation_name": "Red",
        "variation_api_id": "v1",
        "in_control": "false",
        "emberline_source": "campaign:a",
        "emberline_first_received": at(0),
        "emberline_last_received": at(9),
        "emberline_channels": "EMAIL",
        "emberline_last_opened": at(1),
        "emberline_last_clicked": at(2),
        "emberline_converted": "false",
        "emberline_last_converted": at(3),
    },
    "u2": {
        "Appboy ID": "u2",
        "user_id": "ext-2",
        "variation_name": "Red",
        "variation_api_id": "v1",
        "in_control": "true",
        "emberline_source": "campaign:a",
        "emberline_converted": "false",
        "emberline_last_entered": at(8),
    },
    "u5": {
        "Appboy ID": "u5",
        "user_id": "by-event",
        "in_control": "false",
        "emberline_source": "campaign:a",
        "emberline_first_received": at(11),
        "emberline_last_received": at(11),
        "emberline_channels": "PUSH",
        "emberline_converted": "false",
    },
}

CSV_C = {
    "Appboy ID": "u1",
    "user_id": "ext-1",
    "user_aliases": CSV_A["u1"]["user_aliases"],
    "variation_name": "Path 1",
    "variation_api_id": "p1",
    "in_control": "false",
    "emberline_source": "canvas:c",
    "emberline_first_received": at(6),
    "emberline_last_received": at(6),
    "emberline_channels": "EMAIL",
    "emberline_steps_received": "s1",
    "emberline_converted": "false",
    "emberline_last_entered": at(5),
    "emberline_last_exited": at(7),
}
