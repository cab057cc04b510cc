// What changes, as it changes: one stream of events for the page, and how old the last word is.

import { signedOut } from "./api.js";

/** States that are older than this are called old. */
const OLD_MS = 2_000;
/** A stream that has said nothing for so long hangs: another one begins. The worker speaks each second. */
const SILENT_MS = 4_000;
const LOOK_MS = 250;
/** The pause before another try: it doubles, and a part of it is left to chance, as many pages may wait. */
const FIRST_MS = 500;
const MOST_MS = 8_000;
/** A page that nobody has seen for so long needs no stream: browsers have few connections to one host. */
const HIDDEN_MS = 5_000;

const REASONS = { busy: "busy", forbidden: "forbidden", shards_unavailable: "starting", too_many_requests: "busy" };

/** The events in pieces of a stream of server-sent events: [name, id, data]. */
function parser() {
  let rest = "";
  const read = (text) => {
    const found = { event: "message", id: null, data: "" };
    for (const line of text.split("\n")) {
      const at = line.indexOf(": ");
      if (at > 0) found[line.slice(0, at)] = line.slice(at + 2);
    }
    return found.data && [found.event, found.id, JSON.parse(found.data)];
  };
  return (piece) => {
    const parts = (rest + piece).split("\n\n");
    rest = parts.pop();
    return parts.map(read).filter(Boolean);
  };
}

/**
 * Tells of: `change` (detail: sources, requests, totals), `reload` (read again: `detail.waits` takes
 * promises, until which the states are as old as before), and `link` (`up`, `why` or `retry` differ).
 */
class Live extends EventTarget {
  /** Whether the states are known to be no older than 2 s. */
  up = false;
  /** Why not: "" (nobody knows), "silent", "gone", "starting", "kafka", "busy", or "forbidden". */
  why = "";
  totals = null;
  /** When the last states were true, ms of this browser's clock; null before the first word. */
  since = null;
  /** When the page tries again, ms of this browser's clock; null while a stream is open. */
  retry = null;
  #begun = Date.now();
  /** When the present stream began or said something, and whether it has. */
  #heard = Date.now();
  #spoken = false;
  /** How the last stream ended. */
  #cause = "";
  #id = null;
  #before = false;
  #running = null;
  #stream = null;
  #wake = () => {};
  #hidden = null;

  constructor() {
    super();
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => this.#seen());
  }

  start() {
    if (this.#running) return;
    this.#running = new AbortController();
    this.#begun = Date.now();
    const look = setInterval(() => this.#look(), LOOK_MS);
    this.#running.signal.addEventListener("abort", () => clearInterval(look));
    if (document.hidden) this.#seen();
    this.#run(this.#running.signal);
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
    this.#stream?.abort();
    this.#wake();
    this.#id = null;
    this.#before = false;
    this.totals = null;
    this.since = null;
    this.#say(false, "");
  }

  /** Try again without a pause. */
  now() {
    this.#wake();
  }

  async #run(stopped) {
    let failures = 0;
    while (!stopped.aborted) {
      const { events, wait } = await this.#listen();
      if (stopped.aborted) return;
      failures = events ? 0 : failures + 1;
      // what was not heard of may be of other topics: begin anew
      if (!events) this.#id = null;
      const most = Math.min(FIRST_MS * 2 ** failures, MOST_MS);
      await this.#pause(Math.max(most * (0.5 + Math.random() / 2), wait));
      while (document.hidden && !stopped.aborted) await this.#pause(MOST_MS);
    }
  }

  /** One stream to its end: how many events it had, and ms that the worker asks to wait for. */
  async #listen() {
    let events = 0;
    const stream = new AbortController();
    this.#stream = stream;
    this.#heard = Date.now();
    this.#spoken = false;
    this.#tries(null);
    try {
      const path = `events?beat=1${this.#id ? `&since=${this.#id}` : ""}`;
      const headers = { Accept: "text/event-stream" };
      const answer = await fetch(path, { headers, signal: stream.signal, cache: "no-store" });
      if (!answer.ok) return { events, wait: await this.#refused(answer) };
      const found = parser();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const [name, id, data] of found(value)) {
          events += 1;
          this.#take(name, id, data);
        }
      }
      this.#cause = "gone";
    } catch {
      this.#cause = stream.signal.aborted ? "silent" : "gone";
    } finally {
      // one that hangs keeps its connection otherwise
      stream.abort();
    }
    return { events, wait: 0 };
  }

  async #refused(answer) {
    const { code } = await answer.json().catch(() => ({}));
    this.#cause = REASONS[code] ?? "gone";
    if (answer.status === 401) signedOut.dispatchEvent(new Event("out"));
    return Number(answer.headers.get("Retry-After") ?? 0) * 1000;
  }

  #take(name, id, data) {
    this.#heard = Date.now();
    this.#spoken = true;
    this.#id = id ?? this.#id;
    if (name === "dropped") return;
    this.totals = data.totals ?? this.totals;
    const since = Date.now() - data.age_s * 1000;
    const waits = [];
    // a new stream does not tell what changed before it
    if (name === "reload" || (name === "hello" && this.#before)) this.#tell("reload", { waits });
    this.#before = true;
    if (name === "change" || name === "hello") this.#tell("change", data);
    if (waits.length) Promise.allSettled(waits).then(() => this.#true(since));
    else this.#true(since);
  }

  /** All that the page shows was true at `since`. */
  #true(since) {
    this.since = Math.max(since, this.since ?? since);
    this.#look();
  }

  #look() {
    const now = Date.now();
    const open = this.retry === null;
    if (open && now - this.#heard > SILENT_MS) this.#stream?.abort();
    if (now - (this.since ?? this.#begun) <= OLD_MS) this.#say(this.since !== null, "");
    else if (!open) this.#say(false, this.#cause);
    else if (this.#spoken) this.#say(false, now - this.#heard > OLD_MS ? "silent" : "kafka");
    else this.#say(false, this.#cause || "silent");
  }

  #say(up, why) {
    const other = this.up !== up || this.why !== why;
    this.up = up;
    this.why = why;
    if (other) this.#tell("link");
  }

  #tries(at) {
    this.retry = at;
    this.#tell("link");
  }

  #pause(ms) {
    this.#tries(Date.now() + ms);
    return new Promise((over) => {
      const timer = setTimeout(over, ms);
      this.#wake = () => (clearTimeout(timer), over());
    });
  }

  /** Somebody looks at the page, or nobody does any more. */
  #seen() {
    clearTimeout(this.#hidden);
    if (document.hidden) this.#hidden = setTimeout(() => this.#stream?.abort(), HIDDEN_MS);
    else {
      this.#look();
      this.now();
    }
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

export const live = new Live();
