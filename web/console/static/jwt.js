// Tokens, taken apart and signed.

const encoder = new TextEncoder();

function base64url(bytes) {
  let text = "";
  for (const b of bytes) text += String.fromCharCode(b);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function unbase64url(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
}

// canSign says whether this page has WebCrypto: browsers keep it from pages that
// came over plain http from another machine.
export const canSign = () => Boolean(globalThis.crypto?.subtle);

// importSecret returns a key that signs and cannot be read again.
export const importSecret = (secret) =>
  crypto.subtle.importKey("raw", encoder.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);

// sign makes an HS256 token.
export async function sign(key, claims) {
  const text = [{ alg: "HS256", typ: "JWT" }, claims].map((part) => base64url(encoder.encode(JSON.stringify(part)))).join(".");
  const signature = await crypto.subtle.sign("HMAC", key, encoder.encode(text));
  return `${text}.${base64url(new Uint8Array(signature))}`;
}

// decode returns what a token says, whoever wrote it; null when it cannot be read.
export function decode(token) {
  const parts = token.trim().split(".");
  if (parts.length !== 3) return null;
  try {
    const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(unbase64url(part)));
    const isObject = (v) => typeof v === "object" && v !== null && !Array.isArray(v);
    return isObject(header) && isObject(claims) ? { header, claims } : null;
  } catch {
    return null;
  }
}
