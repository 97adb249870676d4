// One's own camera, microphone, screen and hand.

import { capabilities } from "/sdk/usher.js";
import { $, el, icon, setText } from "./dom.js";
import { handIsUp, me, note, page, refused, say, sourcesOf } from "./page.js";

const kinds = {
  camera: { source: "camera", text: "Camera", is: (p) => p.isCameraEnabled, set: (p, on) => p.setCameraEnabled(on) },
  microphone: { source: "microphone", text: "Microphone", is: (p) => p.isMicrophoneEnabled, set: (p, on) => p.setMicrophoneEnabled(on) },
  screen: { source: "screen_share", text: "Screen", is: (p) => p.isScreenShareEnabled, set: (p, on) => p.setScreenShareEnabled(on) },
};

const busy = new Set(); // of the kinds, those that this page is changing
let unable = ""; // why there can be no media, in words

/** isBusy reports whether this page is turning something on or off, and tells itself what comes of it. */
export const isBusy = () => busy.size > 0;

/** mine reports whether it was this page that turned a source on or off just now. */
export const mine = (source) => Object.keys(kinds).some((k) => busy.has(k) && kinds[k].source === source);

async function turn(kind, on) {
  const { text, set } = kinds[kind];
  if (busy.has(kind) || !page.room) return;
  if (unable && on) {
    say(unable, true);
    return;
  }
  busy.add(kind);
  showControls();
  try {
    await set(me(), on);
    if (on) page.room.startAudio().catch(() => {}); // a click also lets others be heard
  } catch (error) {
    refused(`${text} not ${on ? "started" : "stopped"}`, error);
  } finally {
    busy.delete(kind);
    showControls();
  }
}

/** startSources turns on what one has just been given. */
export const startSources = (list) => Promise.all(Object.keys(kinds)
  .filter((k) => k !== "screen" && list.includes(kinds[k].source) && !kinds[k].is(me()))
  .map((k) => turn(k, true)));

let iAsked = false; // it was the visitor's own click that raised the hand

/** asked reports whether the visitor wants to be live; that the hand is up others could have done. */
export const asked = () => iAsked;

/** forgetAsking is for when the hand is down, or the room another one. */
export const forgetAsking = () => {
  iAsked = false;
};

/** setHand raises or lowers the hand: an attribute if one may change one's own, else presence. */
export async function setHand(up, quietly = false) {
  const p = me();
  if (!up) iAsked = false;
  try {
    if (p.permissions.canUpdateOwnMetadata) {
      if (up || p.attributes.hand) await p.setAttributes({ hand: up ? "up" : "" });
      if (!up && p.presence.hand) await p.setPresence({ hand: false });
    } else {
      await p.setPresence({ hand: up });
    }
    if (!quietly) say(up ? "Your hand is raised. When a host brings you on stage, your camera and microphone start." : "Your hand is lowered.");
  } catch (error) {
    refused(up ? "Your hand was not raised" : "Your hand was not lowered", error);
  }
  showControls();
}

/** showControls brings the buttons up to date. */
export function showControls() {
  const p = me();
  if (!p?.permissions) return;
  const from = sourcesOf(p.permissions);
  for (const [kind, { source, is }] of Object.entries(kinds)) {
    const b = $(`turn-${kind}`);
    b.ariaPressed = String(is(p));
    b.ariaBusy = String(busy.has(kind));
    b.classList.toggle("locked", !from.includes(source));
    b.title = from.includes(source) ? "" : "Not allowed now: try it, and the server says why";
  }
  const hand = $("turn-hand");
  hand.ariaPressed = String(handIsUp(p));
  setText(hand.lastChild, handIsUp(p) ? "Lower hand" : "Raise hand");
  hand.hidden = from.includes("camera") && from.includes("microphone") && !handIsUp(p);
  if (!from.length || Object.values(kinds).some(({ is }) => is(p))) $("offer").hidden = true;
}

/** offer has somebody who did not ask for it choose whether to be seen. */
export function offer(list) {
  $("offer").hidden = false;
  $("start").onclick = () => {
    $("offer").hidden = true;
    $("turn-camera").focus();
    startSources(list);
  };
}

export function startControls() {
  for (const kind of Object.keys(kinds)) {
    const b = $(`turn-${kind}`);
    b.append(icon(kind), el("span", {}, kinds[kind].text));
    b.addEventListener("click", () => turn(kind, b.ariaPressed !== "true"));
  }
  $("turn-screen").hidden = !navigator.mediaDevices?.getDisplayMedia; // phones have none
  $("turn-hand").append(icon("hand"), el("span", {}, "Raise hand"));
  $("turn-hand").addEventListener("click", () => {
    if (!page.room) return;
    const up = !handIsUp(me());
    iAsked = up;
    setHand(up);
  });
  $("sound").addEventListener("click", () => page.room?.startAudio().catch((error) => refused("No sound yet", error)));
  capabilities().then(({ reason }) => {
    unable = reason ? `${reason} Everything else works.` : "";
    $("unable").hidden = !unable;
    setText($("unable"), unable);
  }, (error) => note(error.message, true));
}
