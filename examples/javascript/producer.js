// Sends what users did with a campaign: each entered a variant, got the message, opened it, clicked
// and converted.
//
//     node producer.js CAMPAIGN USER...
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import avro from "avsc";
import { Partitioners } from "kafkajs";
import { client, fail, PREFIX } from "./connection.js";

const SCHEMAS = process.env.SCHEMAS ?? "../../schemas";
// from docs/reference/records.md; they are the same with and without a schema registry
const SCHEMA_IDS = {
  variant: 1162691076,
  send: 1162691073,
  open: 1162691074,
  click: 1162691075,
  conversion: 1162691077,
};
// the fields of each type beside those that all have
const FIELDS = {
  variant: {},
  send: { channel: "EMAIL" },
  open: { channel: "EMAIL" },
  click: { channel: "EMAIL", link_alias: "shop" },
  conversion: { conversion_behavior_index: 0 },
};

// Confluent framing: byte 0, the schema id, the record in Avro
function framing(name) {
  const type = avro.Type.forSchema(JSON.parse(readFileSync(`${SCHEMAS}/avro/${name}.avsc`)));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(SCHEMA_IDS[name], 1);
  return (event) => Buffer.concat([head, type.toBuffer(event)]); // a field left out has its default
}

// W3C trace context; OpenTelemetry's instrumentation writes this header by itself
const traceContext = () =>
  `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`;

async function main(campaign, users) {
  const producer = client().producer({
    idempotent: true, // the broker's log has each event once, also after a broken connection
    maxInFlightRequests: 1,
    // Kafka's murmur2: all events of a user on one partition, the same as of other languages
    createPartitioner: Partitioners.DefaultPartitioner,
  });
  await producer.connect();
  try {
    const topicMessages = Object.entries(FIELDS).map(([name, fields]) => {
      const framed = framing(name);
      const messages = users.map((user) => ({
        key: user,
        headers: { traceparent: traceContext() },
        value: framed({
          id: randomUUID(), // repeat the id if you ever send the event again
          user_id: user,
          time: Date.now(), // milliseconds since 1970, UTC
          campaign_id: campaign,
          message_variation_id: "blue",
          ...fields,
        }),
      }));
      return { topic: `${PREFIX}interactions.${name}`, messages };
    });
    await producer.sendBatch({ acks: -1, topicMessages });
    console.log(`${topicMessages.length * users.length} events acknowledged`);
  } finally {
    await producer.disconnect();
  }
}

const [campaign, ...users] = process.argv.slice(2);
if (!users.length) fail("usage: node producer.js CAMPAIGN USER...");
main(campaign, users).catch((error) => fail(`Not all events were sent: ${error.message}`));
