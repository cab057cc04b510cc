// What could not be read, and what could not be delivered: read when the view opens, and when asked.

import { html, useState } from "./htm.js";
import { call, get, quoted } from "./api.js";
import { Failure, Moment, useLater, useRead } from "./parts.js";
import { Same } from "./same.js";
import { clock, num, t } from "./texts.js";

const SINCE_MS = 86_400_000;
const MOST = 5;

/** Codes that have a remedy in each language; of another one the worker's own is shown. */
const CODES = [
  "bad_json", "bad_key", "bad_merge", "bad_time", "missing_field", "protobuf", "too_large", "too_long",
  "two_sources", "undecodable", "unknown_schema", "unmapped",
];

const Remedy = ({ code, remedy }) => (CODES.includes(code) ? t(`system.remedy.${code}`) : html`<span lang="en">${remedy ?? ""}</span>`);

function Sample({ one }) {
  return html`<tr><td><code>${one.code}</code></td><td><${Topic} name=${one.topic} />
      <span class="why">${t("system.offset", { partition: one.partition, offset: one.offset })}</span></td>
    <td><bdi>${one.user ?? t("unknown")}</bdi><span class="why" lang="en"><bdi>${one.detail.slice(0, 300)}</bdi></span></td>
    <td><code>${one.value.slice(0, 200)}</code></td><td><${Moment} ms=${one.time} /></td></tr>`;
}

/** A topic's name, which may break behind its dots and nowhere else. */
const Topic = ({ name }) => html`<code>${name.split(/(?<=\.)/).map((part) => html`${part}<wbr />`)}</code>`;

const place = (samples) => `rejected?since=${Date.now() - SINCE_MS}${samples ? `&samples=${MOST}` : ""}`;

/** `samples`: whether the reader may see records, which name users. */
export function Rejected({ samples }) {
  const [shown, show] = useState(false);
  const read = async () => ({ at: Date.now(), ...(await get(place(shown))) });
  const [found, error, again] = useRead(read, [shown]);
  const counts = found?.counts ?? [];
  return html`<section aria-label=${t("system.rejected")}>
    <div class="bar"><h2>${t("system.rejected")} ${found && html`<small class="soft">${t("system.as_of", { time: clock(found.at) })}</small>`}</h2>
      <span class="push"></span>
      ${samples && counts.length > 0 && html`<button aria-expanded=${shown} onClick=${() => show(!shown)}>
        ${t(shown ? "system.samples.hide" : "system.samples")}</button>`}
      <button onClick=${again}>${t("system.refresh")}</button></div>
    <${Failure} error=${error} again=${again} />
    ${!found && !error && html`<p class="none" role="status">${t("loading")}</p>`}
    ${found && html`<div class="panel flush over" tabindex="0">
      ${counts.length === 0 ? html`<p class="none">${t("system.rejected.none")}</p>` : html`<table>
      <thead><tr><th>${t("reason")}</th><th>${t("system.topic")}</th><th class="num">${t("system.records")}</th>
        <th>${t("system.last")}</th><th>${t("system.remedy")}</th></tr></thead>
      <tbody>${counts.map((one) => html`<tr key=${`${one.code} ${one.topic}`}><td><code>${one.code}</code></td>
        <td><${Topic} name=${one.topic} /></td><td class="num">${num(one.count)}</td><td><${Moment} ms=${one.last} /></td>
        <td><${Remedy} ...${one} /></td></tr>`)}</tbody></table>`}</div>
    ${!found.complete && html`<p class="why">${t("system.rejected.part")}</p>`}
    ${!samples && counts.length > 0 && html`<p class="why">${t("system.samples.forbidden")}</p>`}
    ${shown && found.samples.length > 0 && html`<div class="panel flush over" tabindex="0"><table>
      <caption>${t("system.samples.caption")}</caption>
      <thead><tr><th>${t("reason")}</th><th>${t("system.topic")}</th><th>${t("system.user")}</th><th>${t("system.value")}</th>
        <th>${t("time")}</th></tr></thead>
      <tbody>${found.samples.map((one) => html`<${Sample} key=${`${one.topic} ${one.partition} ${one.offset}`} one=${one} />`)}</tbody>
    </table></div>`}
    <${Same} commands=${["emberline rejected"]} paths=${[shown ? `rejected?samples=${MOST}` : "rejected"]} />`}
  </section>`;
}

const LOOKS = { failed: "bad", pending: "moving" };
const KINDS = {
  "request.finished": "system.notice.request",
  "sources.expiring_soon": "system.notice.expiring",
  "work.stuck": "system.notice.stuck",
  "sweep.waiting": "system.notice.sweep",
  test: "system.notice.test",
};

/** The notifier has read an order a moment after it was given. */
const READ_MS = 1_000;

/** Mail and webhooks that wait or failed, and buttons that try again what failed. */
export function Undelivered() {
  const [found, error, again] = useRead(async () => ({ at: Date.now(), ...(await get("notifications")) }), []);
  const [refused, fail] = useState(null);
  const [told, tell] = useState(null);
  const [busy, work] = useState(false);
  const later = useLater(again, READ_MS);
  const all = found?.deliveries ?? [];
  const failed = found?.counts.failed ?? 0;
  const retry = async (body) => {
    work(true);
    fail(null);
    try {
      tell((await call("POST", "notifications/retry", body)).retried.length);
      later();
    } catch (why) {
      fail(why);
    }
    work(false);
  };
  const base = new URL(".", location.href).href.split("#")[0];
  const post = `curl -X POST ${quoted(`${base}notifications/retry`)} -H 'Authorization: Bearer KEY' `
    + `-H 'Content-Type: application/json' -d ${quoted('{"all":true}')}`;
  const commands = ["emberline notify list", ...(failed ? ["emberline notify retry --all", post] : [])];
  const row = (one) => html`<tr key=${one.id}><td><bdi>${one.to.slice(0, 120)}</bdi></td>
    <td>${t(KINDS[one.type] ?? "unknown")}</td>
    <td><span class=${`chip ${LOOKS[one.state] ?? ""}`}>${t(`system.delivery.${one.state}`)}</span>
      ${one.error && html`<span class="why" lang="en"><bdi>${one.error.slice(0, 300)}</bdi></span>`}
      ${one.next_at && html`<span class="why">${t("system.next_try")} <${Moment} ms=${one.next_at} /></span>`}</td>
    <td class="num">${num(one.attempts)}</td><td><${Moment} ms=${one.created} /></td>
    <td>${one.state === "failed" && html`<button disabled=${busy} onClick=${() => retry({ ids: [one.id] })}
      aria-label=${t("system.retry.one", { to: one.to.slice(0, 120) })}>${t("system.retry")}</button>`}</td></tr>`;
  return html`<section aria-label=${t("system.notices")}>
    <div class="bar"><h2>${t("system.notices")} ${found && html`<small class="soft">${t("system.as_of", { time: clock(found.at) })}</small>`}</h2>
      <span class="push"></span>
      ${failed > 1 && html`<button disabled=${busy} onClick=${() => retry({ all: true })}>
        ${t("system.retry.all", { count: failed })}</button>`}
      <button onClick=${again}>${t("system.refresh")}</button></div>
    <${Failure} error=${error} again=${again} />
    <${Failure} error=${refused} />
    <p role="status" class="soft">${told !== null && t("system.retry.told", { count: told })}</p>
    ${found && html`<div class="panel flush over" tabindex="0">
      ${all.length === 0 ? html`<p class="none">${t("system.notices.none", { count: found.counts.sent })}</p>` : html`<table>
      <thead><tr><th>${t("system.recipient")}</th><th>${t("system.notice")}</th><th>${t("state")}</th>
        <th class="num">${t("system.attempts")}</th><th>${t("time")}</th>
        <th>${t("system.remedy")}</th></tr></thead>
      <tbody>${all.map(row)}</tbody></table>`}</div>
    <${Same} commands=${commands} paths=${["notifications"]} />`}
  </section>`;
}
