// Names that people gave: shown as text of their own direction, cut where they are very long.

import { html, useState } from "./htm.js";
import { t } from "./texts.js";

const MOST = 160;
const UNVERIFIED = " (unverified)";

/** A name; of a long one the beginning, and a button for the rest. */
export function Name({ text }) {
  const [whole, show] = useState(false);
  const letters = Array.from(text);
  if (letters.length <= MOST) return html`<bdi>${text}</bdi>`;
  return html`<bdi>${whole ? text : `${letters.slice(0, MOST).join("")}\u2026`}</bdi>
    <button class="link" type="button" aria-expanded=${whole} onClick=${() => show(!whole)}>
      ${t(whole ? "source.less" : "source.whole")}</button>`;
}

/** The beginning of a name, where there is no room for more. */
export const short = (text, most = 60) => {
  const letters = Array.from(text);
  return letters.length > most ? `${letters.slice(0, most).join("")}\u2026` : text;
};

/** Within a sentence a name keeps its direction to itself (first strong isolate ... pop). */
export const isolated = (text) => `\u2068${text}\u2069`;

/** Who asked, as the audit has it. */
export const actor = (by) =>
  by.endsWith(UNVERIFIED) ? t("source.unverified", { name: by.slice(0, -UNVERIFIED.length) }) : by;

const KINDS = ["campaign", "canvas", "segment", "content_card"];

/** What a key names, in words: "Canvas". */
export const kindOf = (key) => {
  const kind = key.split(":")[0];
  return KINDS.includes(kind) ? t(`source.kind.${kind}`) : kind;
};
