// Judges docs/vectors/envelopes.json by rules of its own: node verify.mjs FILE
// Prints, as JSON, what it made of each vector. It shares no code with queue_core.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { canonical, parse, Refused } from "../../examples/strict_json.mjs";

const TIMESTAMP = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?$/;

const sha256 = (text) => createHash("sha256").update(text, "utf8").digest("hex");

function instant(text) {
  const found = typeof text === "string" ? TIMESTAMP.exec(text) : null;
  if (!found) throw new Refused("timestamp");
  const [year, month, day] = found.slice(1, 4).map(Number);
  if (new Date(Date.UTC(year, month, 0)).getUTCDate() < day) throw new Refused("no such day");
  const moment = new Date(text.replace(" ", "T") + (found[8] ? "" : "Z"));
  if (Number.isNaN(moment.getTime())) throw new Refused("no such time");
  return moment.toISOString();
}

function judge(body, stream, maxBytes) {
  if (body.length > maxBytes) return { reason: "too_large" };
  try {
    const envelope = parse(body);
    if (!(envelope instanceof Map)) throw new Refused("not an object");
    const { id, channel, data, checksum } = Object.fromEntries(envelope);
    const characters = typeof id === "string" ? [...id].length : 0;
    if (characters < 1 || characters > 128) throw new Refused("id");
    const publishedAt = instant(envelope.get("timestamp"));
    if (typeof channel !== "string" || typeof checksum !== "string") throw new Refused("not text");
    if (!(data instanceof Map)) throw new Refused("data");
    if (envelope.has("metadata") && !(envelope.get("metadata") instanceof Map)) throw new Refused("metadata");
    if (sha256(canonical(data)) !== checksum.toLowerCase()) return { reason: "checksum_mismatch" };
    if (channel !== stream) return { reason: "invalid" };
    return { id, published_at: publishedAt };
  } catch (error) {
    if (error instanceof Refused) return { reason: "malformed" };
    throw error;
  }
}

const vectors = JSON.parse(readFileSync(process.argv[2], "utf8"));
const bodyOf = (one) => Buffer.from(one.envelope_base64 ?? one.envelope, one.envelope_base64 ? "base64" : "utf8");
const judged = (list) =>
  list.map((one) => ({ name: one.name, ...judge(bodyOf(one), vectors.stream, one.max_bytes) }));
console.log(
  JSON.stringify({
    canonical: vectors.canonical.map(({ name, data }) => {
      const form = canonical(parse(Buffer.from(data, "utf8")));
      return { name, canonical: form, checksum: sha256(form) };
    }),
    accepted: judged(vectors.accepted),
    refused: judged(vectors.refused),
  }),
);
