// Prints each expiry and each restore once, until Ctrl-C.
//
//     node consumer.js
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import avro from "avsc";
import { client, fail, PREFIX } from "./connection.js";

const SCHEMAS = process.env.SCHEMAS ?? "../../schemas";
const FILES = JSON.parse(readFileSync(`${SCHEMAS}/registry.json`));
// what this program has done; yours keeps it in its database, in the transaction of its work
const DONE = process.env.DONE_FILE ?? "done.txt";
const TOPICS = new Map(
  ["expired", "restored"].map((fact) => [`${PREFIX}lifecycle.${fact}`, fact]),
);

// the record behind Confluent framing: byte 0, the schema id, the record in Avro
function read(value) {
  const id = value.readUInt32BE(1);
  if (value[0] !== 0 || !(id in FILES)) {
    fail(`No schema has the id ${id}: take the schemas of emberline's newer release`);
  }
  const schema = JSON.parse(readFileSync(`${SCHEMAS}/${FILES[id]}`));
  return avro.Type.forSchema(schema).fromBuffer(value.subarray(5));
}

const done = new Set(existsSync(DONE) ? readFileSync(DONE, "utf8").split("\n") : []);
const consumer = client().consumer({
  groupId: process.env.GROUP_ID ?? "emberline-example",
  // otherwise records of aborted transactions come too: facts that never were
  readUncommitted: false,
  retry: { restartOnFailure: async () => false },
});

async function eachMessage({ topic, partition, message }) {
  const [fact, record] = [TOPICS.get(topic), read(message.value)];
  // the same source, fact and epoch: told again, or read again after a crash
  const key = `${fact} ${record.source} ${record.epoch}`;
  if (!done.has(key)) {
    console.log(`${key}: ${record.interactions} interactions`);
    done.add(key);
    appendFileSync(DONE, `${key}\n`);
  }
  const offset = String(BigInt(message.offset) + 1n);
  await consumer.commitOffsets([{ topic, partition, offset }]);
}

const again = (error) => fail(`Start it again, it goes on where it was: ${error.message}`);
consumer.on(consumer.events.CRASH, ({ payload }) => again(payload.error));
for (const signal of ["SIGINT", "SIGTERM"]) {
  // leaves the group, so that another member takes over at once
  process.once(signal, () => consumer.disconnect().then(() => process.exit(0), again));
}

async function main() {
  await consumer.connect();
  await consumer.subscribe({ topics: [...TOPICS.keys()], fromBeginning: true });
  // the offset is committed above, when the work is done
  await consumer.run({ autoCommit: false, eachMessage });
}

main().catch(again);
