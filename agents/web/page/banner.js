// The banner of a source: what happened to its data, what can be done now, and what comes after.

import { html } from "./htm.js";
import { get } from "./api.js";
import { isolated } from "./named.js";
import { Progress, useRead } from "./parts.js";
import { day, due, num, size, t } from "./texts.js";
import { period } from "./spans.js";

/** So long a restore is told of data that has no end date. */
const LATELY_MS = 30 * 86_400_000;

/** Whether there is anything to restore; `segments` are those in the archive. */
const archived = (one) => one.segments > 0 || (one.sizes?.rows ?? 0) > 0;

/** Why no restore is possible, as the key of a text; null if one is. */
export function obstacle(one) {
  if (one.legacy_deleted) return "source.no.legacy";
  if (one.state === "UNKNOWN") return "source.no.unknown";
  if (one.state === "RESTORING") return "source.no.running";
  if (one.state === "EXPIRED" && !archived(one)) return "source.no.archived";
  return null;
}

/** Until when data is available after a change, as a sentence; "" if that is not known. */
export function after(then) {
  if (!then) return "";
  if (!then.due_at) return t("source.after.open");
  return t("source.after.until", { date: due(then.due_at) });
}

const Box = ({ name, looks = "", children }) =>
  html`<div class=${`banner ${looks}`} role="region" aria-label=${name}>${children}</div>`;

/** Which remedy a code has. */
const REMEDIES = { archive_silent: "silent", archive_unsafe: "unsafe", segment_damaged: "segment" };

/** Why a restore failed, or why work does not go on: the record, and what to do. */
function Failed({ failure }) {
  const known = ["archive_damaged", "archive_foreign", "archive_missing", ...Object.keys(REMEDIES)];
  const { code, place, segment, shard, detail } = failure;
  const what = known.includes(code) ? t(`failure.${code}`) : t("failure.other", { detail });
  const remedy = known.includes(code) && t(`failure.remedy.${REMEDIES[code] ?? "archive"}`);
  return html`<div class="bad" role="alert">
    <p><b>${failure.final ? `${t("failure")}. ` : ""}${what}</b> ${remedy}</p>
    ${(place || segment) && html`<p class="soft">${t("failure.place", {
      place: isolated(place || "-"), segment: isolated(segment || "-"), shard: num(shard),
    })}</p>`}
  </div>`;
}

function Expired({ one, explained, operate, open }) {
  const why = obstacle(one);
  const restored = explained?.changes.find((each) => each.code === "restored");
  const facts = one.sizes && { count: one.sizes.archived_rows, size: size(one.sizes.archived_bytes) };
  const can = operate
    ? html`<button class="primary" onClick=${() => open("restore")}>${t("do.restore")}</button>`
    : html`<span class="soft">${t("source.no.scope")}</span>`;
  const title = one.expired_at ? t("banner", { date: day(one.expired_at) }) : t("state.EXPIRED");
  return html`<${Box} name=${t("state.EXPIRED")}>
    <div>
      <b>${title}</b>
      <p>${why ? t(why) : facts ? t("banner.about", facts) : t("source.sizes.none")} ${why ? "" : after(restored)}</p>
      ${one.failure && html`<${Failed} failure=${one.failure} />`}
      ${one.exempt_by.length > 0 && html`<p><b>${t("source.expired.used", { count: one.exempt_by.length })}</b></p>`}
    </div>
    ${!why && can}
  </${Box}>`;
}

function Moving({ one, operate, open }) {
  const back = one.state === "RESTORING";
  // the audit knows which request began it: that one can be followed, and cancelled
  const asked = new URLSearchParams({ source: one.source, decision: one.state.toLowerCase(), limit: 1 });
  const [found] = useRead(() => get(`audit?${asked}`), [`${asked}`]);
  const id = found?.entries[0]?.request_id;
  const title = t(back ? "banner.restoring" : "source.expiring");
  return html`<${Box} name=${t(`state.${one.state}`)} looks="moving">
    <div class="grow">
      <b role="status">${title}</b>
      <${Progress} progress=${one.progress} label=${title} />
      <p>${t(back ? "source.no.running" : "source.expiring.about")}</p>
      ${one.stuck.length > 0 && html`<p class="bad">
        ${t("source.stuck", { count: one.stuck.length, shards: one.stuck.map(num).join(", ") })}</p>`}
      ${one.failure && html`<${Failed} failure=${one.failure} />`}
    </div>
    ${!back && operate && html`<button onClick=${() => open("restore")}>${t("do.restore")}</button>`}
    ${id && html`<a class="button" href=${`#/requests/${encodeURIComponent(id)}`}>${t("source.event.request")}</a>`}
  </${Box}>`;
}

/** What a due time is computed from: "3 months after it was stopped"; "" if that is not known. */
export const dueFrom = (from) => from ? t(`source.since.${from.since}`, { period: period(from.period) }) : "";

/** The same as a sentence, behind the one that says when. */
export const dueNote = (from) => from ? ` ${t("source.since.note", { when: dueFrom(from) })}` : "";

function Restored({ one, explained }) {
  const until = one.due_at ? t("source.until", { date: due(one.due_at) }) : t("source.until.open");
  return html`<${Box} name=${t("source.restored.name")} looks="good">
    <div>
      <b role="status">${t("source.restored", { date: day(one.restored_at) })}</b>
      <p>${until}${one.due_at ? dueNote(explained?.due_from) : ""}</p>
    </div>
  </${Box}>`;
}

/** `one`: as GET /sources/KEY; `explained`: as its explanation, or null; `open`: shows a dialog. */
export function Banner({ one, explained, operate, open }) {
  if (one.legacy_deleted || one.state === "UNKNOWN") {
    return html`<${Box} name=${t("source.no")} looks="still"><div>
      <b>${t(one.legacy_deleted ? "source.legacy" : "state.UNKNOWN")}</b><p>${t(obstacle(one))}</p></div></${Box}>`;
  }
  if (one.state === "EXPIRED") return html`<${Expired} ...${{ one, explained, operate, open }} />`;
  if (!one.visible) return html`<${Moving} ...${{ one, operate, open }} />`;
  // later the facts have it
  const lately = one.restored_at && (one.due_at || Date.now() - one.restored_at < LATELY_MS);
  return lately ? html`<${Restored} one=${one} explained=${explained} />` : null;
}
