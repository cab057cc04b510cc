// Runs in the folder of npm `braze-api`: prints what its calls give as JSON.
// Arguments: the worker's address, a key, a wrong key, and how often to ask at once.
const { Braze } = require("braze-api");

const [address, key, wrong, times] = process.argv.slice(2);

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return { message: error.message, status: error.status };
  }
  throw new Error("no error");
}

async function main() {
  const braze = new Braze(address, key);
  const asked = {
    external_ids: ["ext-1", "nobody"],
    fields_to_export: ["external_id", "campaigns_received", "shoe_size"],
  };
  const segment = { segment_id: "s", fields_to_export: ["braze_id"], output_format: "zip" };
  const found = {
    users: await braze.users.export.ids(asked),
    segment: await braze.users.export.segment({ ...segment, callback_endpoint: "" }),
    hidden: await refused(() => braze.users.export.segment({ ...segment, segment_id: "hidden" })),
    email: await refused(() => braze.users.export.ids({ email_address: "ada@example.com" })),
    unauthorized: await refused(() => new Braze(address, wrong).users.export.ids(asked)),
    elsewhere: await refused(() => braze.messages.send({ messages: {} })),
  };
  found.limited = await refused(async () => {
    for (let n = 0; n < Number(times); n++) await braze.users.export.ids(asked);
  });
  console.log(JSON.stringify(found));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
