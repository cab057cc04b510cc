// Loads the page from workers of two versions: a proxy may send each request to another one, and only
// those of this page's version have its files. So each file is asked for until a worker has it; from
// then on the browser keeps it. This file has no version in its address, and each worker answers with
// its own: what it reads from the page (`data-*`, `#unloaded`) never changes.

(() => {
  const TRIES = 12;
  const PAUSE_MS = 100;
  const RELOAD_MS = 10_000;
  const RELOADED = "emberline-reloaded";
  const { app, files, style } = document.currentScript.dataset;

  async function fetched(file) {
    for (let turn = 1; turn <= TRIES; turn += 1) {
      const answer = await fetch(file, { cache: turn === 1 ? "default" : "reload" }).catch(() => null);
      if (answer?.ok) return answer.arrayBuffer();
      await new Promise((over) => setTimeout(over, PAUSE_MS * turn * Math.random()));
    }
    throw new Error(file);
  }

  /** Nothing is drawn before the page has its style. */
  function styled() {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: style });
    return new Promise((good, bad) => {
      link.onload = good;
      link.onerror = bad;
      document.head.append(link);
    });
  }

  async function load() {
    await Promise.all(files.split(" ").map(fetched));
    await styled();
    await import(new URL(app, document.baseURI));
    sessionStorage.removeItem(RELOADED);
  }

  load().catch(() => {
    // perhaps no worker of this version is left: another one has the page in its own
    if (!sessionStorage.getItem(RELOADED)) {
      sessionStorage.setItem(RELOADED, "once");
      location.reload();
      return;
    }
    document.getElementById("unloaded").hidden = false;
    setTimeout(() => location.reload(), RELOAD_MS);
  });
})();
