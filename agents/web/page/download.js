// The dialog of a source's CSV files: how large they are, then the links.

import { html, useEffect, useRef } from "./htm.js";
import { get, quoted } from "./api.js";
import { Failure, useRead } from "./parts.js";
import { Same } from "./same.js";
import { size, t } from "./texts.js";

/** A name for a file: of the key only what every file system takes. */
const fileName = (source, what) => `${source.replace(/[^\w.-]+/g, "-").slice(0, 80)}-${what}.csv`;

function File({ title, about, found, exact, href, name, allowed }) {
  const facts = found && { count: found.rows, size: size(found.bytes) };
  const told = found && t(exact ? "source.csv.size" : "source.csv.about", facts);
  return html`<li><div class="cond"><div class="grow"><b>${title}</b><br /><small>${about}</small><br />
    <span role="status">${found ? told : ""}</span></div>
    ${allowed && found ? html`<a class="button primary" href=${href} download=${name}>${t("source.csv.do")}</a>`
      : html`<button class="primary" disabled>${t("source.csv.do")}</button>`}</div></li>`;
}

/** `one`: as GET /sources/KEY; `exports`: whether the reader's key allows it. */
export function Download({ one, exports, close }) {
  const box = useRef();
  const path = `sources/${encodeURIComponent(one.source)}`;
  const [found, error, again] = useRead(() => one.visible ? get(`${path}/export_size`) : Promise.resolve(null), [path]);
  useEffect(() => box.current.showModal(), []);
  const file = (what, href, name) => html`<${File} title=${t(`source.csv.${what}`)} about=${t(`source.csv.${what}.about`)}
    found=${found?.[what]} exact=${found?.exact} href=${href} name=${fileName(one.source, name)} allowed=${exports} />`;
  return html`<dialog ref=${box} aria-labelledby="downloads" onClose=${close}>
    <h1 id="downloads">${t("source.csv")}</h1>
    ${!exports && html`<p class="notice" role="note">${t("source.csv.scope", { scope: "users.export" })}</p>`}
    ${!one.visible && html`<p class="notice" role="note">${t("source.csv.hidden")}</p>`}
    <${Failure} error=${error} again=${again} />
    ${one.visible && !found && !error && html`<p class="soft" role="status">${t("source.csv.measuring")}</p>`}
    ${one.visible && html`<ul class="files">
      ${file("users", `${path}/users.csv`, "users")}
      ${file("interactions", `${path}/interactions?format=csv`, "interactions")}</ul>`}
    ${found && !found.exact && html`<p><small>${t("source.csv.estimate", { count: found.read })}</small></p>`}
    <${Same} commands=${[`emberline export ${quoted(one.source)} --format csv`]}
      paths=${[`${path}/users.csv`, `${path}/interactions?format=csv`]} />
    <div class="right"><button onClick=${close}>${t("dialog.close")}</button></div></dialog>`;
}
