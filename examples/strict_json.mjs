// JSON as the contract has it: read without JSON.parse, which takes duplicate keys and rounds integers, and
// written in its canonical form.

const MOST_NESTING = 64;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

export class Refused extends Error {}

// RFC 8785: ECMAScript writes numbers and text as it asks for; keys are sorted as ECMAScript compares text.
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!(value instanceof Map)) return JSON.stringify(value);
  const keys = [...value.keys()].sort((a, b) => (a < b ? -1 : 1));
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value.get(key))}`).join(",")}}`;
}

// Objects come back as Map: a key may be called __proto__, and the order of keys must not depend on them.
// What is to stand in other objects or lists says in how many: they count as nesting.
export function parse(bytes, within = 0) {
  let text, at = 0;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused("not UTF-8");
  }

  const skip = () => { while (" \t\r\n".includes(text[at] ?? "x")) at += 1; };
  const take = (wanted) => {
    if (!text.startsWith(wanted, at)) throw new Refused(`${wanted} is missing at ${at}`);
    at += wanted.length;
  };

  function value(depth) {
    skip();
    const first = text[at];
    let found;
    if (first === "{") found = object(depth + 1);
    else if (first === "[") found = list(depth + 1);
    else if (first === '"') found = string();
    else if (first === "t") { take("true"); found = true; }
    else if (first === "f") { take("false"); found = false; }
    else if (first === "n") { take("null"); found = null; }
    else found = number();
    skip();
    return found;
  }

  function members(end, depth, one) {
    if (depth > MOST_NESTING) throw new Refused("nested too deep");
    at += 1;
    skip();
    if (text[at] === end) { at += 1; return; }
    for (;;) {
      one();
      if (text[at] === end) { at += 1; return; }
      take(",");
    }
  }

  function object(depth) {
    const found = new Map();
    members("}", depth, () => {
      skip();
      const key = string();
      skip();
      take(":");
      if (found.has(key)) throw new Refused("the same key twice");
      found.set(key, value(depth));
    });
    return found;
  }

  function list(depth) {
    const found = [];
    members("]", depth, () => found.push(value(depth)));
    return found;
  }

  function string() {
    take('"');
    let found = "";
    while (text[at] !== '"') {
      const one = text[at];
      if (one === undefined || one < " ") throw new Refused("text is not closed");
      at += 1;
      if (one !== "\\") { found += one; continue; }
      const escape = text[at];
      at += 1;
      if (escape === "u") {
        const digits = text.slice(at, at + 4);
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new Refused("an unfinished escape");
        found += String.fromCharCode(parseInt(digits, 16));
        at += 4;
      } else if (escape in ESCAPES) found += ESCAPES[escape];
      else throw new Refused("an unknown escape");
    }
    at += 1;
    if (found.includes("\0")) throw new Refused("U+0000");
    if (/\p{Surrogate}/u.test(found)) throw new Refused("half of a surrogate pair");
    return found;
  }

  function number() {
    const pattern = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (!found) throw new Refused(`no value at ${at}`);
    at += found[0].length;
    const number = Number(found[0]);
    const isInteger = found[1] === undefined && found[2] === undefined;
    if (!Number.isFinite(number)) throw new Refused("a number beyond a double");
    if (isInteger && !Number.isSafeInteger(number)) throw new Refused("an integer beyond 2^53 - 1; send it as text");
    return number;
  }

  const found = value(within);
  if (at !== text.length) throw new Refused(`something follows at ${at}`);
  return found;
}
