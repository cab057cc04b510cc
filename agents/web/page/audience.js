// The audience: a filter as a form, how many users match it, what keeps it from being answered, its result.

import { html, useEffect, useRef, useState } from "./htm.js";
import { get } from "./api.js";
import { Blocked, LeftOut, useStates } from "./audience-blocked.js";
import { MOST_PARTS, conditions, useCount } from "./audience-count.js";
import { faultsOf } from "./audience-faults.js";
import { Form, Starts } from "./audience-form.js";
import { useNamed } from "./audience-names.js";
import { Elsewhere, Result } from "./audience-share.js";
import { EMPTY, leaves, levels, missing, shape, tooDeep, unshown } from "./audience-tree.js";
import { isolated, short } from "./named.js";
import { Failure, may, useRead } from "./parts.js";
import { address as userAt } from "./users-place.js";
import { clock, num, t } from "./texts.js";

const WRITE_MS = 300;
const FIRST_COLUMNS = ["user_id"];

/** The audience that an address asks for: { tree, exclude, columns, broken }. */
function wanted(query) {
  const columns = query.get("columns")?.split(",").filter(Boolean) ?? FIRST_COLUMNS;
  const rest = { exclude: query.get("on_expired") === "exclude", columns };
  const text = query.get("filter");
  try {
    const tree = text ? JSON.parse(text) : EMPTY;
    return tooDeep(tree) ? { ...rest, tree: EMPTY, broken: text } : { ...rest, tree, broken: null };
  } catch {
    return { ...rest, tree: EMPTY, broken: text };
  }
}

function address({ tree, exclude, columns }) {
  const query = new URLSearchParams({ filter: JSON.stringify(tree) });
  if (exclude) query.set("on_expired", "exclude");
  if (columns.join() !== FIRST_COLUMNS.join()) query.set("columns", columns.join(","));
  return `#/audience?${query}`;
}

/**
 * The audience of the address, and how to change it. Each change is an entry of the browser's history, so
 * "back" takes it back; what somebody is typing replaces the entry.
 */
function useAddress(query) {
  const [state, set] = useState(() => wanted(query));
  const written = useRef(query.toString());
  const timer = useRef(0);
  useEffect(() => {
    if (query.toString() === written.current) return;
    written.current = query.toString();
    set(wanted(query));
  }, [query.toString()]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const change = (facts, typed) => {
    const next = { ...state, broken: null, ...facts };
    set(next);
    clearTimeout(timer.current);
    const write = () => {
      const found = address(next);
      written.current = new URLSearchParams(found.split("?")[1]).toString();
      if (typed) location.replace(found);
      else location.hash = found;
    };
    if (typed) timer.current = setTimeout(write, WRITE_MS);
    else write();
  };
  return [state, change];
}

const describedOf = (filters, node) => filters.find((one) => one.filter === node.filter);

const isEmpty = (tree) => JSON.stringify(tree) === JSON.stringify(EMPTY);

const question = (tree, exclude) => ({ filter: tree, on_expired: exclude ? "exclude" : "refuse" });

/** What can be asked now: null while there is no condition, or one of them is not complete. */
function askable(tree, exclude, filters) {
  if (isEmpty(tree)) return null;
  const open = leaves(tree).some(({ node }) => {
    const described = shape(node) === "leaf" && describedOf(filters, node);
    return described && missing(node, described).length > 0;
  });
  return open ? null : question(tree, exclude);
}

/** How many parts of a filter no form shows. */
function strange(tree, filters) {
  return leaves(tree).filter(({ node }) => {
    const described = shape(node) === "leaf" && describedOf(filters, node);
    return !described || unshown(node, described).length > 0;
  }).length;
}

/** The field of a leaf that names a source or a segment; undefined without one. */
function owner(node, filters, types) {
  const described = shape(node) === "leaf" ? describedOf(filters, node) : undefined;
  return described?.fields.find(({ type }) => types.includes(type));
}

/** The keys of the sources that a filter names itself. */
function named(tree, filters) {
  return leaves(tree).flatMap(({ node }) => {
    const field = owner(node, filters, ["campaign", "canvas"]);
    const text = field && node[field.name];
    if (typeof text !== "string" || !text) return [];
    return [text.startsWith(`${field.type}:`) ? text : `${field.type}:${text}`];
  });
}

/** A condition in a few words: its filter and what it names. */
function Short({ node, filters }) {
  const known = shape(node) === "leaf" && describedOf(filters, node);
  const field = owner(node, filters, ["campaign", "canvas", "segment"]);
  const one = useNamed(field?.type, field && node[field.name]);
  const name = field ? one?.name || node[field.name] : node?.tag;
  const text = known ? t(`audience.filter.${node.filter}`) : t("audience.other");
  const says = typeof name === "string";
  return html`${node?.has === false && html`<b>${t("audience.not")} </b>`}
    ${says ? t("audience.quoted", { filter: text, name: isolated(short(name)) }) : text}`;
}

function Contributions({ tree, filters, state, more, all }) {
  const keys = conditions(tree);
  if (!keys.length) return null;
  const { parts, everybody } = state;
  const asked = more ? keys.length : Math.min(keys.length, MOST_PARTS);
  const most = everybody ?? Math.max(1, ...[...parts.values()].map((part) => part.count ?? 0));
  const row = (key) => {
    const part = parts.get(key);
    const count = part?.count;
    const pending = t(part?.error ? "audience.waits" : "audience.counting");
    return html`<li key=${key}><span><${Short} node=${JSON.parse(key)} filters=${filters} /></span>
      <b class=${count === undefined ? "soft" : ""}>${count === undefined ? pending : num(count)}</b>
      <meter min="0" max=${Math.max(most, 1)} value=${count ?? 0} aria-label=${t("audience.alone")}></meter></li>`;
  };
  return html`<h2>${t("audience.contributions")}</h2>
    <ul class="shares">${keys.slice(0, asked).map(row)}</ul>
    ${asked < keys.length && html`<button type="button" onClick=${all}>
      ${t("audience.count_more", { count: keys.length - asked })}</button>`}
    <p class="soft">${everybody !== null && t("audience.everybody", { count: everybody })}
      ${" "}${t("audience.questions", { count: asked + 2 })}</p>`;
}

function Sample({ answer, rows }) {
  // without the right to see users there is none, and the part for files says so
  if (!rows || !answer.users.length) return null;
  return html`<h2>${t("audience.sample")}</h2>
    <ul class="sample">${answer.users.map((user) => html`<li key=${user}>
      <a href=${userAt(user, "user")}><code><bdi>${short(user)}</bdi></code></a></li>`)}
    </ul>
    <p class="soft">${t("audience.one_pin")}</p>`;
}

function Count({ state, asked, empty, rows }) {
  const { answer, error, busy, at } = state;
  const waiting = !asked || error;
  const reason = asked ? t("audience.not_yet") : t(empty ? "audience.empty" : "audience.incomplete");
  const text = waiting || !answer ? "–" : num(answer.count);
  return html`<div aria-live="polite" aria-busy=${busy} role="status" aria-label=${t("audience.matching")}>
      <small>${t("audience.matching")}</small>
      <div class=${!waiting && answer && !busy ? "big" : "big soft"}>${text}</div>
      ${waiting ? html`<small>${reason}</small>` : !answer && html`<small>${t("audience.counting")}</small>`}
      ${answer && !waiting && html`<small>${t(busy ? "audience.counting" : "audience.counted", { time: clock(at) })}
        ${answer.lag > 0 && " "}${answer.lag > 0 && t("audience.lag", { count: answer.lag })}</small>`}
    </div>
    ${answer && !waiting && html`<${LeftOut} answer=${answer} /><${Sample} answer=${answer} rows=${rows} />`}`;
}

function Built({ query, operate, rows, known }) {
  const { filters, columns: all, most_levels: most } = known;
  const [{ tree, exclude, columns, broken }, change] = useAddress(query);
  const [more, every] = useState(false);
  const asked = askable(tree, exclude, filters);
  const [state, again] = useCount(asked, rows, more);
  useStates(named(tree, filters), again);
  const { error, busy } = state;
  const whole = question(tree, exclude);
  const hidden = error?.code === "source_hidden";
  const kept = strange(tree, filters);
  const chosen = columns.filter((one) => all.includes(one));
  const load = (found) => change({ tree: found.filter, ...(found.exclude !== null && { exclude: found.exclude }) });
  const turn = (event) => change({ exclude: event.target.checked });
  return html`<div class="head"><div><h1>${t("audience")}</h1><span class="soft">${t("audience.about")}</span></div>
      ${!isEmpty(tree) && html`<div class="bar">
        <button type="button" onClick=${() => change({ tree: EMPTY, exclude: false })}>${t("audience.clear")}</button>
      </div>`}</div>
    ${broken && html`<div class="error" role="alert">${t("audience.broken")}
      <code>${short(broken, 500)}</code></div>`}
    ${kept > 0 && html`<div class="notice" role="status">${t("audience.kept_parts", { count: kept })}</div>`}
    ${levels(tree) > most && html`<div class="notice" role="status">${t("audience.levels", { count: most })}</div>`}
    ${error && html`<${Blocked} error=${error} again=${again} operate=${operate} excluding=${exclude}
      exclude=${() => change({ exclude: true })} />`}
    <div class="grid cols audience">
      <div class="grid">
        <section class="panel" aria-label=${t("audience.conditions")}>
          <h2>${t("audience.conditions")}</h2>
          <${Form} tree=${tree} filters=${filters} parts=${state.parts} faults=${faultsOf(busy ? null : error, tree)}
            change=${(next, typed) => change({ tree: next }, typed)} />
          ${isEmpty(tree) ? html`<${Starts} change=${(next) => change({ tree: next })} />` : html`
            <label class="check"><input type="checkbox" checked=${exclude} onChange=${turn} />
              ${t("audience.exclude_on")}</label>
            ${!hidden && html`<p class="soft">${t("audience.exclude_about")}</p>`}`}
        </section>
        <${Elsewhere} asked=${isEmpty(tree) ? null : whole} load=${load} />
      </div>
      <div class="grid">
        <section class="panel matching">
          <${Count} state=${state} asked=${asked} empty=${isEmpty(tree)} rows=${rows} />
          ${asked && (!error || hidden) && html`<${Contributions} tree=${tree} filters=${filters} state=${state}
            more=${more} all=${() => every(true)} />`}
        </section>
        ${asked && html`<${Result} asked=${asked} answer=${error || busy ? null : state.answer} all=${all} rows=${rows}
          columns=${chosen.length ? chosen : FIRST_COLUMNS} pick=${(names) => change({ columns: names })} />`}
      </div>
    </div>`;
}

export function Audience({ query, operate, who }) {
  const [known, error, again] = useRead(() => get("filters"), []);
  const rows = may(who, "users.export");
  if (!known) {
    return error
      ? html`<${Failure} error=${error} again=${again} />`
      : html`<p class="none" role="status">${t("loading")}</p>`;
  }
  return html`<${Built} query=${query} operate=${operate} rows=${rows} known=${known} />`;
}
