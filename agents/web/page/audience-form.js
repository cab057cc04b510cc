// The filter as a form: groups, conditions, and what no form can show.

import { html, useMemo, useRef } from "./htm.js";
import { Fields } from "./audience-fields.js";
import { added, changed, missing, path, put, renamed, shape, unshown, without } from "./audience-tree.js";
import { short } from "./named.js";
import { t } from "./texts.js";

const ABOUT = ["source", "tag", "user", "segment"];
const FIRST = "received_from_campaign";
const NONE = [];

const PARTS = ":scope > .cond, :scope > .group";

/** Give the focus to `find(box)` once what was changed is drawn: nobody loses their place in the form. */
const focus = (box, find) => requestAnimationFrame(() => box && find(box)?.focus());

const outer = (event) => event.currentTarget.closest("[role=group]")?.parentElement.closest("[role=group]");

/** What a part of the form does to the tree. */
const edits = (form, steps) => ({
  put: (node, typed) => form.change(put(form.tree, steps, node), typed),
  remove: (event) => {
    const box = outer(event) ?? event.currentTarget.closest(".panel");
    form.change(without(form.tree, steps));
    focus(box, (one) => one.querySelector(":scope > .adds button") ?? one.querySelector("button"));
  },
  add: (node, event) => {
    const box = event.currentTarget.closest("[role=group]");
    form.change(added(form.tree, steps, node));
    focus(box, (one) => [...one.querySelectorAll(PARTS)].at(-1)?.querySelector("select"));
  },
});

const Deed = ({ text, label, act }) => html`<button type="button" class="deed" aria-label=${label} onClick=${act}>
  ${text}</button>`;

const Remove = ({ label, act }) => html`<button type="button" class="deed" aria-label=${label} title=${label}
  onClick=${act}>×</button>`;

function Which({ node, described, filters, set }) {
  const option = ({ filter }) => html`<option value=${filter} selected=${filter === node.filter}>
    ${t(`audience.filter.${filter}`)}</option>`;
  const about = (name) => html`<optgroup label=${t(`audience.about.${name}`)}>
    ${filters.filter((one) => one.about === name).map(option)}
  </optgroup>`;
  const pick = (event) => set(filters.find((one) => one.filter === event.target.value));
  return html`<select class="which" aria-label=${t("audience.condition")} onChange=${pick}>
    ${!described && html`<option selected>${node.filter}</option>`}
    ${ABOUT.map(about)}
  </select>`;
}

function Has({ node, set }) {
  const pick = (event) => set(event.target.value === "true" ? undefined : false);
  return html`<select aria-label=${t("audience.has")} onChange=${pick}>
    <option value="true" selected=${node.has !== false}>${t("audience.has.true")}</option>
    <option value="false" selected=${node.has === false}>${t("audience.has.false")}</option>
  </select>`;
}

/** The number of users of one condition alone, as far as it is known. */
function Alone({ part }) {
  if (!part) return null;
  if (part.count === undefined) return html`<span class="alone">${t("audience.waits")}</span>`;
  return html`<span class="alone" title=${t("audience.alone")}>${t("audience.users", { count: part.count })}</span>`;
}

function Messages({ list }) {
  return list.map(({ text, detail }) => html`<p class="fault" role="alert">${text}
    ${detail && html` <small lang="en">${short(detail, 300)}</small>`}</p>`);
}

function Kept({ node, extra, set }) {
  const drop = (name) => set(changed(node, name, undefined));
  return html`<p class="hint">${t("audience.kept")}
    ${extra.map(([name, value]) => html`<span class="kept"><code>${`"${name}": ${JSON.stringify(value)}`}</code>
      <${Remove} label=${t("audience.drop", { name })} act=${() => drop(name)} /></span>`)}</p>`;
}

/** A condition is drawn again only if something of it has changed: a filter may have a thousand. */
function Condition({ form, steps, node }) {
  const here = path(steps);
  const faults = form.faults.get(here) ?? NONE;
  const part = form.parts.get(JSON.stringify(node));
  const draw = () => condition({ form, steps, node, faults, part });
  return useMemo(draw, [form.filters, here, node, faults, part]);
}

function condition({ form, steps, node, faults, part }) {
  const described = form.filters.find((one) => one.filter === node.filter);
  const { put: set, remove } = edits(form, steps);
  const wrong = new Set(faults.map((one) => one.field).filter(Boolean));
  const wrap = () => set({ or: [node] });
  const write = (name, value, typed) => set(changed(node, name, value), typed);
  const extra = described ? unshown(node, described) : [];
  const lacks = described ? missing(node, described) : [];
  const needed = lacks.map((name) => t(`audience.field.${name}`)).join(", ");
  const label = described ? t(`audience.filter.${node.filter}`) : node.filter;
  const others = node.filter === "in_canvas_control_group" && node.has === false;
  return html`<div class=${faults.length ? "cond faulty" : "cond"} role="group" aria-label=${label}>
    <div class="row first">
      <${Which} node=${node} described=${described} filters=${form.filters} set=${(one) => set(renamed(node, one))} />
      <${Alone} part=${part} />
      <${Remove} label=${t("audience.remove", { name: label })} act=${remove} />
    </div>
    <div class="row">
      <${Has} node=${node} set=${(has) => set(changed(node, "has", has))} />
      ${described && html`<${Fields} key=${node.filter} node=${node} described=${described} change=${write}
        wrong=${wrong} />`}
      <${Deed} text=${t("audience.do_wrap")} label=${t("audience.wrap", { name: label })} act=${wrap} />
    </div>
    ${others && html`<p class="hint">${t("audience.control_hint")}</p>`}
    ${needed && html`<p class="hint need">${t("audience.needs", { names: needed })}</p>`}
    ${!described && html`<${Raw} node=${node} />`}
    ${extra.length > 0 && html`<${Kept} node=${node} extra=${extra} set=${set} />`}
    <${Messages} list=${faults} />
  </div>`;
}

const Raw = ({ node }) => html`<p class="hint">${t("audience.raw")}</p><pre tabindex="0">${JSON.stringify(node, null, 1)}</pre>`;

/** A part that is no filter: it is shown as it is, and kept. */
function Other({ form, steps, node }) {
  return html`<div class="cond faulty" role="group" aria-label=${t("audience.other")}>
    <div class="row"><b>${t("audience.other")}</b><span class="push"></span>
      <${Remove} label=${t("audience.remove", { name: t("audience.other") })} act=${edits(form, steps).remove} /></div>
    <${Raw} node=${node} /><${Messages} list=${form.faults.get(path(steps)) ?? []} />
  </div>`;
}

function Add({ form, steps }) {
  const { add } = edits(form, steps);
  const first = form.filters.find((one) => one.filter === FIRST);
  return html`<div class="row adds">
    <button type="button" onClick=${(event) => add(renamed({}, first), event)}>${t("audience.add")}</button>
    <button type="button" onClick=${(event) => add({ or: [] }, event)}>${t("audience.add_group")}</button>
  </div>`;
}

function Group({ form, steps, node, word }) {
  const { put: set, remove } = edits(form, steps);
  const top = steps.length === 0;
  const parts = node[word];
  const pick = (event) => set({ [event.target.value]: parts });
  const label = t(`audience.group.${word}`);
  const option = (one) => html`<option value=${one} selected=${one === word}>${t(`audience.group.${one}`)}</option>`;
  return html`<div class=${top ? "group top" : "group"} role="group" aria-label=${label}>
    <div class="row">
      <select aria-label=${t("audience.joint")} onChange=${pick}>
        ${["and", "or"].map(option)}
      </select>
      <span class="push"></span>
      ${(!top || parts.length > 0) && html`<${Deed} text=${t("audience.do_negate")}
        label=${t("audience.negate", { name: label })} act=${() => set({ not: node })} />`}
      ${!top && html`<${Remove} label=${t("audience.remove", { name: label })} act=${remove} />`}
    </div>
    ${parts.map((part, place) => html`${place > 0 && html`<span class="joint">${t(`audience.joint.${word}`)}</span>`}
      <${Node} key=${place} form=${form} steps=${[...steps, word, place]} node=${part} />`)}
    ${!top && parts.length === 0 && html`<p class="hint">${t(`audience.empty.${word}`)}</p>`}
    <${Add} form=${form} steps=${steps} />
    <${Messages} list=${form.faults.get(path(steps)) ?? []} />
  </div>`;
}

function Not({ form, steps, node }) {
  const { put: set } = edits(form, steps);
  const label = t("audience.group.not");
  return html`<div class="group not" role="group" aria-label=${label}>
    <div class="row"><b>${label}</b><span class="push"></span>
      <${Deed} text=${t("audience.affirm")} act=${() => set(node.not)} /></div>
    <${Node} form=${form} steps=${[...steps, "not"]} node=${node.not} />
    <${Messages} list=${form.faults.get(path(steps)) ?? []} />
  </div>`;
}

const SHOWN = { leaf: Condition, not: Not, and: Group, or: Group, other: Other };

function Node({ form, steps, node }) {
  const word = shape(node);
  const Shown = SHOWN[word];
  return html`<${Shown} form=${form} steps=${steps} node=${node} word=${word} />`;
}

const STARTS = {
  unopened: {
    and: [
      { filter: "received_from_campaign" },
      { filter: "clicked_opened_campaign", action: "opened", has: false },
    ],
  },
  inactive: { and: [{ filter: "last_engaged", after: "P90D", has: false }] },
  never: { and: [{ filter: "never_received" }] },
};

/** What an empty form offers. */
export function Starts({ change }) {
  const start = (name) => html`<li><button type="button" onClick=${() => change(STARTS[name])}>
    ${t(`audience.start.${name}`)}</button></li>`;
  return html`<p class="soft">${t("audience.start")}</p><ul class="starts">${Object.keys(STARTS).map(start)}</ul>`;
}

/**
 * The whole filter. `change(tree, typed)` gets each new tree; `typed`: whether somebody is still typing.
 * `filters`: as GET /filters. `parts`: counts by the JSON of a condition. `faults`: by path.
 */
export function Form({ tree, change, filters, parts, faults }) {
  // one object for all renders: what a condition does concerns the tree as it is then
  const form = Object.assign(useRef({}).current, { tree, change, filters, parts, faults });
  const word = shape(tree);
  const alone = word !== "and" && word !== "or";
  return html`<${Node} form=${form} steps=${[]} node=${tree} />
    ${alone && html`<div class="row"><button type="button" onClick=${() => change({ and: [tree] })}>
      ${t("audience.add_beside")}</button></div>`}`;
}
