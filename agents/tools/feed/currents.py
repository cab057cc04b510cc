"""The event types of Braze Currents, and what becomes of each. Pure data, from the published field
lists.

`TYPES` has a rule for each type that emberline reads, and a reason for each other type.
A view of an in-app message, a Content Card or a banner is the receipt, so its impression is a
`send`; the sending of a Content Card is not. Names of campaigns, Canvases, steps and variations are
in most events; they make no definitions, because an event does not say whether its source is active
or stopped, and a guess would expire data or keep it for ever.
"""

from collections.abc import Mapping

from schemas.mapping.rule import From, Rule, TimeFormat, Value

__all__ = ["FAMILY", "TYPES", "known_type", "read_types"]

FAMILY = "users."
"""What the names of event types begin with."""

_SECONDS = TimeFormat(unit="s")
_USER: Mapping[str, Value] = {
    "id": From("id"),
    "user_id": From("user_id"),
    "external_user_id": From("external_user_id"),
    "time": From("time", time=_SECONDS),
}
# some events, such as the exit of a Canvas, have an internal id under the plain name
_SOURCE: Mapping[str, Value] = {
    "campaign_id": From("campaign_id", rather="campaign_api_id"),
    "canvas_id": From("canvas_id", rather="canvas_api_id"),
}
_MESSAGE: Mapping[str, Value] = {
    **_USER,
    **_SOURCE,
    "canvas_step_id": From("canvas_step_id", rather="canvas_step_api_id"),
    "message_variation_id": From("message_variation_id", rather="message_variation_api_id"),
    "canvas_variation_id": From("canvas_variation_id", rather="canvas_variation_api_id"),
}
_CAMPAIGN = {name: _MESSAGE[name] for name in (*_USER, "campaign_id", "message_variation_id")}
_CANVAS = {
    name: _MESSAGE[name] for name in (*_USER, "canvas_id", "canvas_step_id", "canvas_variation_id")
}
_KEYWORD = From(
    "action", absent=frozenset({"", "None", "none", "NONE"}), behind="subscription_group_id"
)
_NO_SENDER = "the sender of the message is no known user"
_NO_KEYWORD = "the message is no keyword"


def _send(channel: str) -> Rule:
    return Rule("send", {**_MESSAGE, "channel": channel})


def _open(channel: str, **more: Value) -> Rule:
    return Rule("open", {**_MESSAGE, "channel": channel, **more})


def _click(channel: str, **more: Value) -> Rule:
    return Rule("click", {**_MESSAGE, "channel": channel, **more})


def _signal(kind: str, **more: Value) -> Rule:
    return Rule("signal", {**_USER, **_SOURCE, "signal_type": kind, **more})


def _inbound() -> Rule:
    return Rule(
        "signal",
        {**_USER, **_SOURCE, "signal_type": "INBOUND_KEYWORD", "value": _KEYWORD},
        {"user_id": _NO_SENDER, "value": _NO_KEYWORD},
    )


_ABORTED = "the message was not sent"
_RETRIED = "the message is sent again later"
_DELIVERED = "the receipt is the send event"
_FAILED = "the message did not arrive; the send event counts as the receipt, as in Braze"
_DISMISSED = "a dismissal is no open and no click"
_SUBSCRIPTION = "subscription states are not kept"
_BEHAVIOUR = "it is no interaction with a message"
_STEP_PATH = "the path of a step is no entry into the Canvas, and no filter reads it"
_AGENT = "it is about no message"

_BOT = From("is_suspected_bot_click")
_URL = From("url")

TYPES: Mapping[str, Rule | str] = {
    "users.messages.email.Send": _send("EMAIL"),
    "users.messages.email.Open": _open("EMAIL", machine_open=From("machine_open")),
    "users.messages.email.Click": _click(
        "EMAIL", link_alias=From("link_alias"), url=_URL, is_suspected_bot_click=_BOT
    ),
    "users.messages.email.Bounce": _signal("HARD_BOUNCE"),
    "users.messages.email.MarkAsSpam": _signal("SPAM_REPORT"),
    "users.messages.email.Abort": _ABORTED,
    "users.messages.email.Deferral": _RETRIED,
    "users.messages.email.Delivery": _DELIVERED,
    "users.messages.email.Retry": _RETRIED,
    "users.messages.email.SoftBounce": _FAILED,
    "users.messages.email.Unsubscribe": _SUBSCRIPTION,
    "users.messages.pushnotification.Send": _send("PUSH"),
    "users.messages.pushnotification.Open": _open("PUSH"),
    "users.messages.pushnotification.Abort": _ABORTED,
    "users.messages.pushnotification.Bounce": _FAILED,
    "users.messages.pushnotification.InfluencedOpen": "an influenced open is no open",
    "users.messages.pushnotification.IosForeground": _DELIVERED,
    "users.messages.pushnotification.Retry": _RETRIED,
    "users.messages.inappmessage.Impression": _send("IN_APP"),
    "users.messages.inappmessage.Click": _click("IN_APP"),
    "users.messages.inappmessage.Abort": _ABORTED,
    "users.messages.contentcard.Impression": _send("CONTENT_CARD"),
    "users.messages.contentcard.Click": _click("CONTENT_CARD"),
    "users.messages.contentcard.Abort": _ABORTED,
    "users.messages.contentcard.Dismiss": _DISMISSED,
    "users.messages.contentcard.Send": "the receipt of a Content Card is its impression",
    "users.messages.banner.Impression": _send("BANNER"),
    "users.messages.banner.Click": _click("BANNER"),
    "users.messages.banner.Abort": _ABORTED,
    "users.messages.banner.Dismiss": _DISMISSED,
    "users.messages.sms.Send": _send("SMS"),
    "users.messages.sms.ShortLinkClick": _click("SMS", url=_URL, is_suspected_bot_click=_BOT),
    "users.messages.sms.InboundReceive": _inbound(),
    "users.messages.sms.Abort": _ABORTED,
    "users.messages.sms.CarrierSend": _DELIVERED,
    "users.messages.sms.Delivery": _DELIVERED,
    "users.messages.sms.DeliveryFailure": _FAILED,
    "users.messages.sms.Rejection": _FAILED,
    "users.messages.sms.Retry": _RETRIED,
    "users.messages.whatsapp.Send": _send("WHATSAPP"),
    "users.messages.whatsapp.Read": _open("WHATSAPP"),
    "users.messages.whatsapp.Click": _click("WHATSAPP", url=_URL),
    "users.messages.whatsapp.InboundReceive": _inbound(),
    "users.messages.whatsapp.Abort": _ABORTED,
    "users.messages.whatsapp.Delivery": _DELIVERED,
    "users.messages.whatsapp.Failure": _FAILED,
    "users.messages.whatsapp.Retry": _RETRIED,
    "users.messages.rcs.Send": _send("RCS"),
    "users.messages.rcs.Read": _open("RCS"),
    "users.messages.rcs.Click": _click("RCS", url=_URL, is_suspected_bot_click=_BOT),
    "users.messages.rcs.InboundReceive": _inbound(),
    "users.messages.rcs.Abort": _ABORTED,
    "users.messages.rcs.Delivery": _DELIVERED,
    "users.messages.rcs.Rejection": _FAILED,
    "users.messages.line.Send": _send("LINE"),
    "users.messages.line.Click": _click("LINE", url=_URL, is_suspected_bot_click=_BOT),
    "users.messages.line.InboundReceive": "the event has no keyword category",
    "users.messages.line.Abort": _ABORTED,
    "users.messages.line.Retry": _RETRIED,
    "users.messages.webhook.Send": _send("WEBHOOK"),
    "users.messages.webhook.Abort": _ABORTED,
    "users.messages.webhook.Failure": _FAILED,
    "users.messages.webhook.Retry": _RETRIED,
    "users.messages.liveactivity.Send": _send("LIVE_ACTIVITY"),
    "users.messages.liveactivity.Outcome": _DELIVERED,
    "users.messages.featureflag.Impression": "an impression does not say whether the flag is on",
    "users.messages.newsfeedcard.Abort": _ABORTED,
    "users.messages.newsfeedcard.Click": "a News Feed card belongs to no campaign",
    "users.messages.newsfeedcard.Impression": "the view of the News Feed is an event of its own",
    "users.campaigns.Conversion": Rule(
        "conversion",
        {**_CAMPAIGN, "conversion_behavior_index": From("conversion_behavior_index")},
    ),
    "users.campaigns.EnrollInControl": Rule("variant", {**_CAMPAIGN, "in_control_group": True}),
    "users.campaigns.Abort": _ABORTED,
    "users.campaigns.UniqueReceipt": _DELIVERED,
    "users.canvas.Entry": Rule(
        "variant", {**_CANVAS, "in_control_group": From("in_control_group")}
    ),
    "users.canvas.Conversion": Rule(
        "conversion",
        {**_CANVAS, "conversion_behavior_index": From("conversion_behavior_index")},
    ),
    "users.canvas.exit.MatchedAudience": Rule("variant", {**_CANVAS, "exited": True}),
    "users.canvas.exit.PerformedEvent": Rule("variant", {**_CANVAS, "exited": True}),
    "users.canvas.experimentstep.SplitEntry": _STEP_PATH,
    "users.canvas.experimentstep.Conversion": (
        "the conversion of the Canvas is an event of its own"
    ),
    "users.canvas.Abort": _ABORTED,
    "users.canvas.costep.Conversion": "the conversion of the Canvas is an event of its own",
    "users.canvas.costep.Send": _DELIVERED,
    "users.canvas.sendtodestination.NotSent": _BEHAVIOUR,
    "users.canvas.sendtodestination.Sent": _BEHAVIOUR,
    "users.canvasstep.Progression": "steps without messages are not kept",
    "users.behaviors.app.NewsFeedImpression": _signal("FEED_VIEW"),
    "users.behaviors.app.FirstSession": _BEHAVIOUR,
    "users.behaviors.app.SessionEnd": _BEHAVIOUR,
    "users.behaviors.app.SessionStart": _BEHAVIOUR,
    "users.behaviors.CustomEvent": _BEHAVIOUR,
    "users.behaviors.InstallAttribution": _BEHAVIOUR,
    "users.behaviors.Location": _BEHAVIOUR,
    "users.behaviors.Purchase": _BEHAVIOUR,
    "users.behaviors.Uninstall": _BEHAVIOUR,
    "users.behaviors.UpgradedApp": _BEHAVIOUR,
    "users.behaviors.liveactivity.PushToStartTokenChange": _BEHAVIOUR,
    "users.behaviors.liveactivity.UpdateTokenChange": _BEHAVIOUR,
    "users.behaviors.pushnotification.TokenStateChange": _BEHAVIOUR,
    "users.behaviors.subscription.GlobalStateChange": _SUBSCRIPTION,
    "users.behaviors.subscriptiongroup.StateChange": _SUBSCRIPTION,
    "users.RandomBucketNumberUpdate": _BEHAVIOUR,
    "users.profile.Update": _BEHAVIOUR,
    "users.UserOrphan": Rule(
        "user",
        {
            "user_id": From("user_id"),
            "external_user_id": From("external_user_id"),
            "merged_into": From("orphaned_by_id"),
        },
    ),
    "users.UserDeleteRequest": "erasing a user is a request of its own: `emberline erase`",
    "agentconsole.AgentExecuted": _AGENT,
    "agentconsole.ToolInvocation": _AGENT,
}
"""Event type -> how its events are mapped, or why they are skipped."""

_BY_FOLDED = {name.casefold(): name for name in TYPES}


def known_type(name: str) -> str | None:
    """The event type that a text names, in any case, alone or as the end of a longer name: of a
    schema, a topic or a file. None if it names none.
    """
    parts = name.casefold().split(".")
    for at in range(len(parts)):
        if (found := _BY_FOLDED.get(".".join(parts[at:]))) is not None:
            return found
    return None


def read_types() -> dict[str, Rule]:
    """The types that are mapped."""
    return {name: rule for name, rule in TYPES.items() if isinstance(rule, Rule)}
