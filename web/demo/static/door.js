// Coming in and going out: the form, the token in the address, and what the
// connection is doing.

import { ConnectionState, decodeToken } from "/sdk/usher.js";
import { $, setText, theirs } from "./dom.js";
import { has } from "./focus.js";
import { note, page } from "./page.js";
import { clearStage } from "./stage.js";
import { closeWords } from "./words.js";

let been = false; // inside, since the page last set out to join
let how = {}; // {join, again}
let offered = null; // {token, room}, which a link has brought in the middle of a session

const words = {
  [ConnectionState.Connecting]: ["between", "Connecting…"],
  [ConnectionState.Waiting]: ["between", "Waiting"],
  [ConnectionState.Connected]: ["in", "Connected"],
  [ConnectionState.SignalReconnecting]: ["between", "Reconnecting…"],
  [ConnectionState.Reconnecting]: ["between", "Joining again…"],
  [ConnectionState.Disconnected]: ["out", "Not connected"],
};

/** state shows what the connection is doing. */
export function state(s) {
  const { Connecting, Connected, Disconnected, Waiting } = ConnectionState;
  $("lobby").hidden = s !== Waiting;
  if (s === Waiting) $("notice").hidden = $("inside").hidden = true;
  if (s === Connected && been) $("inside").hidden = false; // after waiting again
  const offline = navigator.onLine === false && s !== Disconnected && s !== Connected;
  const [kind, text] = offline ? ["between", "Offline"] : words[s];
  $("status").dataset.state = kind;
  setText($("status"), text);
  setText($("cut"), s === ConnectionState.SignalReconnecting || s === ConnectionState.Reconnecting
    ? offline
      ? "You are offline. The page comes back by itself when the network does."
      : "The connection was lost. The page is trying to come back; what you see may be old."
    : "");
  $("inside").classList.toggle("cut", $("cut").textContent !== "");
  const out = s === Disconnected;
  $("leave").hidden = out;
  $("joining").hidden = s !== Connecting;
  if (out) return;
  $("door").hidden = true;
  $("past").hidden = true;
  $("inside").classList.remove("past");
  if (s === Connecting) {
    been = false;
    $("notice").hidden = $("inside").hidden = true;
    forgetOffer();
  }
}

/** arrive shows the room. */
export function arrive() {
  been = true;
  $("notice").hidden = true;
  $("inside").hidden = false;
  // Not to the field where that brings up a keyboard on the glass.
  const glass = matchMedia("(pointer: coarse)").matches;
  $(glass ? "stage-title" : "text").focus({ preventScroll: true });
}

/** closing says why it has ended, and what helps. */
export function closing({ code }) {
  const { title, text, then } = closeWords(code);
  note(`${title}.`, true);
  clearStage();
  $("inside").classList.add("past");
  $("past").hidden = !been;
  setText($("notice-title"), title);
  setText($("notice-text"), text);
  $("again").hidden = then === "token" || then === "";
  setText($("again"), been ? "Come back" : "Try again");
  $("notice").hidden = false;
  // Whoever never got in may want another token in any case.
  $("door").hidden = then !== "token" && been;
  if (!$("again").hidden) $("again").focus({ preventScroll: true });
  else if (!$("door").hidden) $("token").focus({ preventScroll: true }); // a name has not done
  scrollTo(0, 0); // to the notice
}

// fromAddress joins with the token behind the "#", which browsers send to nobody, or
// with that in ?t=, where Daily's links have it, and takes it out of the address. The
// room comes from there or from the path, for tokens without one. Where there is no
// token the page asks who comes, unless a name behind the "#" says it.
function fromAddress() {
  const fragment = new URLSearchParams(location.hash.slice(1)), query = new URLSearchParams(location.search);
  const token = fragment.get("token") || query.get("t");
  const room = fragment.get("room") || pathRoom();
  if (query.has("t") || fragment.has("token")) {
    query.delete("t");
    history.replaceState(null, "", location.pathname + (query.size ? `?${query}` : "") + (fragment.has("token") ? "" : location.hash));
  }
  if (!token) {
    if (page.room) return;
    const name = fragment.get("name")?.trim();
    if (room && name) how.join("", room, name);
    else $(room ? "name" : "token").focus({ preventScroll: true });
    return;
  }
  // A link of anybody's can change what is behind the "#". It takes nobody out of a room.
  if (page.room && page.room.state !== ConnectionState.Disconnected) offer(token, room);
  else how.join(token, room);
}

function offer(token, room) {
  offered = { token, room };
  const claims = decodeToken(token);
  const named = (text) => (typeof text === "string" && text !== "" ? theirs(text) : null);
  const where = named(claims?.video?.room) ?? named(claims?.r) ?? named(room), who = named(claims?.sub) ?? named(claims?.ud);
  $("other-text").replaceChildren(
    "The address has brought another token", ...(where ? [" for the room ", where] : []), ...(who ? [", as ", who] : []),
    ". Joining with it takes you out of the room that you are in.");
  $("other").hidden = false; // where the focus is it stays: somebody may be typing
}

function forgetOffer() {
  offered = null;
  $("other").hidden = true;
  $("other-text").replaceChildren();
}

function stay() {
  const focused = has($("other"));
  forgetOffer();
  if (focused) $("stage-title").focus({ preventScroll: true });
}

function pathRoom() {
  try {
    return decodeURIComponent(location.pathname.slice(1));
  } catch {
    return "";
  }
}

export function startDoor(ways) {
  how = ways;
  $("join").addEventListener("submit", (e) => {
    e.preventDefault();
    const token = $("token").value.trim();
    $("token").value = "";
    // A whole link does as well.
    const link = /[#&]token=([^&\s]+)/.exec(token) ?? /[?&]t=([^&#\s]+)/.exec(token);
    if (token) how.join(link ? decodeURIComponent(link[1]) : token, pathRoom());
  });
  $("enter").hidden = pathRoom() === "";
  $("enter").addEventListener("submit", (e) => {
    e.preventDefault();
    const name = $("name").value.trim();
    if (name) how.join("", pathRoom(), name);
  });
  $("leave").addEventListener("click", () => page.room?.disconnect());
  $("again").addEventListener("click", () => how.again());
  $("other-join").addEventListener("click", () => offered && how.join(offered.token, offered.room));
  $("other-stay").addEventListener("click", stay);
  $("other").addEventListener("keydown", (e) => e.key === "Escape" && stay());
  addEventListener("hashchange", fromAddress);
  for (const change of ["online", "offline"]) addEventListener(change, () => page.room && state(page.room.state));
  if (pathRoom()) setText($("room"), pathRoom());
  queueMicrotask(fromAddress); // when the other parts have started
}
