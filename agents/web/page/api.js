// Calls of the JSON API. Addresses are relative, so the page works below a path of a proxy too.

/** A refusal: `code` and `message` as the worker has them; "offline" without an answer, "late" if none came in time. */
export class Refused extends Error {
  constructor(code, message, status, document = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.document = document;
  }
}

export const signedOut = new EventTarget();

/** Addresses that a browser would shorten: to it `users/..` is another part of the API. */
const SHORTENED = /(^|\/)\.{1,2}(\/|\?|$)/;

export async function call(method, path, body, headers = {}, signal = AbortSignal.timeout(40_000)) {
  if (SHORTENED.test(path)) throw new Refused("not_found", path, 404);
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
      signal,
    });
  } catch (error) {
    throw new Refused(error.name === "TimeoutError" ? "late" : "offline", String(error), 0);
  }
  const found = await answer.json().catch(() => ({}));
  if (answer.ok) return found;
  if (answer.status === 401 && path !== "session") signedOut.dispatchEvent(new Event("out"));
  throw new Refused(found.code ?? "", found.detail ?? answer.statusText, answer.status, found);
}

export const get = (path) => call("GET", path);

/** Ask for something about sources; the same id is the same request. */
export const ask = (body, id) => call("POST", "requests", body, { "Idempotency-Key": id });

export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const TRY_S = 30;
const TRY_AGAIN_MS = 1000;
const TRIES = 90;

/** What a request would do. Of many thousand sources that takes longer than one call waits: then it is asked again. */
export async function tryOut(body, id, wanted = () => true) {
  const dry = { ...body, dry_run: true };
  let found = await call("POST", `requests?wait=${TRY_S}`, dry, { "Idempotency-Key": id });
  for (let turn = 0; ["sent", "running"].includes(found.state) && wanted(); turn++) {
    if (turn === TRIES) throw new Refused("late", "", 0);
    await new Promise((done) => setTimeout(done, TRY_AGAIN_MS));
    found = await get(`requests/${encodeURIComponent(found.request_id)}`);
  }
  return found;
}

const bearer = "-H 'Authorization: Bearer KEY'";

/** So many sources of a request are in one answer. */
const PARTS = 1000;

/** The keys of all that match, as a command line finds them; null if that takes more than one call. */
function keysOf(match, base, count) {
  if (match.request) {
    if (count > PARTS) return null;
    const path = `requests/${encodeURIComponent(match.request)}?outcome=failed&outcome=refused&limit=${PARTS}`;
    return `curl ${quoted(`${base}${path}`)} ${bearer} | jq -r '.sources[].source'`;
  }
  const words = (values) => values.map((one) => JSON.stringify(one)).join(",");
  const terms = [
    match.kind && `(.kind | IN(${words(match.kind)}))`,
    match.state && `(.state | IN(${words(match.state)}))`,
    match.tag && `([${words(match.tag)}] - .tags == [])`,
  ].filter(Boolean);
  const select = terms.length ? ` | select(${terms.join(" and ")})` : "";
  const name = match.name ? ` --name ${quoted(match.name)}` : "";
  return `emberline status --limit 0 --json${name} | jq -r ${quoted(`.sources[]${select} | .source`)}`;
}

/** The same on a command line: with `emberline`, and with `curl`. `count`: how many match, if that is known. */
export function equivalents(body, count = 0) {
  const base = new URL(".", location.href).href.split("#")[0];
  const why = body.reason ? ` --reason ${quoted(body.reason)}` : "";
  const told = (body.notify ?? []).map((one) => ` --notify ${quoted(one)}`).join("");
  const command = `emberline ${body.type}${body.legal ? " --legal" : ""}`;
  // the id of a request may begin like an option
  const dash = body.sources?.some((one) => one.startsWith("-")) ? "-- " : "";
  const keys = body.match && keysOf(body.match, base, count);
  const line = body.match
    ? keys && `${keys} | ${command}${why}${told} --from -`
    : `${command}${why}${told} ${dash}${body.sources.map(quoted).join(" ")}`;
  const json = `-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`;
  return [line, `curl -X POST ${quoted(`${base}requests`)} ${bearer} ${json}`].filter(Boolean).join("\n\n");
}
