// How to reach the brokers, from the variables that emberline's own programs take too:
// docs/secured-kafka.md describes them.
import { readFileSync } from "node:fs";
import { Kafka, logLevel } from "kafkajs";

export const PREFIX = process.env.EMBERLINE_PREFIX ?? "emberline.";
// of docs/secured-kafka.md, what this example leaves to your program
const UNSUPPORTED = ["TOKEN_URL", "CHECK_HOSTNAME"];

const setting = (name, otherwise = "") => process.env[`EMBERLINE_KAFKA_${name}`] || otherwise;

// the first line of the file that the variable NAME_FILE names, or the variable NAME
function secret(name) {
  const file = setting(`${name}_FILE`);
  return file ? readFileSync(file, "utf8").split("\n")[0].trim() : setting(name);
}

// Ends the program with a sentence on standard error.
export function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

export function client() {
  for (const name of UNSUPPORTED) {
    if (setting(name)) fail(`EMBERLINE_KAFKA_${name} is set, and this example does not support it`);
  }
  const brokers = process.env.KAFKA_BOOTSTRAP_SERVERS;
  if (!brokers) fail("Set KAFKA_BOOTSTRAP_SERVERS to the brokers: host:port, with commas between");
  const security = setting("SECURITY", "plaintext").toLowerCase();
  return new Kafka({
    clientId: "emberline-example",
    brokers: brokers.split(","),
    logLevel: logLevel.NOTHING, // errors come as exceptions
    reauthenticationThreshold: 1000, // ms; a session that lasts less long cannot be renewed
    ...(security.endsWith("ssl") && { ssl: tls() }),
    ...(security.startsWith("sasl") && { sasl: sasl() }),
  });
}

function tls() {
  const [ca, cert] = [setting("CA_FILE"), setting("CERT_FILE")];
  return {
    ...(ca && { ca: readFileSync(ca) }),
    ...(cert && {
      cert: readFileSync(cert),
      key: readFileSync(setting("KEY_FILE", cert)),
      passphrase: secret("KEY_PASSWORD") || undefined,
    }),
  };
}

function sasl() {
  const mechanism = setting("SASL_MECHANISM", "SCRAM-SHA-512").toLowerCase();
  return mechanism === "oauthbearer"
    ? // read for each connection, so another program may renew it
      { mechanism, oauthBearerProvider: async () => ({ value: secret("TOKEN") }) }
    : { mechanism, username: setting("SASL_USER"), password: secret("SASL_PASSWORD") };
}
