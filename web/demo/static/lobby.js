// The lobby: what somebody sees who waits to be let in, and what those see who let in.

import { $, el, setText, theirs } from "./dom.js";
import { firstIn, has, neighbour } from "./focus.js";
import { me, note, page, refused, say } from "./page.js";
import { ask } from "./people.js";

const rows = new Map(); // sid → {element, show}

// --- outside

const tell = (parts, bad = false) => {
  $("lobby-word").replaceChildren(...[parts].flat());
  $("lobby-word").classList.toggle("bad", bad);
};

/** wait shows that somebody has to let this page in. */
export function wait() {
  tell("");
  note("Nobody has let you in yet.");
  $("lobby-title").focus({ preventScroll: true });
}

async function rename(e) {
  e.preventDefault();
  const name = $("own-name").value.trim();
  try {
    await me().setName(name);
    tell(["The hosts see you as ", theirs(name || "somebody without a name"), "."]);
  } catch (error) {
    refused("Your name was not changed", error, tell);
  }
}

// --- inside

const nameOf = (who) => who.name || (who.identity.startsWith("anon:") ? "Guest" : who.identity);
const clock = (at) => at.toLocaleTimeString([], { hour12: false });
const people = (n) => `${n} ${n === 1 ? "person" : "people"}`;

function add(who) {
  const button = (action, text, className, act) => {
    const b = el("button", { type: "button", class: className, data: { action } }, text);
    b.addEventListener("click", act);
    return b;
  };
  let name = nameOf(who);
  const admit = button("admit", "Admit", "", () => ask(`Admitting ${name}`, () => page.room.admit(who.sid)));
  const deny = button("deny", "Deny", "quiet danger", () => ask(`Sending ${name} away`, () => page.room.deny(who.sid)));
  const words = el("p", {});
  const element = el("li", { data: { waiting: who.sid } }, words, el("div", { class: "actions" }, admit, deny));
  const show = (now) => {
    name = nameOf(now);
    words.replaceChildren(theirs(name, "name"), " ", el("span", { class: "faint" }, `since ${clock(now.joinedAt)}`));
    for (const b of [admit, deny]) b.ariaLabel = `${b.textContent}: ${name}`;
  };
  rows.set(who.sid, { element, show });
  $("waiting").append(element);
}

function drop(sid) {
  const { element } = rows.get(sid);
  if (has(element)) (neighbour(element, $("waiting").children) ?? $("people-title")).focus();
  element.remove();
  rows.delete(sid);
}

/** showWaiting shows who waits, to those who may let them in. The focus stays where it is as long as there is such a place. */
export function showWaiting() {
  const waiting = page.room.waitingParticipants;
  for (const sid of [...rows.keys()]) if (!waiting.has(sid)) drop(sid);
  for (const who of waiting.values()) {
    if (!rows.has(who.sid)) add(who);
    rows.get(who.sid).show(who);
  }
  if (waiting.size < 2 && has($("waiting-all"))) (firstIn($("waiting")) ?? $("people-title")).focus();
  $("outside").hidden = waiting.size === 0;
  $("waiting-all").hidden = waiting.size < 2;
  setText($("waiting-title"), waiting.size < 2 ? "Waiting to come in" : `Waiting to come in (${waiting.size})`);
}

// merged has those who come, or go, in the same moment told of at once, and whoever
// follows every few seconds.
function merged(tell) {
  const moment = 250, pause = 4000;
  let list = [], timer = null;
  const flush = () => {
    timer = list.length ? setTimeout(flush, pause) : null;
    if (list.length && page.room) tell(list.splice(0));
  };
  return (one) => {
    list.push(one);
    timer ??= setTimeout(flush, moment);
  };
}

const announce = merged((sids) => {
  const there = sids.filter((sid) => rows.has(sid)), all = rows.size;
  if (there.length === 0) return;
  const one = page.room.waitingParticipants.get(there[0]);
  const words = () => (there.length === 1 ? [theirs(nameOf(one)), " waits to be let in."]
    : there.length === all ? `${people(all)} wait to be let in.`
    : `${there.length} more people wait to be let in, ${all} in all.`);
  note(words());
  say(words());
});

const record = merged((list) => {
  for (const [words, some] of [[" let in.", list.filter((l) => l.admitted)], [" not wait any more.", list.filter((l) => !l.admitted)]]) {
    const verb = words === " let in." ? ["was", "were"] : ["does", "do"];
    if (some.length === 1) note([theirs(nameOf(some[0].who)), ` ${verb[0]}${words}`]);
    else if (some.length) note(`${people(some.length)} ${verb[1]}${words}`);
  }
});

/** knocked is told when somebody waits, or has another name now. */
export function knocked(who) {
  const known = rows.has(who.sid);
  showWaiting();
  if (!known) announce(who.sid);
}

/** gone is told when somebody does not wait any more. */
export function gone(who, admitted) {
  showWaiting();
  record({ who, admitted });
}

export function startLobby() {
  $("rename").addEventListener("submit", rename);
  $("admit-all").addEventListener("click", () => ask("Admitting all", () => page.room.admit()));
  $("deny-all").addEventListener("click", () => ask("Sending all of them away", () => page.room.deny()));
}
