// Requests: all of them, and one with its sources.

import { html, useState } from "./htm.js";
import { get, quoted } from "./api.js";
import { Dialog } from "./dialog.js";
import { actor, isolated, short } from "./named.js";
import { Pages, filtered } from "./pages.js";
import { Chip, Failure, Moment, Progress, Reasons, refusal, useChanges, useLater, useRead } from "./parts.js";
import { Same } from "./same.js";
import { duration } from "./spans.js";
import { clock, date, due, moment, num, size, t } from "./texts.js";

const STATES = ["running", "finished", "failed"];
const TYPES = ["restore", "hold", "unhold", "expire", "cancel", "pause", "resume", "confirm", "erase"];
const COUNTED = ["running", "completed", "already", "refused", "failed"];
const AGAIN = ["restore", "hold", "unhold", "expire"];
const LIMIT = 50;
const AGAIN_MS = 500;
/** States in which no answer has the data of a source. */
const AWAY = ["EXPIRING", "EXPIRED"];
const LOOKS = { completed: "active", failed: "bad", refused: "bad" };

const address = (id) => `#/requests/${encodeURIComponent(id)}`;
const underWay = (one) => ["running", "sent"].includes(one.state);

function Choice({ name, label, every, words, query }) {
  const go = (event) => {
    location.hash = filtered("#/requests", query, { [name]: event.target.value });
  };
  const option = ([value, text]) =>
    html`<option value=${value} selected=${(query.get(name) ?? "") === value}>${text}</option>`;
  return html`<select aria-label=${label} onChange=${go}>${[["", every], ...words].map(option)}</select>`;
}

/** What it is about: its source, or one of them and how many more. */
function about({ first, counts }) {
  if (!first) return "";
  const name = isolated(short(first.name || first.source, 40));
  return counts.total > 1 ? t("requests.first.more", { name, count: counts.total - 1 }) : name;
}

/** Which sources, how many of them are over, and how: Spring sale and 13 more, 12 of 14, 2 refused. */
function Done({ one }) {
  const { counts } = one;
  if (!counts.total) return "";
  const bad = ["refused", "failed"].filter((name) => counts[name]);
  return html`${about(one)}
    <span class="why">${t("requests.done", { done: counts.total - counts.running, total: counts.total })}</span>
    ${bad.map((name) => html`<span class="why bad">${t(`requests.${name}`, { count: counts[name] })}</span>`)}`;
}

/** How long a request took, in words; "" while it is under way. */
function took(one) {
  if (underWay(one)) return "";
  const ms = one.changed_at - one.time;
  return ms < 1_000 ? t("requests.instant") : duration(ms / 1_000);
}

/** When it ended, with few letters: the day is told if it is another one than that of the question. */
const ended = (one) => (date(one.time) === date(one.changed_at) ? clock(one.changed_at) : moment(one.changed_at));

function Line({ one }) {
  return html`<tr>
    <td><a class="name" href=${address(one.request_id)}>
        ${t(`type.${one.type}`)}${one.dry_run ? ` (${t("dry")})` : ""}</a>
      <code class="wide">${short(one.request_id, 40)}</code></td>
    <td><${Chip} state=${one.state} />
      ${one.state === "running" && html`<${Progress} progress=${one.progress} label=${t("state.running")} />`}</td>
    <td><${Done} one=${one} /></td>
    <td class="wide"><bdi>${one.actor ? actor(one.actor) : ""}</bdi></td>
    <td class="wide"><bdi>${short(one.reason ?? "", 200)}</bdi></td>
    <td><${Moment} ms=${one.time} />
      ${!underWay(one) && html`<span class="why">
        ${t("requests.over", { time: ended(one), period: took(one) })}</span>`}</td></tr>`;
}

export function Requests({ query }) {
  const asked = new URLSearchParams({ limit: LIMIT });
  if (!query.get("dry_run")) asked.set("dry_run", "false");
  for (const name of ["state", "type", "cursor"]) if (query.get(name)) asked.set(name, query.get(name));
  const [page, error, again, set] = useRead(() => get(`requests?${asked}`), [asked.toString()]);
  const later = useLater(again, AGAIN_MS);
  useChanges(({ requests = [] }) => {
    if (!page || !requests.length) return;
    const known = new Map(page.requests.map((one) => [one.request_id, one]));
    const other = (one) => !known.has(one.request_id) || known.get(one.request_id).state !== one.state;
    const counted = requests.filter((one) => query.get("dry_run") || !one.dry_run);
    if (counted.some(other)) later();
    const news = new Map(counted.map((one) => [one.request_id, one]));
    set({ ...page, requests: page.requests.map((one) => news.get(one.request_id) ?? one) });
  });
  const rows = page?.requests ?? [];
  const narrowed = ["state", "type"].some((name) => query.get(name));
  const dry = (event) => {
    location.hash = filtered("#/requests", query, { dry_run: event.target.checked ? "true" : "" });
  };
  const columns = [["request"], ["state"], ["sources"], ["actor", "wide"], ["reason", "wide"], ["requests.asked"]];
  const body = !page
    ? !error && html`<p class="none" role="status">${t("loading")}</p>`
    : rows.length === 0
      ? html`<p class="none">${t(narrowed ? "requests.nothing" : "requests.none")}</p>`
      : html`<table class="requests"><thead><tr>
        ${columns.map(([name, look]) => html`<th class=${look} scope="col">${t(name)}</th>`)}</tr></thead>
        <tbody>${rows.map((one) => html`<${Line} key=${one.request_id} one=${one} />`)}</tbody></table>`;
  return html`<div class="head"><div><h1>${t("requests")}</h1>
      <span class="soft">${t("requests.about")}</span></div></div>
    <${Failure} error=${error} again=${again} />
    <div class="bar" role="search">
      <${Choice} name="state" label=${t("state")} every=${t("state.all")} query=${query}
        words=${STATES.map((one) => [one, t(`state.${one}`)])} />
      <${Choice} name="type" label=${t("requests.type")} every=${t("requests.types")} query=${query}
        words=${TYPES.map((one) => [one, t(`type.${one}`)])} />
      <label class="check"><input type="checkbox" checked=${Boolean(query.get("dry_run"))} onChange=${dry} />
        ${t("requests.dry")}</label>
    </div>
    <div class="panel flush over">${body}</div>
    <${Pages} path="#/requests" query=${query} next=${page?.next} />
    <${Same} commands=${["emberline restores"]} paths=${[`requests?${asked}`]} />`;
}

/** A button for each outcome that any source has: it shows these sources only. */
function Outcomes({ one, query }) {
  const chosen = query.get("outcome") ?? "";
  const link = (name, count) => html`<a class="button" aria-current=${chosen === name ? "true" : null}
    href=${filtered(address(one.request_id), query, { outcome: name })}>
    ${t(name ? `requests.outcome.${name}` : "requests.outcome.all")} <small>${num(count)}</small></a>`;
  const some = COUNTED.filter((name) => one.counts[name] || chosen === name);
  return html`<nav class="bar states within" aria-label=${t("outcome")}>
    ${link("", one.counts.total)}${some.map((name) => link(name, one.counts[name]))}</nav>`;
}

/** The text of a source's result: made from its code and its state. */
function Result({ part, type }) {
  const why = refusal(part, type);
  const word = part.already ? "already" : part.outcome;
  return html`<span class=${`chip ${part.already ? "" : LOOKS[part.outcome] ?? "moving"}`}>
      ${t(part.already ? "requests.outcome.already" : `outcome.${word}`)}</span>
    ${why && html`<span class="why">${why}</span>`}
    ${part.outcome === "progress" && html`<${Progress} progress=${part.progress}
      label=${part.name || part.source} />`}`;
}

/** `dry`: a dry run has changed nothing, so until when the data is available is no result of it. */
function Part({ part, type, dry }) {
  const until = part.available_until
    ? t("available.until", { date: due(part.available_until) })
    : part.available_because ? t("available.open") : AWAY.includes(part.state) ? t("available.not") : "";
  return html`<tr>
    <td><a class="name" href=${`#/sources/${encodeURIComponent(part.source)}`}>
        <bdi>${short(part.name || part.source, 120)}</bdi></a>
      <code>${short(part.source, 80)}</code></td>
    <td><${Result} part=${part} type=${type} /></td>
    ${!dry && html`<td>${until}</td>`}</tr>`;
}

function Parts({ one }) {
  if (one.sources.length === 0) return html`<p class="none">${t("requests.counted")}</p>`;
  const head = (name) => html`<th scope="col">${t(name)}</th>`;
  const columns = ["name", "outcome", ...(one.dry_run ? [] : ["available"])];
  return html`<table><thead><tr>${columns.map(head)}</tr></thead>
    <tbody>${one.sources.map((part) => html`<${Part} key=${part.source} part=${part} type=${one.type}
      dry=${one.dry_run} />`)}</tbody>
  </table>`;
}

function Effect({ effect }) {
  return html`<p class="soft">${t("requests.effect", {
    count: effect.sources,
    interactions: num(effect.interactions),
    size: size(effect.bytes),
  })}</p>`;
}

export function OneRequest({ name: id, query, operate }) {
  const asked = new URLSearchParams({ limit: LIMIT });
  for (const name of ["outcome", "cursor"]) if (query.get(name)) asked.set(name, query.get(name));
  const path = `requests/${encodeURIComponent(id)}?${asked}`;
  const [one, error, again] = useRead(() => get(path), [path]);
  const [dialog, open] = useState(null);
  const later = useLater(again, AGAIN_MS);
  useChanges(({ requests = [], sources = [] }) => {
    const parts = new Set((one?.sources ?? []).map((part) => part.source));
    if (requests.some((each) => each.request_id === id) || sources.some((each) => parts.has(each.source))) later();
  });
  if (!one) {
    if (!error) return html`<p class="none" role="status">${t("loading")}</p>`;
    if (error.code !== "unknown_request") return html`<${Failure} error=${error} again=${again} />`;
    return html`<p class="none">${t("requests.unknown")}<br />
      <a class="button" href="#/requests">${t("requests")}</a></p>`;
  }
  const { counts } = one;
  const missed = counts.refused + counts.failed;
  const retry = !underWay(one) && !one.dry_run && missed > 0 && AGAIN.includes(one.type);
  const facts = [
    [t("actor"), one.actor && html`<bdi>${actor(one.actor)}</bdi>`],
    [t("reason"), one.reason && html`<bdi>${one.reason}</bdi>`],
    [t("tag"), one.tag && html`<bdi>${one.tag}</bdi>`],
    [t("requests.notify"), one.notify?.length > 0 && html`<bdi>${one.notify.join(", ")}</bdi>`],
    [t("requests.asked"), html`<${Moment} ms=${one.time} />`],
    [t("requests.ended"), !underWay(one) && html`<${Moment} ms=${one.changed_at} />`],
    [t("requests.took"), took(one)],
  ];
  const done = counts.total - counts.running;
  return html`<div class="head"><div><small><a href="#/requests">${t("requests")}</a></small>
      <h1>${t(`type.${one.type}`)}${one.dry_run ? ` (${t("dry")})` : ""}</h1>
      <code>${one.request_id}</code> <${Chip} state=${one.state} /></div>
    ${operate && html`<div class="bar">
      ${one.state === "running" && one.type !== "erase" && html`<button onClick=${() => open("cancel")}>${t("do.cancel")}</button>`}
      ${retry && html`<button class="primary" onClick=${() => open("retry")}>${t("do.retry")}</button>`}</div>`}</div>
    <${Failure} error=${error} again=${again} />
    ${underWay(one) && html`<div class="banner" role="status"><div>
      <b>${one.state !== "sent" && !counts.total ? html`<bdi>${one.message}</bdi>`
        : t(one.state === "sent" ? "requests.sent" : "under_way", { done, count: counts.total })}</b>
      <${Progress} progress=${one.progress} label=${t("state.running")} /></div></div>`}
    ${one.effect && html`<${Effect} effect=${one.effect} />`}
    <section class="panel request" aria-label=${t("facts")}>
      <dl>${facts.filter(([, value]) => value).map(([label, value]) => html`<dt>${label}</dt><dd>${value}</dd>`)}</dl>
      <${Reasons} reasons=${one.reasons} type=${one.type} dry=${one.dry_run} />
    </section>
    ${counts.total > 0 && html`<${Outcomes} one=${one} query=${query} />
    <div class="panel flush over"><${Parts} one=${one} /></div>
    <${Pages} path=${address(id)} query=${query} next=${one.next} />`}
    <${Same} commands=${one.type === "restore" ? [`emberline restores --follow -- ${quoted(id)}`] : []}
      paths=${[path]} />
    ${dialog === "cancel" && html`<${Dialog} type="cancel" request=${id} sent=${again} close=${() => open(null)} />`}
    ${dialog === "retry" && html`<${Dialog} type=${one.type} match=${{ request: id }} close=${() => open(null)} />`}`;
}
