// When to come back, and what the codes say that mean not to.

import { ConnectionErrorReason, ConnectionError } from "./errors.js";
import { DisconnectReason } from "./events.js";

export const closeCode = Object.freeze({
  left: 1000,
  cut: 1006,
  pingTimeout: 4002,
  sessionNotFound: 4010,
  tokenExpired: 4501,
  notAdmitted: 4519,
  protocolError: 4520,
});

/** refusedByBrowser is the reason of an end when the browser makes no WebSocket for the address. */
export const refusedByBrowser = "refused_by_browser";

/** noToken is the reason of an end when there is no token to join with. */
export const noToken = "no_token";

/** wakeTime is how long what happens after a wake is still the same wake, in ms. */
export const wakeTime = 10_000;

/** comesBack reports whether to come back by oneself after a connection ended with the code. */
export function comesBack(code) {
  return code === 1001 || code === 1005 || code === 1006 || code === 1011 || code === 1012 || code === 1013 || code === 1015 || (code >= 4000 && code < 4500);
}

/** holds is how long a connection has to last, in ms, for the delays to begin anew. */
export const holds = 10_000;

const firstDelay = 300;
const longestDelay = 10_000;

/** backOff is how long to wait before an attempt, the first being 0: doubled each time, and half of it by chance. */
export function backOff(attempt, random = Math.random) {
  const most = Math.min(longestDelay, firstDelay * 2 ** Math.min(attempt, 16));
  return Math.round(most * (0.5 + random() / 2));
}

const { PARTICIPANT_REMOVED, DUPLICATE_IDENTITY, ROOM_DELETED, JOIN_FAILURE, CLIENT_INITIATED, STATE_MISMATCH, USER_REJECTED } = DisconnectReason;

// What each final code means: LiveKit's reason, an HTTP status to compare with,
// and what to do.
const finals = {
  1000: [CLIENT_INITIATED, undefined, "The session was left."],
  1002: [STATE_MISMATCH, undefined, "The server did not understand the WebSocket's framing. Something between page and server damages it."],
  1007: [STATE_MISMATCH, undefined, "The server did not understand a message."],
  1009: [STATE_MISMATCH, 413, "A message was larger than the server's limits.message_bytes. Send less at once."],
  4500: [JOIN_FAILURE, 401, "The token is not valid: it must be signed with a key of this server, have an expiry and an identity, and name a room."],
  4501: [JOIN_FAILURE, 401, "The token has run out. Get another one from your backend, or give the room a tokenProvider."],
  4502: [JOIN_FAILURE, 401, "The token is not valid yet. Compare the clocks of your backend and of the server."],
  4503: [PARTICIPANT_REMOVED, 401, "The token was revoked. Only one that your backend signs from now on lets in."],
  4504: [JOIN_FAILURE, 403, "The token does not allow joining, or the room lets nobody in without one. A LiveKit token needs roomJoin."],
  4505: [JOIN_FAILURE, 404, "There is no such room, and this token may not make it."],
  4506: [JOIN_FAILURE, 403, "The room is full."],
  4507: [DUPLICATE_IDENTITY, 409, "Another connection took this identity, or this session."],
  4508: [PARTICIPANT_REMOVED, 403, "An administrator removed this participant."],
  4509: [ROOM_DELETED, 404, "The room was deleted."],
  4511: [JOIN_FAILURE, 413, "The token is too large. Put less into its metadata and attributes."],
  4512: [JOIN_FAILURE, 403, "The server does not let this page's origin in. Add it to `origins` in the server's configuration."],
  4513: [JOIN_FAILURE, 413, "The token's identity, name, metadata or attributes are too large."],
  4514: [DUPLICATE_IDENTITY, 409, "Somebody with this identity is here already."],
  4515: [PARTICIPANT_REMOVED, 403, "The room does not let this person in any more."],
  4516: [ROOM_DELETED, 404, "The room has another name now."],
  4517: [PARTICIPANT_REMOVED, 403, "The time that this participant had in the room is over."],
  4518: [PARTICIPANT_REMOVED, 403, "An administrator put this participant out. Its token is still good."],
  4519: [USER_REJECTED, 403, "Nobody let this participant in."],
  4520: [STATE_MISMATCH, undefined, "Page and server do not speak the same protocol. Load the SDK from the server that you connect to."],
  4521: [JOIN_FAILURE, 403, "The room is not open yet."],
  4522: [JOIN_FAILURE, 404, "The room has expired."],
  4530: [PARTICIPANT_REMOVED, 401, "The key that signed the token was revoked."],
};

/** disconnectReason is LiveKit's word for a final close code. */
export function disconnectReason(code) {
  return finals[code]?.[0] ?? DisconnectReason.UNKNOWN_REASON;
}

/** closeMessage says what a close code means, and what to do. */
export function closeMessage(code, reason, origin, cause) {
  if (reason === noToken) {
    return cause?.message ?? "There is no token for the room that the server moved this participant to. Connect with another one from your backend, or give the room a tokenProvider.";
  }
  if (code === 4512 && origin) {
    return `The server does not let pages of ${origin} in. Add "${origin}" to \`origins\` in the server's configuration.`;
  }
  if (finals[code]) return finals[code][2];
  if (reason === refusedByBrowser) return "The browser opens no connection to this address. A page that came from https:// may only connect to wss:// addresses.";
  if (code === 1005 || code === 1006) return "The server was not reached, or the connection was cut. Check the address, and that the server runs.";
  return `The server closed the connection (${code}${reason ? ` ${reason}` : ""}).`;
}

/** connectionError is what a connect that failed is rejected with. */
export function connectionError(code, reason, origin, cause) {
  let kind = ConnectionErrorReason.WebSocket;
  if (code === 1000) return new ConnectionError("Connecting was cancelled by disconnect().", ConnectionErrorReason.Cancelled, { code });
  if (code === 4008 && reason === "timeout") return new ConnectionError("The server did not answer in time. Check the address and what is between.", ConnectionErrorReason.Timeout, { code });
  if (code === 1005 || code === 1006) kind = ConnectionErrorReason.ServerUnreachable;
  else if (code === 1011) kind = ConnectionErrorReason.InternalError;
  else if (code >= 4000 && code < 4500) kind = ConnectionErrorReason.LeaveRequest;
  else if (code === closeCode.notAdmitted) kind = ConnectionErrorReason.NotAdmitted;
  else if (code >= 4500) kind = ConnectionErrorReason.NotAllowed;
  return new ConnectionError(closeMessage(code, reason, origin, cause), kind, {
    code, closeReason: reason, status: finals[code]?.[1], context: disconnectReason(code), cause,
  });
}

/** sessionURL is where the native protocol is, of an address in any of its forms. */
export function sessionURL(url, base = globalThis.location?.href) {
  let at;
  try {
    at = new URL(url, base);
  } catch (cause) {
    throw new TypeError(`"${url}" is no address of a server. It looks like wss://usher.example.com`, { cause });
  }
  if (at.protocol === "http:") at.protocol = "ws:";
  if (at.protocol === "https:") at.protocol = "wss:";
  if (at.protocol !== "ws:" && at.protocol !== "wss:") {
    throw new TypeError(`The server's address begins with wss://, ws://, https:// or http://, not ${at.protocol}`);
  }
  at.hash = "";
  at.username = at.password = "";
  if (!at.pathname.endsWith("/session")) at.pathname = at.pathname.replace(/\/*$/, "/session");
  return at.href;
}
