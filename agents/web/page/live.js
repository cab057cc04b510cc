// What changes, as it changes: one stream of events for the page.

const RETRY_MS = 2000;

/** Tells of: `change` (detail: sources, requests), `reload`, `link` (the stream broke or is back). */
class Live extends EventTarget {
  up = false;
  totals = null;
  /** When the last state was known to be true, ms of this browser's clock. */
  since = Date.now();
  #stream = null;
  #timer = 0;
  #before = false;

  start() {
    this.stop();
    const stream = new EventSource("events");
    this.#stream = stream;
    stream.addEventListener("hello", (event) => {
      // a new stream does not tell what changed before it
      if (this.#before) this.#tell("reload");
      this.#before = true;
      this.#heard(JSON.parse(event.data));
    });
    stream.addEventListener("change", (event) => this.#heard(JSON.parse(event.data)));
    stream.addEventListener("reload", () => this.#tell("reload"));
    stream.addEventListener("dropped", () => this.#broken());
    stream.addEventListener("open", () => this.#link(true));
    stream.addEventListener("error", () => this.#broken());
  }

  stop() {
    clearTimeout(this.#timer);
    this.#stream?.close();
    this.#stream = null;
  }

  #heard(found) {
    this.totals = found.totals ?? this.totals;
    this.#link(true);
    this.#tell("change", found);
  }

  #broken() {
    this.stop();
    this.#link(false);
    this.#timer = setTimeout(() => this.start(), RETRY_MS);
  }

  #link(up) {
    if (this.up) this.since = Date.now();
    const other = this.up !== up;
    this.up = up;
    if (other) this.#tell("link");
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

export const live = new Live();
