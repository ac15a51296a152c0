// Publishes records from Node, without any package: node examples/producer.mjs CHANNEL < records.jsonl
//
// One JSON object a line. Prints the message id of each, once it is in the queue. A full queue is waited out;
// where no answer comes, the same messages are sent again for some seconds.
// REDIS_HOST, _PORT, _DB, _USERNAME, _PASSWORD, _SOCKET_TIMEOUT, _KEY_PREFIX, _QUEUE_MAXLEN and
// _MAX_MESSAGE_SIZE_BYTES are those of the pipeline; there is no TLS here.
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { canonical, parse, Refused } from "./strict_json.mjs";

const CHANNELS = ["tutors", "sessions", "feedback"], CHANNEL = process.argv[2];
if (!CHANNELS.includes(CHANNEL) || process.argv.length > 3) {
  console.error(`Usage: node examples/producer.mjs ${CHANNELS.join("|")} < records.jsonl`);
  process.exit(2);
}
const { REDIS_HOST = "localhost", REDIS_PORT = "6379", REDIS_DB = "0" } = process.env;
const { REDIS_USERNAME, REDIS_PASSWORD, REDIS_KEY_PREFIX = "tutormax", REDIS_SOCKET_TIMEOUT = "5" } = process.env;
const { REDIS_QUEUE_MAXLEN: MAXLEN = "100000", REDIS_MAX_MESSAGE_SIZE_BYTES: MOST_BYTES = "1048576" } = process.env;
const STREAM = `${REDIS_KEY_PREFIX}:${CHANNEL}`;
const SCRIPT = readFileSync(new URL("../docs/vectors/publish.lua", import.meta.url), "utf8");
const BATCH = 100, FULL_WAIT_MS = 200, TRIES = 5, AGAIN_MS = 100;

function envelope(line) {
  // It will stand in the envelope, which is one object around it.
  const data = parse(line, 1);
  if (!(data instanceof Map)) throw new Refused("a record is an object");
  const form = canonical(data), id = randomUUID(), timestamp = new Date().toISOString();
  const checksum = createHash("sha256").update(form, "utf8").digest("hex");
  const head = JSON.stringify({ id, timestamp, channel: STREAM, metadata: { source: "node" }, checksum });
  const body = `${head.slice(0, -1)},"data":${form}}`;
  if (Buffer.byteLength(body) > Number(MOST_BYTES)) throw new Refused(`larger than ${MOST_BYTES} bytes`);
  return { id, body };
}

// As bytes: what is not UTF-8 must be refused, and not be replaced unseen. With their line ends: an answer that
// was cut off has none.
async function* linesOf(input) {
  let rest = Buffer.alloc(0);
  for await (const chunk of input) {
    rest = Buffer.concat([rest, chunk]);
    for (let end; (end = rest.indexOf("\n") + 1) > 0; rest = rest.subarray(end)) yield rest.subarray(0, end);
  }
  if (rest.length > 0) yield rest;
}

// The least of a Redis client: one command at a time; no reply to these has a line end within.
class Redis {
  async command(...words) {
    if (!this.socket) await this.#connect();
    try {
      return await this.#ask(words);
    } catch (error) {
      // An answer that came late would be taken for that to the next command.
      this.socket.destroy();
      this.socket = undefined;
      throw error;
    }
  }

  async #connect() {
    const socket = connect(Number(REDIS_PORT), REDIS_HOST);
    socket.on("timeout", () => socket.destroy(new Error(`no answer within ${REDIS_SOCKET_TIMEOUT} s`)));
    socket.on("error", () => {}); // whoever waits for a line is told
    this.socket = socket;
    this.lines = linesOf(socket);
    if (REDIS_PASSWORD) await this.command("AUTH", ...(REDIS_USERNAME ? [REDIS_USERNAME] : []), REDIS_PASSWORD);
    if (REDIS_DB !== "0") await this.command("SELECT", REDIS_DB);
  }

  async #ask(words) {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.socket.setTimeout(Number(REDIS_SOCKET_TIMEOUT) * 1_000);
    this.socket.write(`*${words.length}\r\n${parts.join("")}`);
    const reply = await this.#reply();
    this.socket.setTimeout(0);
    return reply;
  }

  async #reply() {
    const line = await this.#line(), kind = line[0], rest = line.slice(1);
    if (kind === "-") {
      // A server that starts or hands over takes it soon; other refusals stay.
      const isFinal = !/^(LOADING|READONLY) /.test(rest);
      throw Object.assign(new Error(`Redis answered: ${rest}`), { isFinal });
    }
    if (kind === "$") return this.#line();
    if (kind !== "*") return rest;
    const list = [];
    for (let left = Number(rest); left > 0; left -= 1) list.push(await this.#reply());
    return list;
  }

  async #line() {
    const line = (await this.lines.next()).value?.toString("utf8");
    if (!line?.endsWith("\n")) throw new Error("Redis closed the connection");
    return line.trimEnd();
  }
}

const redis = new Redis();

async function publish(left) {
  for (let tries = 1; left.length > 0; ) {
    try {
      // The reply has an entry id for each that fitted, in order; the others are to be sent again, later.
      const added = await redis.command("EVAL", SCRIPT, "1", STREAM, MAXLEN, ...left.map((one) => one.body));
      for (const one of left.splice(0, added.length)) console.log(one.id);
      tries = 1;
    } catch (error) {
      if (error.isFinal || tries >= TRIES) throw error;
      // They may be in the queue or not. Sent again under the same ids, they take effect once.
      console.error(`${wordsOf(error)}; sending ${left.length} again.`);
      await sleep(AGAIN_MS * 2 ** tries);
      tries += 1;
      continue;
    }
    if (left.length > 0) {
      console.error(`${STREAM} is full; ${left.length} wait.`);
      await sleep(FULL_WAIT_MS);
    }
  }
}

// Of several addresses that were tried, none has a message for all.
const wordsOf = (error) => error.message || error.errors?.map((one) => one.message).join("; ") || error.code;

const batch = [];
try {
  // Once, so that a wrong address or password is told at once.
  await redis.command("PING");
  let number = 0;
  for await (const line of linesOf(process.stdin)) {
    number += 1;
    try {
      batch.push(envelope(line));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      console.error(`line ${number}: ${error.message}`);
      process.exitCode = 1;
    }
    if (batch.length >= BATCH) await publish(batch);
  }
  await publish(batch);
  redis.socket.end();
} catch (error) {
  console.error(`Error: ${wordsOf(error)}${batch.length > 0 ? `; not known to be queued: ${batch.length}` : ""}`);
  process.exit(1);
}
