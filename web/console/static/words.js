// What the server's answers mean, for people.

import { serverNow } from "./api.js";
import { el } from "./dom.js";

const known = [
  [/unknown key|invalid API key$/, "The server does not know this API key."],
  [/signature/, "The secret is not the one that belongs to this key."],
  [/revoked/, "It was revoked."],
  [/expired/, "The token has run out. Sign in with a newer one."],
  [/not (yet valid|valid yet)/, "The token is not valid yet: perhaps a clock is wrong."],
];

const sentence = (text) => {
  const first = text ? text[0].toUpperCase() + text.slice(1) : "Something failed";
  return /[.!?…]$/.test(first) ? first : first + ".";
};

// words says why something was refused.
export function words(error) {
  if (!(error instanceof Error) || error.status === undefined) return sentence(String(error?.message ?? error));
  if (error.status === 401) {
    if (error.message === "permissions denied") return "The token that you signed in with does not allow this.";
    for (const [pattern, text] of known) if (pattern.test(error.message)) return text;
  }
  if (error.status === 403) return "The token that you signed in with does not allow this.";
  if (error.status === 503) return sentence(error.message) + " Try again.";
  if (error.status >= 500 && !error.message) return `The server failed (${error.status}).`;
  return sentence(error.message);
}

// span tells a duration in two units at most.
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 && s % 60 ? ` ${s % 60} s` : ""}`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} days`;
}

// clock tells a time as short as it is clear: without its day when that is today.
export function clock(t) {
  const at = new Date(t);
  const time = at.toLocaleTimeString([], { hour12: false });
  return at.toDateString() === new Date(serverNow()).toDateString() ? time : `${at.toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" })}, ${time}`;
}

export const time = (t) => el("time", { dateTime: new Date(t).toISOString(), title: new Date(t).toString() }, clock(t));

export const count = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;

// rights in words that follow "may".
const rights = {
  sendCamera: "publish camera", sendMicrophone: "publish microphone", sendScreenShare: "publish screen share",
  sendScreenShareAudio: "publish screen share audio", sendCustomVideo: "publish custom video", sendCustomAudio: "publish custom audio",
  receiveCamera: "receive camera", receiveMicrophone: "receive microphone", receiveScreenShare: "receive screen share",
  receiveScreenShareAudio: "receive screen share audio", receiveCustomVideo: "receive custom video",
  receiveCustomAudio: "receive custom audio", receiveDataTracks: "receive data tracks",
  sendData: "send data", sendPresence: "change presence", updateOwnMetadata: "change own name and metadata",
  readStorage: "read the document", writeStorage: "change the document", owner: "be an owner",
  moderateParticipants: "moderate participants", moderateStreaming: "moderate streaming", moderateTranscription: "moderate transcription",
  subscribeMetrics: "receive metrics", manageAgents: "manage agents", hidden: "be hidden",
};

export const rightWords = (name) => rights[name] ?? name;

function saidWords(said, deciding) {
  const at = clock(said.at);
  const gives = said.says === "allow";
  if (said.layer === "token") {
    if (deciding) return `${gives ? "Given" : "Not given"} by the token, issued ${at}`;
    return `the token, issued ${at}, ${gives ? "gives" : "does not give"} it`;
  }
  const layer = said.layer === "live" ? "live" : `by the layer ${said.layer}`;
  const what = gives ? "given" : "taken";
  return `${deciding ? what[0].toUpperCase() + what.slice(1) : what} ${layer}${said.by ? ` by ${said.by}` : ""} at ${at}`;
}

// why says who decided about a right, and what the others said.
export function why(right) {
  if (right.allowed === null) {
    if (right.said.length === 0) return "Left to the token of the next join.";
    return sentence(right.said.map((s, i) => saidWords(s, i === 0)).join("; ")) + " Holds against tokens of before.";
  }
  if (!right.decidedBy) return "No layer gives it.";
  const deciding = right.said.findLast((s) => s.layer === right.decidedBy);
  if (!deciding) return `Decided by the layer ${right.decidedBy}.`;
  const others = right.said.filter((s) => s !== deciding).map((s) => saidWords(s, false));
  return sentence([saidWords(deciding, true), ...others].join("; "));
}
