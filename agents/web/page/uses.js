// Why a source is hot: what uses it, as a drawing and as a list, and what would change if that stopped today.

import { html, useEffect, useState } from "./htm.js";
import { get, quoted } from "./api.js";
import { dueNote } from "./banner.js";
import { BOX, drawing } from "./graph.js";
import { actor, isolated, kindOf, short } from "./named.js";
import { Chip, Failure } from "./parts.js";
import { Same } from "./same.js";
import { due, language, t } from "./texts.js";

/** What the rules say instead of a filter where a definition cannot be read. */
const UNREADABLE = "unreadable definition";
/** And where one lists the source as what it uses. */
const REFERENCES = "references";
/** The rules name the nearest roots only. */
const MOST_ROOTS = 10;

const filterText = (name) => {
  if (name === UNREADABLE) return t("source.filter.unreadable");
  if (name === REFERENCES) return t("source.filter.references");
  return t(`audience.filter.${name}`);
};

export const pathOf = (source, stopped = []) => {
  const asked = new URLSearchParams(stopped.map((key) => ["as_if_stopped", key]));
  return `sources/${encodeURIComponent(source)}/explain${stopped.length ? `?${asked}` : ""}`;
};

/** Kind and name within a sentence. */
const called = (names, key) => `${kindOf(key)} ${isolated(short(names[key] || key))}`;

/** What would become of the source. */
function outcome(then, names) {
  if (then.state === "STOPPED" && then.due_at !== null) {
    const late = then.due_at <= Date.now();
    const when = late ? t("source.then.sweep") : t("source.then.due", { date: due(then.due_at) });
    return late ? when : when + dueNote(then.due_from);
  }
  if (then.state === "EXEMPT" && then.exempt_by.length) {
    return t("source.then.used", { by: called(names, then.exempt_by[0].root) });
  }
  if (then.state === "HELD" && then.held) return t("source.then.held", { by: isolated(actor(then.held.by)) });
  if (then.state === "ACTIVE") return t("source.then.active");
  return t("source.then.state", { state: t(`state.${then.state}`) });
}

/** A change that could happen today, and what would follow. */
function Then({ change, names, asked }) {
  const what = asked ?? t(`source.if.${change.code}`);
  return html`<p class="then"><b>${what}</b> ${outcome(change, names)} <${Chip} state=${change.state} /></p>`;
}

function Drawing({ explained, stopped, turn }) {
  const { nodes, edges, width, height } = drawing(explained.source, explained.reasons);
  const names = explained.names;
  const node = ({ key, x, y, root }) => html`<foreignObject key=${key} x=${x} y=${y} width=${BOX.width} height=${BOX.height}>
    <div class=${`box ${key === explained.source ? "own" : ""} ${root ? "root" : ""} ${stopped.has(key) ? "off" : ""}`}
      onClick=${root ? () => turn(key) : null}>
      <small>${kindOf(key)}</small><b dir="auto">${short(names[key] || key, 80)}</b></div></foreignObject>`;
  return html`<div class="over graph" aria-hidden="true"><svg width=${width} height=${height}
    viewBox=${`0 0 ${width} ${height}`}>
    <defs><marker id="head" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" markerHeight="7" orient="auto">
      <path d="M0 0L8 4L0 8Z" /></marker></defs>
    ${edges.map(({ from, to, path }) => html`<path key=${`${from} ${to}`} class=${stopped.has(from) ? "edge off" : "edge"}
      d=${path} marker-end="url(#head)" />`)}
    ${nodes.map(node)}
  </svg></div>`;
}

const Link = ({ names, at }) => at.startsWith("campaign:") || at.startsWith("canvas:")
  ? html`<a class="more" dir="auto" href=${`#/sources/${encodeURIComponent(at)}`}>${short(names[at] || at)}</a>`
  : html`<bdi>${short(names[at] || at)}</bdi>`;

/** One root: each use from it to the source, and what would be if it stopped. */
function Root({ reason, names, on, turn }) {
  // a filter may name the same thing at several places
  const links = [...new Map(reason.links.map((link) => [`${link.definition} ${link.target} ${link.filter}`, link])).values()];
  const use = ({ definition, filter, target }) => html`<li key=${`${definition} ${target} ${filter}`}>
    <${Link} names=${names} at=${definition} /> ${" \u2192 "} <${Link} names=${names} at=${target} />
    <small> (${filterText(filter)})</small></li>`;
  return html`<li class=${on ? "off" : ""}>
    <div class="cond"><span class="grow"><b>${kindOf(reason.root)}</b> <${Link} names=${names} at=${reason.root} /></span>
      <button aria-pressed=${on} onClick=${turn} aria-label=${`${t("source.what_if")} (${short(names[reason.root] || reason.root)})`}>
        ${t("source.what_if")}</button></div>
    ${links.length > 0 ? html`<ul class="chain">${links.map(use)}</ul>`
      : html`<small>${filterText(reason.filter)}</small>`}</li>`;
}

/** `explained`: as GET /sources/KEY/explain, or null; `error`: why there is none; `restorable`: whether a restore can be. */
export function Uses({ source, explained, error, again, restorable, children }) {
  const [stopped, stop] = useState(new Set());
  const [answer, tell] = useState(null);
  const [trouble, fail] = useState(null);
  const asked = [...stopped];
  const turn = (key) => {
    const next = new Set(stopped);
    if (!next.delete(key)) next.add(key);
    stop(next);
  };
  useEffect(() => {
    let here = true;
    tell(null);
    if (asked.length) {
      const heard = (found) => here && (tell(found), fail(null));
      get(pathOf(source, asked)).then(heard, (why) => here && fail(why));
    }
    return () => { here = false; };
  }, [asked.join("\n"), explained]);
  const { reasons = [], names = {}, changes = [] } = explained ?? {};
  // what would be if a root stopped is asked with its button
  const told = ({ code, definitions }) =>
    code === "restored" ? restorable : code !== "stopped" || definitions[0] === source;
  const others = changes.filter(told);
  const list = new Intl.ListFormat(language);
  const said = asked.length && t("source.if.as_if", { names: list.format(asked.map((key) => called(names, key))) });
  const flags = asked.map((key) => ` --as-if-stopped ${quoted(key)}`).join("");
  return html`<section class="panel uses" aria-labelledby="uses">
    <h2 id="uses">${t("why")}</h2>
    <${Failure} error=${error ?? trouble} again=${again} />
    ${children}
    ${reasons.length > 0 && html`<${Drawing} explained=${explained} stopped=${stopped} turn=${turn} />
      <ul class="roots" aria-label=${t("source.roots")}>${reasons.map((reason) => html`<${Root} key=${reason.root}
        reason=${reason} names=${names} on=${stopped.has(reason.root)} turn=${() => turn(reason.root)} />`)}</ul>
      ${reasons.length >= MOST_ROOTS && html`<p><small>${t("source.roots.most", { count: MOST_ROOTS })}</small></p>`}`}
    <div role="status">
      ${answer?.as_if && asked.length > 0 && html`<${Then} change=${answer.as_if} names=${{ ...names, ...answer.names }} asked=${said} />`}
    </div>
    ${others.map((change) => html`<${Then} key=${change.code} change=${change} names=${names} />`)}
    <${Same} commands=${[`emberline explain ${quoted(source)}${flags}`]} paths=${[pathOf(source, asked)]} />
  </section>`;
}
