// Prints the users who match a filter, one a line, over HTTP. It needs no package.
//
//     node audience.js FILTER [refuse | exclude | restore]
//
// If the filter is about an expired source: `refuse` (the default) ends with an error, `exclude`
// leaves that part out where this can only shorten the answer, `restore` brings the data back and
// asks again. For https with an authority of your own set NODE_EXTRA_CA_CERTS to its certificate.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const WORKER = process.env.WORKER_URL ?? "http://127.0.0.1:6066";
const KEY = process.env.EMBERLINE_API_KEY;
const PATIENCE_MS = 600_000;

// An answer that is an error has a problem document (RFC 9457) as its body.
class Problem extends Error {
  constructor(status, retryAfter, problem) {
    super(`${problem.title}: ${problem.detail}`);
    Object.assign(this, { status, retryAfter, ...problem });
  }
}

async function call(path, body, headers = {}) {
  const answer = await fetch(WORKER + path, {
    method: body ? "POST" : "GET",
    body: body && JSON.stringify(body),
    headers: {
      ...(body && { "Content-Type": "application/json" }),
      ...(KEY && { Authorization: `Bearer ${KEY}` }),
      ...headers,
    },
    signal: AbortSignal.timeout(120_000),
  });
  if (answer.ok) return answer;
  throw new Problem(answer.status, answer.headers.get("Retry-After"), await answer.json());
}

// all users that match
async function users(question) {
  const answer = await call("/audience", question, { Accept: "application/x-ndjson" });
  const rows = (await answer.text()).trimEnd().split("\n").map(JSON.parse);
  const last = rows.pop();
  // an answer that broke off lacks its last line; what it has is not the audience
  if (!last.complete) throw new Error("The answer broke off: ask again");
  if (last.excluded_expired) console.error("left out, expired:", ...last.excluded_expired);
  return rows.map((row) => row.user);
}

// brings sources back from the archive, and waits until they are there
async function restore(body, deadline) {
  const name = randomUUID(); // with the same key the call may be repeated: it stays one request
  await call("/restores", body, { "Idempotency-Key": name });
  while (Date.now() < deadline) {
    const found = await (await call(`/restores/${name}`)).json();
    if (found.state === "finished") return;
    if (found.state === "failed") {
      const refused = found.sources.filter((one) => one.code).map((one) => one.message);
      throw new Error(`Not restored: ${refused.join("; ") || found.message}`);
    }
    await sleep(200);
  }
}

async function main(question, restores) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      const found = await users(question);
      if (found.length) console.log(found.join("\n"));
      return;
    } catch (error) {
      const hidden = error.code === "source_hidden";
      const waits = error.status === 503 || (hidden && restores);
      if (!waits || Date.now() > deadline) throw error;
      if (hidden && error.restore) {
        console.error("restoring:", ...error.restore.sources);
        await restore(error.restore, deadline);
      } else {
        await sleep(1000 * Number(error.retryAfter || 1)); // a restore is under way already
      }
    }
  }
}

const [filter, onExpired = "refuse", ...more] = process.argv.slice(2);
if (!filter || more.length || !["refuse", "exclude", "restore"].includes(onExpired)) {
  console.error("usage: node audience.js FILTER [refuse | exclude | restore]");
  process.exit(1);
}
try {
  const question = {
    filter: JSON.parse(filter),
    on_expired: onExpired === "exclude" ? "exclude" : "refuse",
  };
  await main(question, onExpired === "restore");
} catch (error) {
  const hint = error.code === "source_hidden" ? "; ask with `exclude` or `restore`" : "";
  console.error(`${error.cause?.message ?? error.message}${hint}`);
  process.exit(1);
}
