// Gives a test in another language the objects of livekit-server-sdk: what it
// asks comes on stdin, one JSON object a line, and is answered on stdout, one
// line each, in any order.
//
//   {"id":1,"new":"AccessToken","args":["key","secret"],"as":"token"}
//   {"id":2,"on":"token","set":{"metadata":"…"}}
//   {"id":3,"on":"token","call":"toJwt","args":[]}
//   {"id":4,"methods":"RoomServiceClient"}
//
//   {"id":3,"result":"eyJ…"}
//   {"id":3,"error":{"name":"Not Found","message":"…","status":404,"code":"not_found","metadata":{}}}
//
// What JSON cannot say is an object with one member, in both directions:
// {"$bigint":"7"}, {"$bytes":"base64"}, {"$undefined":true}, and to the SDK only
// {"$new":"RoomConfiguration","args":[…]}. A message of protobuf comes as the
// fields that a program in JavaScript would read.

import { createInterface } from "node:readline";
import * as sdk from "livekit-server-sdk";

// Only answers may be on stdout, and the SDK has something to say, too.
console.log = console.info = console.debug = console.error;

const objects = new Map();

function construct(name, args) {
  if (typeof sdk[name] !== "function") throw new Error(`livekit-server-sdk has no class ${name}`);
  return new sdk[name](...args.map(decode));
}

function decode(v) {
  if (Array.isArray(v)) return v.map(decode);
  if (v === null || typeof v !== "object") return v;
  if ("$bigint" in v) return BigInt(v.$bigint);
  if ("$bytes" in v) return new Uint8Array(Buffer.from(v.$bytes, "base64"));
  if ("$undefined" in v) return undefined;
  if ("$new" in v) return construct(v.$new, v.args);
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, decode(x)]));
}

function encode(v) {
  if (typeof v === "bigint") return { $bigint: v.toString() };
  if (v === undefined) return { $undefined: true };
  if (v === null || typeof v !== "object") return v;
  if (v instanceof Uint8Array) return { $bytes: Buffer.from(v).toString("base64") };
  if (Array.isArray(v)) return v.map(encode);
  // Without toJSON, which would turn a message into something else.
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, encode(x)]));
}

async function answer(q) {
  if (q.new !== undefined) {
    objects.set(q.as, construct(q.new, q.args));
  } else if (q.set !== undefined) {
    Object.assign(objects.get(q.on), decode(q.set));
  } else if (q.methods !== undefined) {
    return Object.getOwnPropertyNames(sdk[q.methods].prototype).filter((name) => name !== "constructor");
  } else {
    const [method, ...path] = q.call.split(".").reverse(); // "rpc.request" is request of rpc
    const on = path.reverse().reduce((o, name) => o[name], objects.get(q.on));
    if (typeof on[method] !== "function") throw new Error(`livekit-server-sdk has no method ${q.call}`);
    return on[method](...q.args.map(decode));
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const q = JSON.parse(line);
  // Not awaited: what is asked at once is done at once.
  answer(q)
    .then((result) => ({ id: q.id, result: encode(result) }))
    .catch(({ name, message, status, code, metadata }) => ({ id: q.id, error: { name, message, status, code, metadata } }))
    .then((a) => process.stdout.write(JSON.stringify(a) + "\n"));
}
