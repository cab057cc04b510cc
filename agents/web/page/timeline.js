// What happened to a source: the decisions of the audit, newest first, in the reader's language.

import { html, useEffect, useState } from "./htm.js";
import { get, quoted } from "./api.js";
import { actor, isolated, short } from "./named.js";
import { Failure, Moment, useChanges, useRead } from "./parts.js";
import { dueFrom } from "./banner.js";
import { Same } from "./same.js";
import { due, t } from "./texts.js";

const PAGE = 20;
/** A page reads a limited part of the audit: so many empty pages are passed over at once. */
const EMPTY_PAGES = 5;
const HOT = ["expired", "restoring", "expiring", "referenced_while_hidden", "resumed_while_hidden", "stuck",
  "restore_failed"];

/** Decisions that have a text; others are shown by their code. */
const KNOWN = [
  "state", "due", "referenced", "referenced_while_hidden", "released", "deleted", "resumed_while_hidden",
  "unknown_source_seen", "unreadable_definition", "unreadable_filter", "older_definition_ignored", "expiring",
  "expired", "expiry_cancelled", "restoring", "restore_after_expiry", "restore_cancelled", "stuck", "hold",
  "restore_failed", "returned_to_archive", "archive_mended",
  "unhold", "foreign_state_overwritten", "notice_failed", "request_repeated",
];
const COMMANDS = ["restore", "hold", "unhold", "cancel", "expire"];
/** Reasons that only say in English what the text says already, or what facts say. */
const TOLD = ["state", "due", "referenced", "referenced_while_hidden", "released", "deleted", "expiring", "expired",
  "restoring", "restore_after_expiry", "restore_cancelled", "expiry_cancelled", "unknown_source_seen", "hold", "unhold",
  "resumed_while_hidden", "returned_to_archive"];

/** What was decided. */
function title(entry) {
  const { decision, from_state: from, to_state: to } = entry;
  if (decision === "state" && from === "RESTORING") return t("source.event.restored");
  if (decision === "state" && to) return t(from ? "source.event.state" : "source.event.first", { state: t(`state.${to}`) });
  const refused = decision.replace(/_refused$/, "");
  if (refused !== decision) {
    return COMMANDS.includes(refused) ? t("source.event.refused", { type: t(`type.${refused}`) })
      : t("source.event.refused_other");
  }
  return KNOWN.includes(decision) ? t(`source.event.${decision}`) : decision;
}

/** Why, in sentences, from the facts of the entry. */
function whys({ decision, facts, to_state: to }) {
  const found = [];
  const user = facts.used_by && isolated(short(facts.used_by_name || facts.used_by));
  if (user) found.push(t(decision === "released" ? "source.event.was_used" : "source.event.used", { by: user }));
  if (facts.held_by) found.push(t("why.held", { by: isolated(actor(facts.held_by)) }));
  if (facts.due_at) found.push(t("why.due", { date: due(facts.due_at) }));
  if (facts.since) found.push(t("source.since.expiry", { when: dueFrom(facts) }));
  if (facts.why) found.push(t(`source.why.${facts.why}`));
  if (facts.refusal) found.push(t(`refusal.${facts.refusal}`));
  if (decision === "state" && to === "ACTIVE") found.push(t("why.active"));
  return found;
}

function Entry({ entry }) {
  const { facts } = entry;
  // what has no code is told in the coordinator's own words, after the text
  const words = TOLD.includes(entry.decision) || facts.refusal ? null : entry.detail ?? entry.reason;
  return html`<li class=${HOT.includes(entry.decision) ? "hot" : ""}>
    <b>${title(entry)}</b> <small><${Moment} ms=${entry.time} /></small>
    ${whys(entry).map((why) => html`<span class="why">${why}</span>`)}
    ${facts.note && html`<span class="why quote"><bdi>${short(facts.note, 400)}</bdi></span>`}
    ${words && html`<span class="why" lang="en"><bdi>${short(words, 400)}</bdi></span>`}
    ${(entry.by || entry.request_id) && html`<span class="why">
      ${entry.by && t("source.event.by", { name: isolated(short(actor(entry.by))) })} ${entry.request_id && html`<a class="more"
        href=${`#/requests/${encodeURIComponent(entry.request_id)}`}>${t("source.event.request")}</a>`}</span>`}
  </li>`;
}

const path = (source, more) => `audit?${new URLSearchParams({ source, limit: PAGE, ...more })}`;

/** A page with entries, or the first of some empty ones after which the reader may go on. */
async function older(source, cursor) {
  let page = await get(path(source, cursor === null ? {} : { cursor }));
  const { end } = page;
  for (let turn = 0; turn < EMPTY_PAGES && !page.entries.length && page.next !== null; turn += 1) {
    page = await get(path(source, { cursor: page.next }));
  }
  return { ...page, end };
}

export function Timeline({ source }) {
  const [page, error, again, set] = useRead(() => older(source, null), [source]);
  const [trouble, fail] = useState(null);
  const [busy, work] = useState(false);
  const [turn, newer] = useState(0);
  useChanges(({ sources = [], requests = [] }) => {
    // a refusal changes no source, and a request does not say in short which sources it is about
    const refused = requests.some((one) => one.counts.refused > 0);
    if (refused || sources.some((one) => one.source === source)) newer((n) => n + 1);
  });
  useEffect(() => {
    if (!page || !turn) return undefined;
    let here = true;
    get(path(source, { order: "oldest", cursor: page.end })).then((news) => {
      if (!here) return;
      const known = new Set(page.entries.map((entry) => entry.offset));
      const fresh = news.entries.filter((entry) => !known.has(entry.offset)).reverse();
      set({ ...page, entries: [...fresh, ...page.entries], end: news.next ?? news.end });
      fail(null);
      if (news.next !== null) newer((n) => n + 1);
    }, (why) => here && fail(why));
    return () => { here = false; };
  }, [turn]);
  const more = () => {
    work(true);
    older(source, page.next).then((next) => {
      set({ ...page, entries: [...page.entries, ...next.entries], next: next.next });
      fail(null);
    }, fail).then(() => work(false));
  };
  return html`<section class="panel" aria-labelledby="happened">
    <h2 id="happened">${t("source.happened")}</h2>
    <${Failure} error=${error ?? trouble} again=${again} />
    ${!page && !error && html`<p class="soft" role="status">${t("loading")}</p>`}
    ${page && !page.entries.length && html`<p class="soft">${t("source.happened.none")}</p>`}
    ${page && html`<ol class="line">${page.entries.map((entry) => html`<${Entry} key=${entry.offset} entry=${entry} />`)}</ol>`}
    ${page && page.next !== null && html`<p><button disabled=${busy} onClick=${more}>${t("source.older")}</button></p>`}
    <${Same} commands=${[`emberline audit ${quoted(source)}`]} paths=${[path(source, {})]} />
  </section>`;
}
