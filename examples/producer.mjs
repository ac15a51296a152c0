// Publishes records from Node, without any package: node examples/producer.mjs CHANNEL < records.jsonl
//
// One JSON object a line. Prints the message id of each, once it is in the queue. A full queue is waited out.
// REDIS_HOST, _PORT, _PASSWORD, _KEY_PREFIX and _QUEUE_MAXLEN are those of the pipeline.
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const { REDIS_HOST = "localhost", REDIS_PORT = "6379", REDIS_PASSWORD } = process.env;
const { REDIS_KEY_PREFIX = "tutormax", REDIS_QUEUE_MAXLEN: MAXLEN = "100000" } = process.env;
const STREAM = `${REDIS_KEY_PREFIX}:${process.argv[2]}`;
const SCRIPT = readFileSync(new URL("../docs/vectors/publish.lua", import.meta.url), "utf8");
const BATCH = 100, FULL_WAIT_MS = 200;

// RFC 8785. What would not read back as the same value is refused here, where somebody can still mend it.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const keys = Object.keys(value).sort();
    return `{${keys.map((key) => `${canonical(key)}:${canonical(value[key])}`).join(",")}}`;
  }
  if (typeof value === "string" && /\p{Surrogate}|\0/u.test(value)) {
    throw new Error("U+0000 or half of a surrogate pair");
  }
  // JSON.parse has rounded it already, and below 1e21 it would be written as an integer.
  if (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21) {
    throw new Error("integer beyond 2^53 - 1; send it as text");
  }
  return JSON.stringify(value);
}

function envelope(data) {
  const form = canonical(data), id = randomUUID(), timestamp = new Date().toISOString();
  const checksum = createHash("sha256").update(form, "utf8").digest("hex");
  const head = JSON.stringify({ id, timestamp, channel: STREAM, metadata: { source: "node" }, checksum });
  return { id, body: `${head.slice(0, -1)},"data":${form}}` };
}

// The least of a Redis client: one command at a time; no reply to these has a line end within.
class Redis {
  constructor(socket) {
    this.socket = socket;
    this.lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  async command(...words) {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.socket.write(`*${words.length}\r\n${parts.join("")}`);
    return this.#reply();
  }

  async #reply() {
    const { value: line, done } = await this.lines.next();
    if (done) throw new Error("Redis closed the connection.");
    const kind = line[0], rest = line.slice(1);
    if (kind === "-") throw new Error(`Redis answered: ${rest}`);
    if (kind === "$") return (await this.lines.next()).value;
    if (kind !== "*") return rest;
    const list = [];
    for (let left = Number(rest); left > 0; left -= 1) list.push(await this.#reply());
    return list;
  }
}

process.on("uncaughtException", (error) => {
  console.error(`Error: ${error.message}`);
  process.exit(1);
});
const redis = new Redis(connect(Number(REDIS_PORT), REDIS_HOST));
if (REDIS_PASSWORD) await redis.command("AUTH", REDIS_PASSWORD);

async function publish(left) {
  while (left.length > 0) {
    // The reply has an entry id for each that fitted, in order; the others are to be sent again, later.
    const added = await redis.command("EVAL", SCRIPT, "1", STREAM, MAXLEN, ...left.map((one) => one.body));
    for (const one of left.splice(0, added.length)) console.log(one.id);
    if (left.length === 0) return;
    console.error(`${STREAM} is full; ${left.length} wait.`);
    await sleep(FULL_WAIT_MS);
  }
}

const batch = [];
let number = 0;
for await (const line of createInterface({ input: process.stdin })) {
  number += 1;
  try {
    batch.push(envelope(JSON.parse(line)));
  } catch (error) {
    console.error(`line ${number}: ${error.message}`);
    process.exitCode = 1;
  }
  if (batch.length >= BATCH) await publish(batch);
}
await publish(batch);
redis.socket.end();
