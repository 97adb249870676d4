// Data messages: bytes as livekit-client has them, and JSON beside.

import { DataPacket_Kind } from "./events.js";

/** encodeBase64 is btoa for bytes. */
export function encodeBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

export function decodeBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** packData makes the fields of publishData: bytes travel as base64, anything else as JSON. */
export function packData(data) {
  if (data instanceof ArrayBuffer) data = new Uint8Array(data);
  if (ArrayBuffer.isView(data)) {
    return { payload: encodeBase64(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)), encoding: "base64" };
  }
  if (data === undefined || JSON.stringify(data) === undefined) throw new TypeError("Data is bytes (Uint8Array, ArrayBuffer) or a JSON value.");
  return { payload: data };
}

/**
 * unpackData returns the bytes of a message, and its JSON value when it was sent
 * as one: a string's bytes are its UTF-8, those of any other value its JSON text.
 */
export function unpackData(m) {
  if (m.encoding === "base64") return { payload: decodeBase64(m.payload), json: undefined };
  const text = typeof m.payload === "string" ? m.payload : JSON.stringify(m.payload);
  return { payload: new TextEncoder().encode(text), json: m.payload };
}

export const kindOf = (m) => (m.reliable === false ? DataPacket_Kind.LOSSY : DataPacket_Kind.RELIABLE);
