// The stage: a tile for each person who may publish or does, one more for a
// screen that is shown, and the sound of all.

import { $, el, icon, setText, theirs } from "./dom.js";
import { handIsUp, isHost, keyOf, page, plainName } from "./page.js";

const tiles = new Map(); // key → tile
const sounds = new Map(); // track → its <audio>

// Those who show nothing are given a tile only while there are few.
const mostSilent = 9;

const source = (p, name) => {
  const publication = p.getTrackPublication(name);
  return { track: publication?.track, on: publication !== undefined && !publication.isMuted };
};

const initials = (name) => [...name.trim().toUpperCase()].slice(0, 1).join("") || "?";

function makeTile(kind, p) {
  const video = el("video", { autoplay: true, playsInline: true, muted: true, tabIndex: -1, ariaHidden: "true" });
  const tile = {
    kind, video, track: undefined,
    face: el("span", { class: "face", ariaHidden: "true" }),
    name: el("span", { class: "tile-name" }),
    marks: el("span", { class: "marks" }),
    element: null,
  };
  tile.element = el("li", { class: `tile ${kind}`, data: { tile: p.identity, source: kind } },
    video, tile.face, el("p", { class: "plate" }, tile.name, tile.marks));
  tile.element.classList.toggle("mine", p.isLocal);
  return tile;
}

function show(tile, track) {
  if (tile.track === track) return;
  tile.track?.detach(tile.video);
  tile.track = track;
  if (track) track.attach(tile.video);
  else tile.video.srcObject = null;
}

function drop(key) {
  const tile = tiles.get(key);
  if (!tile) return;
  show(tile, undefined);
  tile.element.remove();
  tiles.delete(key);
}

function put(key, kind, p) {
  let tile = tiles.get(key);
  if (!tile) {
    tile = makeTile(kind, p);
    tiles.set(key, tile);
    $("tiles").append(tile.element);
  }
  return tile;
}

const speaks = (p) => p.permissions?.canPublish || p.trackPublications.size > 0;

/** showTiles brings somebody's tiles up to date. */
export function showTiles(p) {
  const key = keyOf(p);
  const silent = p.trackPublications.size === 0 && !p.isLocal && !isHost(p);
  const room = tiles.has(key) || tiles.size < mostSilent;
  if (p.state === "gone" || !speaks(p) || (silent && !room)) {
    drop(key);
  } else {
    const tile = put(key, "camera", p);
    const camera = source(p, "camera"), microphone = source(p, "microphone");
    show(tile, camera.track);
    tile.element.classList.toggle("live", camera.on);
    tile.element.classList.toggle("away", p.state === "reconnecting");
    setText(tile.face, initials(plainName(p)));
    tile.name.replaceChildren(theirs(plainName(p)), p.isLocal ? " (you)" : "");
    tile.marks.replaceChildren(...marks(p, camera, microphone));
  }
  const screen = source(p, "screen_share");
  if (p.state === "gone" || !p.getTrackPublication("screen_share")) {
    drop(key + " screen");
  } else {
    const tile = put(key + " screen", "screen", p);
    show(tile, screen.track);
    tile.element.classList.toggle("live", screen.on);
    tile.name.replaceChildren(theirs(plainName(p)), ": screen");
  }
  count();
}

function marks(p, camera, microphone) {
  const list = [];
  if (handIsUp(p)) list.push(el("span", { class: "up" }, icon("hand"), el("span", { class: "unseen" }, " hand raised")));
  if (p.state === "reconnecting") list.push("reconnecting");
  if (!microphone.on) list.push(el("span", { class: "off" }, icon("muted"), el("span", { class: "unseen" }, " microphone off")));
  if (!camera.on) list.push(el("span", { class: "unseen" }, " camera off"));
  return list;
}

export function dropTiles(p) {
  drop(keyOf(p));
  drop(keyOf(p) + " screen");
  count();
}

function count() {
  $("tiles").dataset.count = Math.min(tiles.size, 7);
  $("empty").hidden = tiles.size > 0;
}

/** clearStage ends all pictures and sounds. */
export function clearStage() {
  for (const key of [...tiles.keys()]) drop(key);
  for (const track of [...sounds.keys()]) hush(track);
  count();
}

export function hear(track) {
  if (track.kind !== "audio" || sounds.has(track)) return;
  const element = track.attach();
  sounds.set(track, element);
  $("sounds").append(element);
  quiet();
}

export function hush(track) {
  const element = sounds.get(track);
  if (!element) return;
  track.detach(element);
  element.remove();
  sounds.delete(track);
}

/** quiet shows a button while the browser plays no sound: it wants a click first. */
export function quiet() {
  $("sound").hidden = page.room?.canPlaybackAudio ?? true;
}

/** tileOf is where a reaction of somebody's rises. */
export const tileOf = (p) => (p && tiles.get(keyOf(p))?.element) || null;
