// How long one may stay, when there is a limit.

import { $, setText } from "./dom.js";
import { me, say } from "./page.js";
import { span } from "./words.js";

const warnings = [60_000, 300_000]; // how much is left, in ms, when a screen reader is told

let timer = null;
let warned = 0; // the last warning; 0: none

const clock = (at) => at.toLocaleTimeString([], { hour12: false });

function tick() {
  const at = me()?.willEjectAt;
  $("time-left").hidden = !at;
  if (!at) return;
  const left = at.getTime() - Date.now();
  setText($("time-left"), `You have ${span(left)} left here, until ${clock(at)}.`);
  const due = warnings.find((w) => left <= w);
  if (due && left > 0 && (warned === 0 || due < warned)) {
    warned = due;
    say(`You have ${span(left)} left here.`);
  }
}

/** showLeft shows how much time is left, for as long as one is in. */
export function showLeft() {
  clearInterval(timer);
  warned = 0;
  timer = me()?.willEjectAt ? setInterval(tick, 1000) : null;
  tick();
}

/** forgetLeft is for the end of it. */
export function forgetLeft() {
  clearInterval(timer);
  $("time-left").hidden = true;
}

/** stayWords says until when somebody may stay. */
export const stayWords = (at) => (at ? `may stay until ${clock(at)}` : "may stay for as long as the room is open");
