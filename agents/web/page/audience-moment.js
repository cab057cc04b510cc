// A bound of a time range: a period before now, or a moment.

import { html } from "./htm.js";
import { moment, t } from "./texts.js";

const PERIOD = /^P(T)?(\d{1,6})([A-Z])$/;
const UNITS = { hours: ["PT", "H"], days: ["P", "D"], weeks: ["P", "W"], months: ["P", "M"], years: ["P", "Y"] };
const FIRST_PERIOD = "P30D";

/** How the form shows a bound: "none", "ago", "date", or "text" for what it cannot take apart. */
function form(value) {
  if (value === undefined || value === null) return "none";
  if (typeof value !== "string") return "text";
  if (apart(value)) return "ago";
  return Number.isNaN(Date.parse(value)) || value.startsWith("P") ? "text" : "date";
}

function apart(value) {
  const found = PERIOD.exec(value);
  const start = found && `P${found[1] ?? ""}`;
  const unit = found && Object.keys(UNITS).find((name) => UNITS[name][0] === start && UNITS[name][1] === found[3]);
  return unit ? { count: Number(found[2]), unit } : null;
}

const period = (count, unit) => `${UNITS[unit][0]}${count}${UNITS[unit][1]}`;

/** The text of a field for a local time, which has no zone. */
function local(ms) {
  const two = (number) => String(number).padStart(2, "0");
  const one = new Date(ms);
  const day = [String(one.getFullYear()).padStart(4, "0"), two(one.getMonth() + 1), two(one.getDate())].join("-");
  return `${day}T${two(one.getHours())}:${two(one.getMinutes())}`;
}

const utc = (ms) => new Date(ms).toISOString().replace(".000Z", "Z");

function Ago({ value, change, label }) {
  const { count, unit } = apart(value);
  const number = (event) => change(period(Math.max(0, Math.trunc(Number(event.target.value) || 0)), unit));
  const other = (event) => change(period(count, event.target.value));
  const option = (name) => html`<option value=${name} selected=${name === unit}>${t(`audience.unit.${name}`)}</option>`;
  return html`<input type="number" min="0" max="999999" aria-label=${t("audience.amount", { bound: label })}
      value=${count} onInput=${number} />
    <select aria-label=${t("audience.unit", { bound: label })} onChange=${other}>
      ${Object.keys(UNITS).map(option)}
    </select>`;
}

function Exact({ value, change, label }) {
  const ms = Date.parse(value);
  const set = (event) => event.target.value && change(utc(new Date(event.target.value).getTime()));
  return html`<input type="datetime-local" aria-label=${t("audience.date", { bound: label })} value=${local(ms)}
      onInput=${set} />
    <small>${moment(ms)}</small>`;
}

/** `name`: after or before. `free`: whether another bound leaves room for this one. */
export function Bound({ name, value, change, free, invalid }) {
  const label = t(`audience.field.${name}`);
  const shown = form(value);
  const first = { none: undefined, ago: FIRST_PERIOD, date: utc(new Date().setHours(0, 0, 0, 0)), text: value };
  const kinds = ["none", "ago", "date", ...(shown === "text" ? ["text"] : [])];
  const option = (kind) => html`<option value=${kind} selected=${kind === shown}>${t(`audience.bound.${kind}`)}</option>`;
  return html`<div class="bound" role="group" aria-label=${label}><span aria-hidden="true">${label}</span>
    <select aria-label=${label} disabled=${!free && shown === "none"} aria-invalid=${invalid || null}
      onChange=${(event) => change(first[event.target.value])}>
      ${kinds.map(option)}
    </select>
    ${shown === "ago" && html`<${Ago} value=${value} change=${change} label=${label} />`}
    ${shown === "date" && html`<${Exact} value=${value} change=${change} label=${label} />`}
    ${shown === "text" && html`<input value=${value} aria-label=${t("audience.text", { bound: label })}
      onInput=${(event) => change(event.target.value)} />`}
  </div>`;
}
