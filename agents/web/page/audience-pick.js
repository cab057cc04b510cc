// One campaign, Canvas or segment, found by name as one types.

import { html, useEffect, useRef, useState } from "./htm.js";
import { search, useNamed } from "./audience-names.js";
import { short } from "./named.js";
import { Chip } from "./parts.js";
import { t } from "./texts.js";

const MOST = 8;
const PAUSE_MS = 150;
let made = 0;

/** What the text finds, a moment after it was typed: [rows, whether they are being read, error]. */
function useFound(kind, text, open) {
  const [rows, set] = useState(null);
  const [error, fail] = useState(null);
  useEffect(() => {
    let here = true;
    set(null);
    fail(null);
    const ask = () => search(kind, text, MOST).then((found) => here && set(found), (why) => here && fail(why));
    const timer = open && setTimeout(ask, PAUSE_MS);
    return () => { here = false; clearTimeout(timer); };
  }, [kind, text, open]);
  return [rows, error];
}

function Option({ one, id, active, pick }) {
  // the mouse must not take the focus from the field before its click arrives
  const stay = (event) => event.preventDefault();
  return html`<li id=${id} role="option" aria-selected=${active} onMouseDown=${stay} onClick=${() => pick(one)}>
    <span><b dir="auto">${short(one.name || one.key)}</b><code>${short(one.key)}</code></span>
    ${one.state && html`<${Chip} state=${one.state} />`}
  </li>`;
}

/** `value`: a key, an id or a name; `change` gets a key. `label` says what is asked for. */
export function Pick({ kind, value, change, label, invalid }) {
  const [id] = useState(() => `pick-${(made += 1)}`);
  const [text, write] = useState(null);
  const [active, move] = useState(0);
  const field = useRef();
  const open = text !== null;
  const chosen = useNamed(kind, value);
  const [rows, error] = useFound(kind, text ?? "", open);
  const close = () => write(null);
  const pick = (one) => {
    close();
    change(one.key);
  };
  const keys = {
    ArrowDown: () => (open ? move((active + 1) % Math.max(rows?.length ?? 1, 1)) : write("")),
    ArrowUp: () => move((active - 1 + (rows?.length || 1)) % (rows?.length || 1)),
    Enter: () => rows?.[active] && pick(rows[active]),
    Escape: close,
  };
  const press = (event) => {
    if (!keys[event.key] || (event.key !== "ArrowDown" && !open)) return;
    event.preventDefault();
    keys[event.key]();
  };
  const type = (event) => {
    move(0);
    write(event.target.value);
  };
  const shown = open ? text : chosen?.name || value || "";
  const none = rows && rows.length === 0;
  return html`<div class="pick">
    <input ref=${field} role="combobox" aria-label=${label} aria-expanded=${open} aria-controls=${`${id}-list`}
      aria-autocomplete="list" aria-activedescendant=${open && rows?.length ? `${id}-${active}` : null}
      aria-invalid=${invalid || null} autocomplete="off" spellcheck=${false} dir="auto" value=${shown}
      placeholder=${t("audience.search")} title=${value ?? ""}
      onInput=${type} onKeyDown=${press} onBlur=${close} onClick=${() => !open && (write(""), move(0))} />
    ${!open && chosen?.state && html`<${Chip} state=${chosen.state} />`}
    ${!open && chosen?.unknown && html`<span class="chip bad">${t("audience.unknown")}</span>`}
    <ul id=${`${id}-list`} role="listbox" aria-label=${label} hidden=${!open || !rows?.length}>
      ${open && (rows ?? []).map((one, place) => html`<${Option} key=${one.key} one=${one} id=${`${id}-${place}`}
        active=${place === active} pick=${pick} />`)}
    </ul>
    ${open && (none || error) && html`<p class="hint" role="status">
      ${t(error ? "audience.search_failed" : "audience.none")}</p>`}
  </div>`;
}
