"""Currents exports for tests: Avro files with the published fields of each event type.

In `FIELDS` a field is a text; `:int`, `:long`, `:boolean` and `:strings` (an array) say otherwise,
and `?` at the end says that it may be null. `USER`, `CAMPAIGN` and `CANVAS` stand for the fields
that most types have.
"""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fastavro

__all__ = ["FIELDS", "container", "event", "exported", "schema_of"]

_GROUPS = {
    "USER": "id user_id external_user_id? time:int app_group_id?",
    "CAMPAIGN": "campaign_id? campaign_name? message_variation_id? message_variation_name?",
    "CANVAS": (
        "canvas_id? canvas_name? canvas_variation_id? canvas_variation_name? canvas_step_id? "
        "canvas_step_name?"
    ),
}
FIELDS: Mapping[str, str] = {
    "users.messages.email.Send": (
        "USER CAMPAIGN CANVAS dispatch_id? timezone? email_address send_id? ip_pool? "
        "message_extras? from_domain?"
    ),
    "users.messages.email.Open": (
        "USER CAMPAIGN CANVAS dispatch_id? timezone? email_address send_id? user_agent? "
        "ip_pool? machine_open? esp? from_domain? is_amp:boolean? device_class? device_os? "
        "device_model? browser? mailbox_provider?"
    ),
    "users.messages.email.Click": (
        "USER CAMPAIGN CANVAS dispatch_id? timezone? email_address url? send_id? user_agent? "
        "ip_pool? link_id? link_alias? esp? from_domain? is_amp:boolean? device_class? "
        "device_os? device_model? browser? mailbox_provider? is_suspected_bot_click:boolean? "
        "suspected_bot_click_reason:strings?"
    ),
    "users.messages.email.Bounce": (
        "USER CAMPAIGN CANVAS dispatch_id? timezone? email_address send_id? sending_ip? "
        "ip_pool? bounce_reason? esp? from_domain? is_drop:boolean?"
    ),
    "users.messages.email.MarkAsSpam": (
        "USER CAMPAIGN CANVAS dispatch_id? timezone? email_address send_id? user_agent? "
        "ip_pool? esp? from_domain?"
    ),
    "users.messages.pushnotification.Send": (
        "USER CAMPAIGN CANVAS app_id timezone? platform send_id? dispatch_id? device_id? ad_id? "
        "ad_id_type? ad_tracking_enabled:boolean? message_extras? push_token? locale_key?"
    ),
    "users.messages.pushnotification.Open": (
        "USER CAMPAIGN CANVAS timezone? app_id canvas_step_message_variation_id? platform? "
        "os_version? device_model? send_id? dispatch_id? device_id? button_action_type? "
        "button_string? ad_id? ad_id_type? ad_tracking_enabled:boolean?"
    ),
    "users.messages.inappmessage.Impression": (
        "USER CAMPAIGN CANVAS timezone? app_id card_id? platform? os_version? device_model? "
        "send_id? device_id? ad_id? ad_id_type? ad_tracking_enabled:boolean? message_extras? "
        "locale_key?"
    ),
    "users.messages.inappmessage.Click": (
        "USER CAMPAIGN CANVAS app_id timezone? card_id? platform? os_version? device_model? "
        "button_id? send_id? device_id? ad_id? ad_id_type? ad_tracking_enabled:boolean?"
    ),
    "users.messages.contentcard.Impression": (
        "USER CAMPAIGN CANVAS content_card_id app_id send_id? timezone? device_id? platform? "
        "os_version? device_model? ad_id? ad_id_type? ad_tracking_enabled:boolean?"
    ),
    "users.messages.contentcard.Click": (
        "USER CAMPAIGN CANVAS content_card_id app_id send_id? timezone? device_id? platform? "
        "os_version? device_model? ad_id? ad_id_type? ad_tracking_enabled:boolean?"
    ),
    "users.messages.banner.Impression": (
        "USER CAMPAIGN CANVAS app_id? gender? country? timezone? language? device_id? "
        "sdk_version? platform? os_version? device_model? resolution? carrier? browser? ad_id? "
        "ad_id_type? ad_tracking_enabled:boolean? banner_placement_id? "
        "canvas_step_message_variation_id?"
    ),
    "users.messages.banner.Click": (
        "USER CAMPAIGN CANVAS app_id? gender? country? timezone? language? device_id? "
        "sdk_version? platform? os_version? device_model? resolution? carrier? browser? "
        "button_id? ad_id? ad_id_type? ad_tracking_enabled:boolean? banner_placement_id? "
        "canvas_step_message_variation_id?"
    ),
    "users.messages.sms.Send": (
        "USER CAMPAIGN CANVAS dispatch_id? timezone? to_phone_number? subscription_group_id? "
        "send_id? category? message_extras?"
    ),
    "users.messages.sms.ShortLinkClick": (
        "USER CAMPAIGN CANVAS timezone? url short_url user_agent? user_phone_number? "
        "is_suspected_bot_click:boolean? suspected_bot_click_reason:strings?"
    ),
    "users.messages.sms.InboundReceive": (
        "CAMPAIGN CANVAS id user_id? external_user_id? app_group_id time:int user_phone_number "
        "subscription_group_id? inbound_phone_number action message_body media_urls:strings?"
    ),
    "users.messages.whatsapp.Send": (
        "CAMPAIGN id time:long to_phone_number? user_id external_user_id? device_id? timezone? "
        "from_phone_number app_group_id? subscription_group_id? canvas_id? canvas_name? "
        "canvas_variation_id? canvas_step_id? canvas_step_name? "
        "canvas_step_message_variation_id? dispatch_id? message_extras? send_id? flow_id? "
        "template_name? message_id? bsuid?"
    ),
    "users.messages.whatsapp.Read": (
        "CAMPAIGN CANVAS id time:long to_phone_number? user_id external_user_id? device_id? "
        "timezone? from_phone_number app_group_id? subscription_group_id? "
        "canvas_step_message_variation_id? dispatch_id? send_id? template_name? message_id? "
        "flow_id? bsuid?"
    ),
    "users.messages.whatsapp.Click": (
        "USER CAMPAIGN CANVAS device_id? timezone? canvas_step_message_variation_id? url "
        "short_url user_agent? user_phone_number?"
    ),
    "users.messages.whatsapp.InboundReceive": (
        "CAMPAIGN CANVAS id time:long user_phone_number? user_id? external_user_id? "
        "inbound_phone_number device_id? timezone? app_group_id? subscription_group_id? "
        "canvas_step_message_variation_id? message_body? quick_reply_text? media_urls:strings? "
        "action catalog_id? product_id? flow_id? flow_response_json? message_id? in_reply_to? "
        "bsuid?"
    ),
    "users.messages.rcs.Send": (
        "USER CAMPAIGN CANVAS category? device_id? dispatch_id? from_rcs_sender? "
        "message_extras? send_id? subscription_group_id? to_phone_number "
        "canvas_step_message_variation_id?"
    ),
    "users.messages.rcs.Read": (
        "USER CAMPAIGN CANVAS to_phone_number canvas_step_message_variation_id?"
    ),
    "users.messages.rcs.Click": (
        "USER CAMPAIGN CANVAS device_id? is_suspected_bot_click:boolean? send_id? short_url? "
        "suspected_bot_click_reason:strings? user_agent? user_phone_number? "
        "canvas_step_message_variation_id? interaction_type element_label? element_type? url? "
        "subscription_group_id?"
    ),
    "users.messages.rcs.InboundReceive": (
        "CAMPAIGN CANVAS app_group_id? external_user_id? id time:int user_id? action "
        "media_urls:strings? send_id? user_phone_number subscription_group_id? message_body "
        "to_rcs_sender canvas_step_message_variation_id?"
    ),
    "users.messages.line.Send": (
        "USER campaign_id? campaign_name? canvas_id? canvas_step_id? "
        "canvas_step_message_variation_id? canvas_step_name? canvas_variation_id? device_id? "
        "dispatch_id? line_channel_id line_channel_name message_extras? message_variation_id? "
        "native_line_id send_id? subscription_group_id? timezone?"
    ),
    "users.messages.line.Click": (
        "USER timezone? native_line_id line_channel_id line_channel_name subscription_group_id? "
        "campaign_id? campaign_name? message_variation_id? canvas_id? canvas_variation_id? "
        "canvas_step_id? canvas_step_message_variation_id? canvas_step_name? dispatch_id? "
        "device_id? send_id? is_suspected_bot_click:boolean? short_url url user_agent?"
    ),
    "users.messages.webhook.Send": (
        "USER CAMPAIGN CANVAS timezone? send_id? message_extras? dispatch_id?"
    ),
    "users.messages.liveactivity.Send": (
        "USER activity_id? activity_attributes_type? push_to_start_token? update_token? "
        "live_activity_event_type? app_id?"
    ),
    "users.campaigns.Conversion": (
        "USER app_id? timezone? campaign_id campaign_name? message_variation_id? "
        "message_variation_name? send_id? conversion_behavior_index:int? conversion_behavior?"
    ),
    "users.campaigns.EnrollInControl": (
        "USER app_id? timezone? campaign_id campaign_name? message_variation_id? "
        "message_variation_name? send_id?"
    ),
    "users.canvas.Entry": (
        "USER timezone? canvas_id canvas_name? canvas_variation_id canvas_variation_name? "
        "canvas_step_id? canvas_step_name? in_control_group:boolean"
    ),
    "users.canvas.Conversion": (
        "USER app_id? timezone? canvas_id canvas_name? canvas_variation_id "
        "canvas_variation_name? canvas_step_id? canvas_step_name? "
        "conversion_behavior_index:int? conversion_behavior?"
    ),
    "users.canvas.exit.MatchedAudience": (
        "id user_id external_user_id? app_group_id app_group_api_id? time:int canvas_id "
        "canvas_variation_id canvas_step_id? canvas_name? canvas_variation_name? "
        "canvas_step_name? canvas_api_id? canvas_variation_api_id? canvas_step_api_id?"
    ),
    "users.canvas.exit.PerformedEvent": (
        "id user_id external_user_id? app_group_id app_group_api_id? time:int canvas_id "
        "canvas_variation_id canvas_step_id? canvas_name? canvas_variation_name? "
        "canvas_step_name? canvas_api_id? canvas_variation_api_id? canvas_step_api_id?"
    ),
    "users.behaviors.app.NewsFeedImpression": (
        "id user_id external_user_id? time:int app_id platform? os_version? device_model? "
        "device_id?"
    ),
    "users.UserOrphan": "USER device_id? app_id? orphaned_by_id",
}
"""The published fields of the event types that emberline reads."""

_TYPES = {"": "string", "strings": {"type": "array", "items": "string"}}
_FROM = 1_769_817_600
"""2026-01-31 in seconds."""


def schema_of(name: str) -> dict[str, Any]:
    """The schema that a file of this event type has."""
    namespace, _, short = name.rpartition(".")
    words = FIELDS.get(name, "USER CAMPAIGN CANVAS").split()
    listed = " ".join(_GROUPS.get(word, word) for word in words).split()
    return {
        "type": "record",
        "name": short,
        "namespace": f"dataexport.S3.inner.{namespace}",
        "fields": [_field(word) for word in listed],
    }


def _field(word: str) -> dict[str, Any]:
    name, _, kind = word.removesuffix("?").partition(":")
    plain = _TYPES.get(kind, kind)
    if not word.endswith("?"):
        return {"name": name, "type": plain}
    return {"name": name, "type": ["null", plain], "default": None}


def event(name: str, chance: random.Random, **given: Any) -> dict[str, Any]:
    """An event of this type, of a campaign or a Canvas; `given` are values of some fields."""
    of_campaign = chance.random() < 0.5
    made: dict[str, Any] = {}
    for field in schema_of(name)["fields"]:
        made[field["name"]] = _value(field["name"], field["type"], chance, of_campaign)
    return {**made, **{key: value for key, value in given.items() if key in made}}


def _value(name: str, kind: Any, chance: random.Random, of_campaign: bool) -> Any:
    nullable = isinstance(kind, list)
    plain = kind[1] if nullable else kind
    if nullable and name.startswith(("campaign_", "message_variation")) and not of_campaign:
        return None
    if nullable and name.startswith("canvas_") and of_campaign:
        return None
    if name == "time":
        return _FROM + chance.randrange(86_400)
    if name == "id":
        return f"{chance.getrandbits(128):032x}"
    if name == "user_id":
        return f"{chance.randrange(20_000):024x}"
    if name == "external_user_id":
        return chance.choice([None, f"customer-{chance.randrange(20_000)}"])
    if name == "machine_open":
        return chance.choice([None, "", "true", "false"])
    if name == "conversion_behavior_index":
        return chance.choice([None, 0, 1, 2, 3])
    if name == "action":
        return chance.choice(["Subscribed", "None", "Help"])
    if plain == "boolean":
        return chance.choice([True, False, None] if nullable else [True, False])
    if plain in ("int", "long"):
        return chance.randrange(1_000)
    if isinstance(plain, dict):
        return chance.choice([None, [], [name, name]])
    return f"{name}-{chance.randrange(8)}"


def container(file: Path, name: str, events: list[dict[str, Any]], **options: Any) -> Path:
    """Write a container file of events of one type."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        fastavro.writer(out, schema_of(name), events, **options)
    return file


def exported(
    folder: Path, chance: random.Random, counts: Mapping[str, int], a_file: int = 15_000
) -> Iterator[tuple[str, list[dict[str, Any]], Path]]:
    """An export with so many events of each type: (type, events, file) of each file.

    It has the folders of an export to S3.
    """
    export = "dataexport.prod-01.S3.integration.5f0c7ab2e1"
    for name, count in counts.items():
        for number, start in enumerate(range(0, count, a_file)):
            events = [event(name, chance) for _ in range(min(a_file, count - start))]
            hour = folder / export / f"event_type={name}" / f"date=2026-01-31-{number % 24:02}"
            file = hour / "421" / "prod" / f"{export}+{number % 3}+{number:010}.avro"
            yield name, events, container(file, name, events, codec="null")
