// What a filter names: sources and segments by key, with their names, states and parts. Kept for a while, as
// many conditions name the same ones.

import { useEffect, useState } from "./htm.js";
import { get } from "./api.js";
import { live } from "./live.js";

const MOST = 500;
const found = new Map();
const news = new EventTarget();

/** A filter may have a thousand conditions: their names must not use up what the reader's key may ask. */
const BURST = 20;
const A_SECOND = 15;
let free = BURST;
let since = performance.now();
let turn = Promise.resolve();

async function wait() {
  const now = performance.now();
  free = Math.min(BURST, free + ((now - since) * A_SECOND) / 1000);
  since = now;
  if (free < 1) await new Promise((later) => setTimeout(later, ((1 - free) * 1000) / A_SECOND));
  free -= 1;
}

function inTurn(work) {
  turn = turn.then(wait);
  return turn.then(work);
}

const keyOf = (kind, text) => (text.startsWith(`${kind}:`) ? text : `${kind}:${text}`);

async function read(kind, key) {
  const place = kind === "segment" ? "definitions" : "sources";
  const one = await inTurn(() => get(`${place}/${encodeURIComponent(key)}`));
  return { key: one.source ?? one.key, name: one.name, state: one.state };
}

/** One by key, id or name: { key, name, state }; `unknown` if there is none. */
function lookUp(kind, text) {
  const key = keyOf(kind, text);
  if (!found.has(key)) {
    if (found.size >= MOST) found.delete(found.keys().next().value);
    const unknown = (error) => {
      // what could not be read is asked for again with the next use
      if (error.status !== 404) found.delete(key);
      return { key, name: "", unknown: error.status === 404 };
    };
    found.set(key, read(kind, key).catch(unknown));
  }
  return found.get(key);
}

/** What a text names, as it stands now; null while it is being read. */
export function useNamed(kind, text) {
  const [one, set] = useState(null);
  const [turn, again] = useState(0);
  useEffect(() => {
    let here = true;
    set((before) => (before?.text === text ? before : null));
    if (typeof text === "string" && text) lookUp(kind, text).then((value) => here && set({ ...value, text }));
    return () => { here = false; };
  }, [kind, text, turn]);
  useEffect(() => {
    const told = () => again((n) => n + 1);
    news.addEventListener("news", told);
    return () => news.removeEventListener("news", told);
  }, []);
  return one;
}

const NO_PARTS = { steps: [], variations: [] };

/** The steps and variations of a source: { steps, variations }, each [{ id, name }]; null while they are read. */
export function useParts(kind, text) {
  const named = typeof text === "string" && text !== "";
  const [parts, set] = useState(named ? null : NO_PARTS);
  useEffect(() => {
    let here = true;
    set(named ? null : NO_PARTS);
    if (named) {
      // without a definition any id may be typed
      const read = () => get(`definitions/${encodeURIComponent(keyOf(kind, text))}`);
      inTurn(read).then((one) => here && set(one), () => here && set(NO_PARTS));
    }
    return () => { here = false; };
  }, [kind, text]);
  return parts;
}

/** Up to `most` campaigns, Canvases or segments whose name or id contains a text: [{ key, name, state }]. */
export async function search(kind, text, most) {
  const asked = new URLSearchParams({ kind, name: text, limit: most });
  if (kind === "segment") return (await get(`definitions?${asked}`)).definitions;
  const { sources } = await get(`sources?${asked}`);
  return sources.map((one) => ({ key: one.source, name: one.name, state: one.state }));
}

function forget(keys) {
  for (const key of keys ?? [...found.keys()]) found.delete(key);
  news.dispatchEvent(new Event("news"));
}

live.addEventListener("reload", () => forget());
live.addEventListener("change", ({ detail }) => {
  const changed = (detail.sources ?? []).map((one) => one.source).filter((key) => found.has(key));
  if (changed.length) forget(changed);
});
