// What the parts of the page share: the room, and the two ways to tell something.

import { $, addLine, el, shorten, theirs } from "./dom.js";
import { refusalWords } from "./words.js";

/** page.room is the room that counts; what others tell is ignored. */
export const page = { room: null };

export const me = () => page.room?.localParticipant;

export const keyOf = (p) => (p.isLocal ? "me" : p.sid);

export const plainName = (p) => shorten(p.name || p.identity, 60);

/** nameOf is a participant's name as an element; nobody is somebody hidden, or the server. */
export const nameOf = (p) => (p ? theirs(p.name || p.identity) : "somebody unseen");

export const isHost = (p) => p?.permissions?.admin.includes("participants") ?? false;

export const sources = ["camera", "microphone", "screen_share", "screen_share_audio"];

/** sourcesOf lists what somebody may publish from. */
export function sourcesOf(permissions) {
  if (!permissions?.canPublish) return [];
  return permissions.canPublishSources.length ? [...permissions.canPublishSources] : sources;
}

export const handIsUp = (p) => p.attributes.hand === "up" || p.presence.hand === true;

/** note adds a line to what happens. */
export function note(parts, bad = false) {
  const now = new Date();
  addLine($("events"), el("p", { class: bad ? "bad" : "" },
    el("time", { dateTime: now.toISOString() }, now.toLocaleTimeString([], { hour12: false })),
    el("span", {}, ...[parts].flat())));
}

/** say shows, and has a screen reader say, what concerns oneself now. */
export function say(parts, bad = false) {
  $("word").replaceChildren(...[parts].flat());
  $("word").classList.toggle("bad", bad);
}

/** denied is what else wants to know of refusals: the panel with the token. */
export const denied = { tell: () => {} };

/** refused says in words that something was refused, and why; tell is where. */
export function refused(what, error, tell = say) {
  if (error.permission) denied.tell(error);
  const why = refusalWords(error);
  tell([...[what].flat(), `: ${why}`], true);
  note([...[what].flat(), `: ${why}`], true);
  return why;
}
