// The same audience elsewhere: as a link, as JSON, with curl, on a command line, and as a file.

import { html, useState } from "./htm.js";
import { Refused, quoted } from "./api.js";
import { read } from "./audience-tree.js";
import { Failure } from "./parts.js";
import { Same } from "./same.js";
import { t } from "./texts.js";

const FORMATS = ["csv", "ndjson", "parquet"];
/** Characters of an address that every worker and proxy takes; longer questions are sent as a body. */
const MOST_ADDRESS = 6_000;

const base = () => new URL(".", location.href).href.split("#")[0];

const HEADERS = "-H 'Authorization: Bearer KEY' -H 'Content-Type: application/json'";

/** `emberline` with the same question; `options` say in which form. */
function command(asked, options) {
  const exclude = asked.on_expired === "exclude" ? " --on-expired exclude" : "";
  return `emberline audience ${options}${exclude} ${quoted(JSON.stringify(asked.filter))}`;
}

/** The forms of a question in which programs ask for its count. */
function forms(asked) {
  const body = quoted(JSON.stringify({ ...asked, limit: 0 }));
  return {
    json: JSON.stringify(asked.filter, null, 2),
    curl: `curl -X POST ${quoted(`${base()}audience`)} ${HEADERS} -d ${body}`,
    command: command(asked, "--format count"),
  };
}

function Copied({ name, text }) {
  const [done, tell] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(text);
    tell(true);
    setTimeout(() => tell(false), 2_000);
  };
  return html`<details><summary>${t(`audience.as.${name}`)}</summary>
    <pre tabindex="0" aria-label=${t(`audience.as.${name}`)}>${text}</pre>
    ${navigator.clipboard && html`<button type="button" onClick=${copy}>
      ${t(done ? "audience.copied" : "audience.copy")}</button>`}
  </details>`;
}

/** Save what the workers answer to a question that is too long for a link. */
async function save(asked, format, columns) {
  const answer = await fetch(`audience?format=${format}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...asked, columns }),
  });
  if (!answer.ok) {
    const found = await answer.json().catch(() => ({}));
    throw new Refused(found.code ?? "", found.detail ?? answer.statusText, answer.status, found);
  }
  const address = URL.createObjectURL(await answer.blob());
  const link = Object.assign(document.createElement("a"), { href: address, download: `audience.${format}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function link(asked, columns, format) {
  const filter = JSON.stringify(asked.filter);
  return `audience?${new URLSearchParams({ ...asked, filter, format, columns: columns.join(",") })}`;
}

function Download({ asked, columns, format, count }) {
  const [error, fail] = useState(null);
  const address = link(asked, columns, format);
  const name = `audience.${format}`;
  const text = t("audience.download", { count, format: t(`audience.format.${format}`) });
  // a plain link: the browser writes the file as it arrives, however large it is
  if (address.length <= MOST_ADDRESS) {
    return html`<a class="button primary" href=${address} download=${name}>${text}</a>`;
  }
  return html`<button class="primary" onClick=${() => save(asked, format, columns).catch(fail)}>${text}</button>
    <${Failure} error=${error} />`;
}

/** `all`: the columns that there are; `columns`: those that are chosen. */
export function Result({ asked, answer, all, columns, pick, rows }) {
  const [format, choose] = useState(FORMATS[0]);
  const turn = (name) => pick(all.filter((one) => (one === name ? !columns.includes(one) : columns.includes(one))));
  const options = `--format ${format} --columns ${columns.join(",")} --output audience.${format}`;
  const address = link(asked, columns, format);
  const kind = (one) => html`<label class="check"><input type="radio" name="format" value=${one}
    checked=${one === format} onChange=${() => choose(one)} /> ${t(`audience.format.${one}`)}</label>`;
  const column = (one) => html`<label class="check"><input type="checkbox" checked=${columns.includes(one)}
    disabled=${columns.length === 1 && columns.includes(one)} onChange=${() => turn(one)} />
    ${t(`audience.column.${one}`)}</label>`;
  const body = html`<fieldset><legend>${t("audience.format")}</legend>
      ${FORMATS.map(kind)}</fieldset>
    <fieldset><legend>${t("audience.columns")}</legend>
      ${all.map(column)}</fieldset>
    ${answer
      ? html`<p><${Download} asked=${asked} columns=${columns} format=${format} count=${answer.count} /></p>
        <p class="soft">${t("audience.download_about")}</p>`
      : html`<p class="soft">${t("audience.download_not")}</p>`}
    <${Same} commands=${[command(asked, options)]} paths=${address.length <= MOST_ADDRESS ? [address] : []} />`;
  return html`<section class="panel result"><h2>${t("audience.result")}</h2>
    ${rows ? body : html`<p class="notice">${t("audience.rows_no", { scope: "users.export" })}</p>`}</section>`;
}

export function Elsewhere({ asked, load }) {
  const shown = asked && forms(asked);
  return html`<section class="panel elsewhere"><h2>${t("audience.elsewhere")}</h2>
    ${shown && Object.entries(shown).map(([name, text]) => html`<${Copied} key=${name} name=${name} text=${text} />`)}
    <${Import} load=${load} /></section>`;
}

function Import({ load }) {
  const [text, write] = useState("");
  const [error, fail] = useState(null);
  const take = (event) => {
    event.preventDefault();
    try {
      load(read(text));
      write("");
      fail(null);
    } catch (why) {
      fail(why);
    }
  };
  return html`<details><summary>${t("audience.import")}</summary>
    <form onSubmit=${take}>
      <label>${t("audience.import_label")}<textarea rows="6" spellcheck=${false} required value=${text}
        onInput=${(event) => write(event.target.value)}></textarea></label>
      ${error && html`<p class="fault" role="alert">${t("audience.import_wrong")}
        <small lang="en">${error.message}</small></p>`}
      <button>${t("audience.import_do")}</button>
    </form></details>`;
}
