// The requests of this reader that run: they stay in sight, whichever view is open.

import { html, useEffect, useState } from "./htm.js";
import { live } from "./live.js";
import { short } from "./named.js";
import { Chip, Progress } from "./parts.js";
import { t } from "./texts.js";

const MOST = 3;
/** What has finished leaves by itself after so long; what failed stays until its reader has seen to it. */
const LEAVES_MS = 20_000;
/** So many are remembered; of more, those that came first are forgotten. */
const MOST_KEPT = 200;
/** Ids that this page has sent: their end is told too, however early it comes. */
const sent = new Set();
const own = new Map();
const named = new Map();
const news = new EventTarget();

const open = (request) => ["sent", "running"].includes(request.state);

function drop(id) {
  own.delete(id);
  named.delete(id);
}

function put(request) {
  own.set(request.request_id, request);
  while (own.size > MOST_KEPT) drop(own.keys().next().value);
  while (sent.size > MOST_KEPT) sent.delete(sent.values().next().value);
  news.dispatchEvent(new Event("news"));
}

/** Keep a request of this page in sight from now on. `name`: of its only source, if it has one. */
export function watch(request, name = "") {
  if (request.dry_run) return;
  sent.add(request.request_id);
  if (name) named.set(request.request_id, name);
  put(request);
}

function forget(id) {
  drop(id);
  news.dispatchEvent(new Event("news"));
}

/** Take the requests of an event that are this reader's and have something to show. */
function take(requests, who) {
  for (const request of requests) {
    const mine = sent.has(request.request_id) || (who.keys && request.actor === who.name);
    const shown = own.has(request.request_id) || open(request);
    if (mine && shown && !request.dry_run) put(request);
  }
}

const address = (request) => `#/requests/${encodeURIComponent(request.request_id)}`;

/** `still`: nothing leaves while somebody points at the list, has the focus in it, or cannot see it. */
function Line({ request, still }) {
  const { counts } = request;
  const leaves = request.state === "finished" && !still;
  useEffect(() => {
    if (!leaves) return undefined;
    const timer = setTimeout(() => forget(request.request_id), LEAVES_MS);
    return () => clearTimeout(timer);
  }, [leaves]);
  const done = counts.total - counts.running;
  const name = named.get(request.request_id);
  return html`<li>
    <a href=${address(request)}><b>${t(`type.${request.type}`)}</b>
      <span>${name ? html`<bdi>${short(name, 30)}</bdi>`
        : counts.total ? t("running.of", { done, count: counts.total }) : ""}</span></a>
    ${open(request)
      ? html`<${Progress} progress=${request.progress} label=${t(`type.${request.type}`)} />`
      : html`<${Chip} state=${request.state} />
        <button type="button" onClick=${() => forget(request.request_id)}>${t("running.dismiss")}</button>`}
  </li>`;
}

/** `shown`: the id of the request whose view is open, which needs no second place. */
export function Running({ who, shown }) {
  const [, draw] = useState(0);
  const [pointed, point] = useState(false);
  const [focused, focus] = useState(false);
  const [hidden, hide] = useState(document.hidden);
  useEffect(() => {
    const turned = () => hide(document.hidden);
    document.addEventListener("visibilitychange", turned);
    return () => document.removeEventListener("visibilitychange", turned);
  }, []);
  useEffect(() => {
    const told = (event) => take(event.detail.requests ?? [], who);
    const redraw = () => draw((n) => n + 1);
    live.addEventListener("change", told);
    news.addEventListener("news", redraw);
    return () => {
      live.removeEventListener("change", told);
      news.removeEventListener("news", redraw);
      // who signs in next is another reader
      for (const kept of [sent, own, named]) kept.clear();
    };
  }, [who.name]);
  useEffect(() => {
    // who has looked at the end of a request needs no word of it any more
    const known = own.get(shown);
    if (known && !open(known)) forget(shown);
  }, [shown]);
  const all = [...own.values()].filter((request) => request.request_id !== shown).reverse();
  // an empty list hears of no pointer that leaves it
  const some = all.length > 0;
  useEffect(() => {
    if (some) return;
    point(false);
    focus(false);
  }, [some]);
  if (!some) return null;
  return html`<aside class="running" aria-label=${t("running")}
    onMouseEnter=${() => point(true)} onMouseLeave=${() => point(false)}
    onfocusin=${() => focus(true)} onfocusout=${() => focus(false)}>
    <div role="status"><ul>${all.slice(0, MOST).map((request) =>
      html`<${Line} key=${request.request_id} request=${request} still=${pointed || focused || hidden} />`)}</ul></div>
    ${all.length > MOST && html`<a href="#/requests">${t("running.more", { count: all.length - MOST })}</a>`}
  </aside>`;
}
