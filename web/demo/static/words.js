// What the protocol's codes mean, for people.

import { RequestError } from "/sdk/usher.js";

// What helps: "wait": the page comes back by itself. "again": the same token may
// do. "token": only another token does. "": nothing to be done here.
const help = {
  wait: "The page comes back by itself.",
  again: "The page does not come back by itself.",
  token: "To join, paste another token below.",
  "": "",
};

const closes = {
  1000: ["You left", "The session has ended.", "again"],
  1001: ["The server went away", "", "wait"],
  1002: ["Connection broken", "The server did not understand the WebSocket's framing.", "again"],
  1006: ["Connection lost", "", "wait"],
  1007: ["Connection closed", "A message was not UTF-8.", "again"],
  1009: ["Message too large", "The server ended the connection because a message was larger than it allows.", "again"],
  1011: ["Something failed in the server", "", "wait"],
  4000: ["The server is restarting", "", "wait"],
  4001: ["Too slow", "More was waiting for this page than the server keeps.", "wait"],
  4002: ["Not heard for too long", "", "wait"],
  4008: ["Joining took too long", "", "wait"],
  4009: ["The server is busy", "", "wait"],
  4010: ["The session is gone", "The page joins anew.", "wait"],
  4029: ["Too fast", "Too many connections or messages came from here.", "wait"],
  4500: ["The token is not valid", "It cannot be read, is signed with another key, or lacks something.", "token"],
  4501: ["The token has run out", "", "token"],
  4502: ["The token is not valid yet", "Perhaps a clock is wrong.", "again"],
  4503: ["The token was revoked", "Whoever was removed needs a token that was issued after that.", "token"],
  4504: ["You may not come in like this", "The token does not allow joining, or the room lets nobody in without one.", "token"],
  4505: ["There is no such room", "And this token may not make it.", "token"],
  4506: ["The room is full", "", "again"],
  4507: ["Taken over", "Somebody joined with the same identity, perhaps you in another window.", "again"],
  4508: ["You were removed", "An administrator put you out of the room. The tokens you have used do not let you in again; ask for one that is issued from now on.", "token"],
  4509: ["The room was closed", "", "again"],
  4511: ["The token is too large", "", "token"],
  4512: ["This page may not connect", "Its address is not among the origins that the server allows.", ""],
  4513: ["Something in the token is too large", "Its identity, name, metadata or attributes.", "token"],
  4514: ["Somebody with this identity is here already", "", "again"],
  4515: ["You may not be here any more", "The room does not let you in now.", "token"],
  4516: ["The room has another name now", "", "token"],
  4517: ["Your time is over", "Whoever invited you may give you more.", "again"],
  4518: ["You were put out", "A host put you out of the room.", "again"],
  4519: ["You were not let in", "No host has let you in.", "again"],
  4520: ["Protocol error", "The server did not understand how this page wants to join.", ""],
  4521: ["The room is not open yet", "", "again"],
  4522: ["The room has expired", "", "token"],
  4530: ["The key was revoked", "All tokens that come from it are worth nothing now.", "token"],
};

// closeWords says what a close code means and what helps.
export function closeWords(code) {
  const [title, text, then] = closes[code] ?? ["The connection has ended", "", code >= 4000 && code < 4500 ? "wait" : "again"];
  return { title: `${title} (${code})`, text: [text, help[then]].filter(Boolean).join(" "), then };
}

/** permissionNames is what each permission lets one do. */
export const permissionNames = {
  canPublish: "Be on stage",
  canPublishData: "Chat, react, raise a hand",
  canSubscribe: "See and hear the stage",
  canUpdateOwnMetadata: "Change your own name and data",
  roomAdmin: "Host: promote, mute, remove",
  hidden: "Hidden from the others",
};

const permissions = {
  canPublish: "publishing",
  canPublishSources: "publishing from this source",
  canPublishData: "sending messages",
  canSubscribe: "receiving tracks",
  canUpdateOwnMetadata: "changing one's own name and data",
  canUpdatePresence: "sending presence",
  roomAdmin: "moderating",
};

const layers = {
  token: "your token does not allow it",
  live: "an administrator took it away",
  domain: "nothing in this organization allows it",
  room: "the room does not allow it",
  owner: "that is for owners",
  lobby: "nobody has let you in yet",
};

const remedies = {
  token: "A token that allows it, or a host, can change that.",
  live: "Ask a host for it.",
  domain: "A token that allows it, or a host, can change that.",
  room: "A token that allows it, or a host, can change that.",
};

export const layerWords = (layer) => layers[layer] ?? `the layer ${layer} denies it`;

const errors = {
  invalid_request: "the server did not understand it",
  unknown_type: "the server does not know such a message",
  not_found: "it is not there any more",
  limit_exceeded: "it is too large",
  rate_limited: "that was too much in a short time",
  lost: "the connection was lost before the answer came",
  unavailable: "the server cannot store it now; what it takes away holds, what it gives does not",
};

/** refusalWords says why something was refused, from an error of the SDK. The words follow a colon. */
export function refusalWords(error) {
  if (error.code !== "not_allowed") {
    // A camera that is not found is another thing: those errors have words of their own.
    const why = (error instanceof RequestError ? errors[error.code] : undefined) ?? error.message ?? String(error.code);
    return /[.!?]$/.test(why) ? why : `${why}.`;
  }
  const { permission, layer } = error;
  if (!permission) return "you are not allowed to.";
  if (permission === "hidden") return "whoever is hidden publishes nothing.";
  if (permission === "lobby") return "nobody has let you in yet.";
  if (permission === "owner") return "only an owner may do that to an owner.";
  const what = permissions[permission] ?? "it";
  const who = layer ? layerWords(layer) : "nothing allows it";
  return `${what} needs ${permission}, and ${who}.${remedies[layer] ? ` ${remedies[layer]}` : ""}`;
}

const reasons = {
  CLIENT_INITIATED: "left",
  DUPLICATE_IDENTITY: "left: the identity joined again",
  PARTICIPANT_REMOVED: "was removed",
  CONNECTION_TIMEOUT: "left: the connection did not come back",
  ROOM_DELETED: "left: the room was closed",
  SERVER_SHUTDOWN: "left: the server stops",
  MIGRATION: "was moved to another room",
  UNKNOWN_REASON: "is not seen any more",
};

export const leaveWords = (reason) => reasons[reason] ?? `left (${reason})`;

// span tells a duration in two units at most.
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}
