// The count of an audience as it is built, and of each of its conditions.
//
// Each question has a deadline. A change of the filter ends the questions before it, and what still
// arrives of them is dropped: an older answer never replaces a newer one. The count and the sample are one
// answer of the workers, so they are of one pin.

import { useEffect, useState } from "./htm.js";
import { call } from "./api.js";
import { leaves } from "./audience-tree.js";
import { live } from "./live.js";

const PAUSE_MS = 400;
const DEADLINE_MS = 20_000;
const RETRY_MS = 5_000;
const SAMPLE = 12;
/** Conditions that are counted alone without being asked to. */
export const MOST_PARTS = 12;
/** What may be over a moment later. A question that took too long is asked again only if somebody wants it. */
const PASSING = ["offline", "shards_unavailable", "busy", "too_many_requests"];

function question(body, signal) {
  return call("POST", "audience", body, {}, AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]));
}

/** The different conditions of a filter that has several, as JSON. */
export function conditions(tree) {
  const found = new Set(leaves(tree).map(({ node }) => JSON.stringify(node)));
  return leaves(tree).length > 1 ? [...found] : [];
}

const NOTHING = { of: null, answer: null, error: null, parts: new Map(), everybody: null, at: 0 };

/**
 * `asked`: { filter, on_expired }, or null while there is nothing to ask. `rows`: whether the reader may see
 * users. `more`: whether all conditions are counted, however many they are.
 *
 * Returns [{ answer, error, parts, everybody, at, busy }, again]. While `busy`, answer and error are those of
 * the question before. `parts` has { count } or { error } by the JSON of a condition.
 */
export function useCount(asked, rows, more) {
  const [state, set] = useState(NOTHING);
  const [turn, again] = useState(0);
  const text = asked && JSON.stringify(asked);
  useEffect(() => {
    const ended = new AbortController();
    let retry = 0;
    const put = (facts) => !ended.signal.aborted && set((before) => ({ ...before, ...facts }));
    const part = (key, found) => !ended.signal.aborted
      && set((before) => ({ ...before, parts: new Map(before.parts).set(key, found) }));
    if (!text) {
      set(NOTHING);
      return () => ended.abort();
    }
    const body = JSON.parse(text);
    const one = (filter, now) => question({ ...body, filter, limit: 0, ...(now && { now }) }, ended.signal);
    const ask = async () => {
      let now = null;
      try {
        const answer = await question({ ...body, limit: rows ? SAMPLE : 0 }, ended.signal);
        now = answer.now;
        put({ of: text, answer, error: null, at: Date.now() });
      } catch (error) {
        put({ of: text, answer: null, error });
        if (PASSING.includes(error.code)) retry = setTimeout(() => again((n) => n + 1), RETRY_MS);
        // conditions of a refused filter may be answered one by one; of what nobody answers none will be
        if (error.code !== "source_hidden" || ended.signal.aborted) return;
      }
      const keys = conditions(body.filter);
      if (!keys.length) return;
      await one({ and: [] }, now).then(({ count }) => put({ everybody: count }), () => {});
      for (const key of keys.slice(0, more ? keys.length : MOST_PARTS)) {
        if (ended.signal.aborted) return;
        await one(JSON.parse(key), now).then(({ count }) => part(key, { count }), (error) => part(key, { error }));
      }
    };
    set((before) => ({ ...before, of: null, parts: new Map() }));
    const timer = setTimeout(ask, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      clearTimeout(retry);
      ended.abort();
    };
  }, [text, rows, more, turn]);
  useEffect(() => {
    const reload = () => again((n) => n + 1);
    live.addEventListener("reload", reload);
    return () => live.removeEventListener("reload", reload);
  }, []);
  return [{ ...state, busy: text !== null && state.of !== text }, () => again((n) => n + 1)];
}
