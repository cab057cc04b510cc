// The fields of one condition, as GET /filters describes them.

import { html } from "./htm.js";
import { Bound } from "./audience-moment.js";
import { useParts } from "./audience-names.js";
import { Pick } from "./audience-pick.js";
import { t } from "./texts.js";

const BOUNDS = ["after", "before"];

/** The words of a field for people; signs are words already. */
export const word = (field, value) => (/^\w+$/.test(value) ? t(`audience.value.${field}.${value}`) : String(value));

/** What a list says while nothing is chosen. */
const nothing = (field, label) => (field.required ? label : t(`audience.any.${field.name}`));

function Choice({ field, value, change, label, invalid }) {
  const upper = typeof value === "string" && field.values.includes(value.toUpperCase()) ? value.toUpperCase() : value;
  const set = upper ?? (field.required ? "" : field.default ?? "");
  const strange = set !== "" && !field.values.includes(set);
  const offered = strange ? [...field.values, set] : field.values;
  const open = set === "" || (!field.required && field.default === null);
  const pick = (event) => change(offered.find((one) => String(one) === event.target.value));
  return html`<select aria-label=${label} aria-invalid=${invalid || null} onChange=${pick}>
    ${open && html`<option value="" selected=${set === ""}>${nothing(field, label)}</option>`}
    ${offered.map((one) => html`<option value=${String(one)} selected=${one === set}>
      ${strange && one === set ? String(one) : word(field.name, one)}</option>`)}
  </select>`;
}

function Text({ value, change, label, invalid, required }) {
  return html`<input aria-label=${label} aria-invalid=${invalid || null} dir="auto" placeholder=${label}
    value=${value ?? ""} required=${required} onInput=${(event) => change(event.target.value)} />`;
}

function Whole({ value, change, label, invalid }) {
  const set = (event) => change(event.target.value === "" ? undefined : Math.trunc(Number(event.target.value)));
  return html`<input type="number" min="0" step="1" aria-label=${label} aria-invalid=${invalid || null}
    value=${value ?? ""} placeholder=${label} onInput=${set} />`;
}

/** A step or a variation: chosen by name where the definition lists them, typed otherwise. */
function Part({ field, value, change, label, invalid, owner }) {
  const parts = useParts(owner.kind, owner.text);
  // a field in which one may type must not become a list meanwhile
  if (!parts) return html`<select disabled aria-label=${label}><option>${t("loading")}</option></select>`;
  const found = parts[`${field.name}s`] ?? [];
  if (!found.length) return html`<${Text} value=${value} change=${change} label=${label} invalid=${invalid} />`;
  const rows = value && !found.some((one) => one.id === value) ? [...found, { id: value, name: "" }] : found;
  const pick = (event) => change(event.target.value);
  return html`<select aria-label=${label} aria-invalid=${invalid || null} onChange=${pick}>
    <option value="" selected=${!value}>${nothing(field, label)}</option>
    ${rows.map((one) => html`<option value=${one.id} selected=${one.id === value}>${one.name || one.id}</option>`)}
  </select>`;
}

const Named = ({ field, ...rest }) => html`<${Pick} kind=${field.type} ...${rest} />`;

/** How each type of field is shown; a test compares with the types of the API. */
const TYPES = {
  campaign: Named,
  canvas: Named,
  segment: Named,
  text: Text,
  choice: Choice,
  number: Whole,
  moment: Bound,
};
const PARTS = ["step", "variation"];
/** Fields in which somebody types: a change of them is no step of the browser's history. */
const TYPED = ["text", "number", "moment"];

/** `wrong`: names that the worker refuses. `change(name, value, typed)`. */
export function Fields({ node, described, change, wrong }) {
  const kinds = described.fields.filter((field) => ["campaign", "canvas"].includes(field.type));
  const owner = { kind: kinds[0]?.type, text: node[kinds[0]?.name] };
  const exclusive = described.bounds === "one at most";
  const other = (name) => BOUNDS.find((each) => each !== name);
  return described.fields.map((field) => {
    const { name } = field;
    const Shown = PARTS.includes(name) ? Part : TYPES[field.type];
    return html`<${Shown} key=${name} field=${field} name=${name} value=${node[name]} owner=${owner}
      label=${t(`audience.field.${name}`)} required=${field.required} invalid=${wrong.has(name)}
      free=${!exclusive || !node[other(name)]}
      change=${(value) => change(name, value, Shown !== Part && TYPED.includes(field.type))} />`;
  });
}
