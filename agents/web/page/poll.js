// What no event tells of is read again now and then, as long as somebody looks.

import { useEffect, useState } from "./htm.js";
import { live } from "./live.js";

/** No page asks more often. */
const EVERY_MS = 1_000;
/** Older states are told to be old: as long as each answer takes less than a second, none are. */
export const OLD_MS = 2_000;

/**
 * Read every second: { found, error, at, now, again }. `at`: when the last answer was asked for, ms of this browser's
 * clock. Nothing is asked while the page is hidden, nor before the last answer has come.
 */
export function usePoll(read) {
  const [state, set] = useState({ found: null, error: null, at: null });
  const [now, tick] = useState(Date.now());
  const [turn, next] = useState(0);
  const again = () => next((n) => n + 1);
  useEffect(() => {
    let here = true;
    let timer = 0;
    let busy = false;
    let last = 0;
    const ask = async () => {
      busy = true;
      const at = Date.now();
      last = at;
      try {
        const found = await read();
        if (here) set({ found, error: null, at });
      } catch (error) {
        if (here) set((before) => ({ ...before, error }));
      }
      busy = false;
      if (here && !document.hidden) timer = setTimeout(ask, Math.max(0, at + EVERY_MS - Date.now()));
    };
    const seen = () => {
      clearTimeout(timer);
      // an answer under way goes on with the turns by itself
      if (!document.hidden && !busy) timer = setTimeout(ask, Math.max(0, last + EVERY_MS - Date.now()));
    };
    ask();
    document.addEventListener("visibilitychange", seen);
    return () => {
      here = false;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [turn]);
  useEffect(() => {
    // the view is drawn at the moment in which its states become old, and each second from then on
    const old = setTimeout(() => tick(Date.now()), (state.at ?? 0) + OLD_MS + 1 - Date.now());
    return () => clearTimeout(old);
  }, [state.at]);
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 1_000);
    live.addEventListener("reload", again);
    return () => {
      clearInterval(timer);
      live.removeEventListener("reload", again);
    };
  }, []);
  return { ...state, now, again };
}
