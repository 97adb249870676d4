// Calls of the server APIs, and the credential that they are made with. It is in
// this module's memory and nowhere else.

import { decode, importSecret, sign } from "./jwt.js";

// tokenLife is how long a token lives that the page signs for one call, in seconds.
const tokenLife = 60;

// A Refusal is an answer that is not what was asked for. Status 0: there was none.
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let credential = null; // {keyId, key} or {token, grant}
let skew = 0; // of the server's clock against ours, in ms

export const serverNow = () => Date.now() + skew;

export const signedIn = () => credential !== null;
export const keyId = () => credential?.keyId ?? null;

// scope is the room that the credential is for, null for all of the project.
export const scope = () => credential?.grant?.room || null;

export const bearerName = () => credential?.name ?? "";

// may says whether the credential is good for a call of LiveKit's API.
export function may(grant) {
  if (!credential) return false;
  if (credential.key) return true;
  return Object.entries(grant).every(([k, v]) => credential.grant[k] === v);
}

export const signOut = () => (credential = null);

// signInWithKey takes an API key. It says by a Refusal that the server does not.
export async function signInWithKey(id, secret) {
  await fetch("/healthz", { cache: "no-store" }).then(noteClock, () => {}); // the page signs by the server's clock
  const tried = { keyId: id, key: await importSecret(secret) };
  await call(tried, { roomAdmin: true }, "GET", "/usher/v1/rooms?limit=1");
  credential = tried;
}

// signInWithToken takes a token that administers a room, or the project.
export async function signInWithToken(token) {
  const read = decode(token);
  if (!read) throw new Refusal(0, "unreadable", "this is no token: it cannot be read");
  const grant = read.claims.video ?? {};
  const room = typeof grant.room === "string" ? grant.room : "";
  if (!grant.roomAdmin) throw new Refusal(0, "no_admin", "this token administers nothing: it has no roomAdmin");
  if (!room && grant.roomJoin) throw new Refusal(0, "no_admin", "this token names no room, and has roomJoin: it administers neither a room nor the project");
  const tried = { token: token.trim(), grant: { ...grant, room }, name: typeof read.claims.sub === "string" ? read.claims.sub : "" };
  try {
    await call(tried, {}, "GET", room ? `/usher/v1/rooms/${encodeURIComponent(room)}/participants?limit=1` : "/usher/v1/rooms?limit=1");
  } catch (error) {
    if (!(error.status === 404)) throw error; // the room need not be there yet
  }
  credential = tried;
}

// signToken signs claims with the API key, by the server's clock.
export const signToken = (claims) => sign(credential.key, claims);

async function tokenFor(with_, grant) {
  if (with_.token) return with_.token;
  const now = Math.floor(serverNow() / 1000);
  return sign(with_.key, { iss: with_.keyId, iat: now, nbf: now, exp: now + tokenLife, video: grant });
}

function noteClock(response) {
  const at = Date.parse(response.headers.get("Date") ?? "");
  // The header has whole seconds, and was on its way for a while.
  if (!Number.isNaN(at)) skew = Math.abs(at - Date.now()) > 3000 ? at - Date.now() : 0;
}

async function call(with_, grant, method, path, body, signal, again = true) {
  if (!with_) throw new Refusal(401, "signed_out", "you are signed out");
  const token = await tokenFor(with_, grant);
  let response;
  try {
    response = await fetch(path, {
      method, signal, cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer",
      headers: { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "unreachable", "the server cannot be reached");
  }
  noteClock(response);
  const text = await response.text();
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // LiveKit's refusals of tokens are plain text.
  }
  if (response.ok) return answer;
  const message = answer?.message ?? answer?.msg ?? text.trim().slice(0, 300);
  // A token signed in the same second as a revocation is refused; the next is not.
  if (response.status === 401 && with_.key && again && message.includes("revoked")) {
    await new Promise((done) => setTimeout(done, 1100));
    return call(with_, grant, method, path, body, signal, false);
  }
  throw new Refusal(response.status, answer?.code ?? "", message);
}

// ---- usher's own API, with the project's own token

const own = (method, path, body, signal) => call(credential, { roomAdmin: true }, method, "/usher/v1" + path, body, signal);
const at = (...names) => names.map((n) => "/" + encodeURIComponent(n)).join("");
const query = (parts) => {
  const q = new URLSearchParams(Object.entries(parts).filter(([, v]) => v !== "" && v !== undefined && v !== null));
  return String(q) && `?${q}`;
};

export const rooms = (find, signal) => own("GET", "/rooms" + query({ find, limit: 500 }), undefined, signal);
export const participants = (room, find, signal) => own("GET", `/rooms${at(room)}/participants` + query({ find, limit: 200 }), undefined, signal);
export const permissions = (room, identity, signal) => own("GET", `/rooms${at(room)}/participants${at(identity)}/permissions`, undefined, signal);
export const change = (room, identity, what) => own("PATCH", `/rooms${at(room)}/participants${at(identity)}`, what);
export const waiting = (room, signal) => own("GET", `/rooms${at(room)}/waiting`, undefined, signal);
export const answerWaiting = (room, verb, sids) => own("POST", `/rooms${at(room)}/waiting`, { [verb]: sids });
export const revocations = (after, signal) => own("GET", "/revocations" + query({ room: scope(), after, limit: 200 }), undefined, signal);
export const revoke = (what) => own("POST", "/revocations", what);
export const lift = (id) => own("DELETE", `/revocations${at(id)}`);
export const webhooks = (signal) => own("GET", "/webhooks", undefined, signal);
export const explainToken = (token, signal) => own("POST", "/tokens/explain", { token }, signal);

// ---- LiveKit's API, each call with a token for just that

const twirp = (method, grant, body) => call(credential, grant, "POST", `/twirp/livekit.RoomService/${method}`, body);
export const ofRoom = (room) => ({ roomAdmin: true, room });

export const createRoom = (settings) => twirp("CreateRoom", { roomCreate: true }, settings);
export const deleteRoom = (room) => twirp("DeleteRoom", { roomCreate: true }, { room });
export const setRoomMetadata = (room, metadata) => twirp("UpdateRoomMetadata", ofRoom(room), { room, metadata });
export const mute = (room, identity, track_sid) => twirp("MutePublishedTrack", ofRoom(room), { room, identity, track_sid, muted: true });
export const move = (room, identity, to) =>
  twirp("MoveParticipant", { ...ofRoom(room), destinationRoom: to }, { room, identity, destination_room: to });

export function remove(room, identity) {
  if (may(ofRoom(room))) return twirp("RemoveParticipant", ofRoom(room), { room, identity });
  return revoke({ room, identity }); // which is the same, and needs only the project's own token
}

export function sendData(room, text, { topic, reliable, identities }) {
  const bytes = new TextEncoder().encode(text);
  let binary = "";
  for (const b of bytes) binary += String.fromCharCode(b);
  return twirp("SendData", ofRoom(room), {
    room, data: btoa(binary), kind: reliable ? "RELIABLE" : "LOSSY",
    ...(topic ? { topic } : {}), destination_identities: identities,
    nonce: btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16)))),
  });
}
