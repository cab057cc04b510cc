// The list of sources: search, filters, order, pages, selection. The address has the whole view.

import { html, useEffect, useState } from "./htm.js";
import { get } from "./api.js";
import { Dialog } from "./dialog.js";
import { live } from "./live.js";
import { short } from "./named.js";
import { Pages, filtered } from "./pages.js";
import { Chip, Failure, Progress, STATES, Typed, interactions, reasons, useChanges, useLater, useRead } from "./parts.js";
import { Same } from "./same.js";
import { date, dueDate, num, size, t } from "./texts.js";

const ACTIONS = ["restore", "hold", "unhold", "expire"];
const SEVERAL = ["kind", "state", "tag"];
const NARROW = ["name", "kind", "tag"];
const ORDER = ["sort", "order", "cursor"];
const LIMIT = 50;
const AGAIN_MS = 1000;
const GROWN_MS = 1500;
/** The columns that an order can go by: its word for the server, its text, and how it is shown. */
const COLUMNS = [
  { by: "name", text: "name", first: "asc" },
  { by: "state", text: "state", first: "asc" },
  { by: "due_at", text: "due", first: "asc", look: "wide" },
  { by: "interactions", text: "interactions", first: "desc", look: "num" },
  { by: "bytes", text: "hot", first: "desc", look: "num wide" },
  { by: "archived_bytes", text: "archive", first: "desc", look: "num wide" },
  { by: "last_event_on", text: "sources.last", first: "desc", look: "wide" },
];

/** The filters of the address: as parameters of GET /sources, and as `match` of a command. */
function asked(query) {
  const found = new URLSearchParams({ limit: LIMIT });
  const match = {};
  const name = query.get("name");
  if (name) {
    found.set("name", name);
    match.name = name;
  }
  for (const one of SEVERAL) {
    const values = query.getAll(one).filter(Boolean);
    for (const value of values) found.append(one, value);
    if (values.length) match[one] = values;
  }
  for (const one of ORDER) if (query.get(one)) found.set(one, query.get(one));
  return { found: found.toString(), match };
}

const show = (query, changes) => { location.hash = filtered("#/sources", query, changes); };

function Search({ query, total }) {
  const tags = query.getAll("tag").filter(Boolean);
  const kind = query.get("kind") ?? "";
  const option = (value, text) => html`<option value=${value} selected=${kind === value}>${text}</option>`;
  const by = query.get("sort") ?? "";
  const order = ({ by: name, text }) => html`<option value=${name} selected=${by === name}>${t(text)}</option>`;
  const sorted = (event) => {
    const column = COLUMNS.find((one) => one.by === event.target.value);
    show(query, { sort: column?.by, order: column?.first });
  };
  const tagged = (event) => {
    const tag = event.target.value.trim();
    event.target.value = "";
    if (tag && !tags.includes(tag)) show(query, { tag: [...tags, tag] });
  };
  return html`<div class="bar" role="search">
    <${Typed} type="search" aria-label=${t("search")} placeholder=${t("search")} value=${query.get("name") ?? ""}
      onChange=${(event) => show(query, { name: event.target.value.trim() })} />
    <input class="by-tag" aria-label=${t("tag")} placeholder=${t("sources.tag")} onChange=${tagged} />
    <select aria-label=${t("kind")} onChange=${(event) => show(query, { kind: event.target.value })}>
      ${option("", t("kind.all"))}${["campaign", "canvas"].map((one) => option(one, t(`kind.${one}`)))}
    </select>
    <select class="narrow" aria-label=${t("sources.sort")} onChange=${sorted}>
      <option value="">${t("sources.sort")}</option>${COLUMNS.map(order)}
    </select>
    <small role="status">${total !== undefined && t("sources.count", { count: total })}</small>
  </div>
  ${tags.length > 0 && html`<div class="bar tags">${tags.map((tag) => html`<button type="button" class="tag"
      aria-label=${t("sources.untag", { tag })}
      onClick=${() => show(query, { tag: tags.filter((one) => one !== tag) })}>
      <bdi>${short(tag, 40)}</bdi> <span aria-hidden="true">${"\u00d7"}</span></button>`)}</div>`}`;
}

/** A button for each state that any source is in, with how many: several may be chosen. */
function States({ query }) {
  const chosen = query.getAll("state").filter(Boolean);
  const counts = live.totals?.sources ?? {};
  // the numbers are of all sources: beside other filters they would say something else than the list
  const narrowed = NARROW.some((name) => query.get(name));
  const turn = (state) => {
    const on = chosen.includes(state);
    show(query, { state: on ? chosen.filter((one) => one !== state) : [...chosen, state] });
  };
  const shown = STATES.filter((state) => counts[state] || chosen.includes(state));
  return html`<div class="bar states" role="group" aria-label=${t("state")}>
    <button type="button" aria-pressed=${chosen.length === 0} onClick=${() => show(query, { state: [] })}>
      ${t("state.all")}</button>
    ${shown.map((state) => html`<button type="button" key=${state} aria-pressed=${chosen.includes(state)}
      onClick=${() => turn(state)}>${t(`state.${state}`)}
      ${!narrowed && html`<small>${num(counts[state] ?? 0)}</small>`}</button>`)}
  </div>`;
}

const DIRECTIONS = { asc: "ascending", desc: "descending" };

/** A header cell that sorts: first the way that is asked for most, then the other way, then not. */
function Header({ column, query }) {
  const { by, text, first, look } = column;
  const now = query.get("sort") === by ? query.get("order") ?? "asc" : null;
  const other = first === "asc" ? "desc" : "asc";
  const next = now === null ? first : now === first ? other : "";
  const turn = () => show(query, { sort: next && by, order: next });
  return html`<th class=${look} aria-sort=${DIRECTIONS[now] ?? "none"} scope="col">
    <button type="button" class="sort" onClick=${turn}>${t(text)}<span aria-hidden="true">
      ${{ asc: " \u2191", desc: " \u2193" }[now] ?? ""}</span></button></th>`;
}

function Row({ one, names, on, turn, operate }) {
  const title = short(one.name || one.source, 120);
  const known = one.sizes;
  const moving = ["RESTORING", "EXPIRING"].includes(one.state);
  return html`<tr class=${on ? "on" : ""}>
    ${operate && html`<td><input type="checkbox" aria-label=${t("select.one", { name: title })} checked=${on}
      onChange=${turn} /></td>`}
    <td><a class="name" href=${`#/sources/${encodeURIComponent(one.source)}`}><bdi>${title}</bdi></a>
      <code title=${short(one.source, 200)}>${short(one.source, 80)}</code>
      ${(one.tags ?? []).length > 0 && html`<span class="tags">${one.tags.slice(0, 5).map((tag) => html`<a class="tag"
        href=${`#/sources?${new URLSearchParams({ tag })}`}><bdi>${short(tag, 30)}</bdi></a>`)}</span>`}</td>
    <td><${Chip} state=${one.state} />
      ${reasons(one, names).slice(0, 2).map((why) => html`<span class="why">${why}</span>`)}
      ${moving && html`<${Progress} progress=${one.progress} label=${t(`state.${one.state}`)} />`}</td>
    <td class="wide date">${one.due_at ? dueDate(one.due_at) : ""}</td>
    <td class="num">${known ? num(interactions(one)) : t("unknown")}</td>
    <td class="num wide">${known ? size(one.sizes.bytes) : t("unknown")}</td>
    <td class="num wide">${known ? size(one.sizes.archived_bytes) : t("unknown")}</td>
    <td class="wide date">${one.last_event_on ? date(Date.parse(one.last_event_on), "UTC") : ""}</td></tr>`;
}

/** What is chosen, and what can be done with it. `all`: everything that matches, also on other pages. */
function Chosen({ picked, all, total, page, choose, everything, open }) {
  const weight = picked.reduce((sum, one) => sum + (one.sizes ? interactions(one) : 0), 0);
  return html`<div class="actions" role="region" aria-label=${t("selection")}>
    <b>${all ? t("sources.all", { count: total }) : t("selected", { count: picked.length })}</b>
    ${!all && html`<span>${t("selected.sum", { count: weight })}</span>`}
    ${!all && page && total > picked.length && html`<button onClick=${everything}>
      ${t("sources.everything", { count: total })}</button>`}
    <span class="push"></span>
    ${ACTIONS.map((type) => html`<button class=${type === "restore" ? "primary" : ""} onClick=${() => open(type)}>
      ${t(`do.${type}`)}</button>`)}
    <button onClick=${() => choose(new Map())}>${t("clear")}</button></div>`;
}

/** Whether there are more or fewer sources in the chosen states than the page says, for some time. */
function useGrown(query, page) {
  const [grown, tell] = useState(false);
  const states = query.getAll("state").filter(Boolean);
  const counts = Object.entries(live.totals?.sources ?? {});
  const counted = counts.filter(([state]) => states.length === 0 || states.includes(state));
  const now = counted.reduce((sum, [, count]) => sum + count, 0);
  const known = page && live.totals && !NARROW.some((name) => query.get(name));
  const other = Boolean(known && page.total !== now);
  useEffect(() => {
    if (!other) return tell(false);
    // the stream is a little behind the page: that is no news
    const timer = setTimeout(() => tell(true), GROWN_MS);
    return () => clearTimeout(timer);
  }, [other]);
  return grown;
}

export function Sources({ query, operate }) {
  const { found, match } = asked(query);
  // the rows stay until those of another order or filter are there: `of` tells whose they are
  const list = () => get(`sources?${found}`).then((page) => ({ ...page, of: found }));
  const [page, error, again, set] = useRead(list, [found]);
  const [chosen, choose] = useState(new Map());
  const [all, takeAll] = useState(false);
  const [dialog, open] = useState(null);
  const later = useLater(again, AGAIN_MS);
  const filters = JSON.stringify(match);
  // what is chosen stays while one turns pages or sorts; other filters are another question
  useEffect(() => (choose(new Map()), takeAll(false)), [filters]);
  useChanges(({ sources = [] }) => {
    if (!page || !sources.length) return;
    const news = new Map(sources.map((one) => [one.source, one]));
    const before = new Map(page.sources.map((one) => [one.source, one.state]));
    const moved = sources.some((one) => before.has(one.source) && before.get(one.source) !== one.state);
    set({ ...page, sources: page.sources.map((one) => ({ ...one, ...news.get(one.source) })) });
    // sizes have changed too, and some may match no more
    if (moved) later();
  });
  const grown = useGrown(query, page);
  const rows = page?.sources ?? [];
  const turn = (source) => {
    const next = new Map(all ? rows.map((one) => [one.source, one]) : chosen);
    if (!next.delete(source.source)) next.set(source.source, source);
    takeAll(false);
    choose(next);
  };
  const whole = rows.length > 0 && (all || rows.every((one) => chosen.has(one.source)));
  const turnAll = () => {
    const next = new Map(chosen);
    for (const one of rows) whole ? next.delete(one.source) : next.set(one.source, one);
    takeAll(false);
    choose(next);
  };
  const clear = (next) => (takeAll(false), choose(next));
  const picked = [...chosen.values()];
  const body = !page
    ? !error && html`<p class="none" role="status">${t("loading")}</p>`
    : rows.length === 0
      ? html`<p class="none">${t(filters === "{}" ? "sources.empty" : "sources.none")}
        ${filters !== "{}" && html`<br /><a class="button" href="#/sources">${t("sources.reset")}</a>`}</p>`
      : html`<table class="sources" aria-busy=${page.of !== found}><thead><tr>
        ${operate && html`<th><input type="checkbox" aria-label=${t("select.page")} checked=${whole}
          onChange=${turnAll} /></th>`}
        ${COLUMNS.map((column) => html`<${Header} key=${column.by} column=${column} query=${query} />`)}</tr></thead>
      <tbody>${rows.map((one) => html`<${Row} key=${one.source} one=${one} names=${page.names} operate=${operate}
        on=${all || chosen.has(one.source)} turn=${() => turn(one)} />`)}</tbody></table>`;
  return html`<div class="head"><div><h1>${t("sources")}</h1><span class="soft">${t("sources.about")}</span></div></div>
    <${Failure} error=${error} again=${again} />
    <${Search} query=${query} total=${page?.total} />
    <${States} query=${query} />
    ${grown && html`<p class="notice" role="status">${t("sources.changed")}
      <button type="button" onClick=${again}>${t("sources.show")}</button></p>`}
    ${page?.missing_shards?.length > 0 && html`<p class="notice" role="status">${t("sources.missing")}</p>`}
    <div class="panel flush over">${body}</div>
    <${Pages} path="#/sources" query=${query} next=${page?.next} />
    <${Same} paths=${[`sources?${found}`]} />
    ${(picked.length > 0 || all) && html`<${Chosen} picked=${picked} all=${all} total=${page?.total ?? 0} page=${whole}
      choose=${clear} everything=${() => takeAll(true)} open=${open} />`}
    ${dialog && html`<${Dialog} type=${dialog} sources=${picked} match=${all ? match : undefined}
      close=${() => open(null)} />`}`;
}
