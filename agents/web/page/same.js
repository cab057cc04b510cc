// The same question on a command line, beside what the page shows.

import { html } from "./htm.js";
import { quoted } from "./api.js";
import { t } from "./texts.js";

/** `commands`: whole lines with `emberline`; `paths`: of GET requests, below the page's address. */
export function Same({ commands = [], paths = [] }) {
  const base = new URL(".", location.href).href.split("#")[0];
  const calls = paths.map((path) => `curl ${quoted(`${base}${path}`)} -H 'Authorization: Bearer KEY'`);
  return html`<details class="same"><summary>${t("equivalent")}</summary>
    <pre tabindex="0">${[...commands, ...calls].join("\n\n")}</pre></details>`;
}
