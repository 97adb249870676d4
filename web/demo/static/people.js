// Who is here, and what a host may do with each.

import { $, el, icon, setText, shorten, theirs } from "./dom.js";
import { firstIn, has, neighbour } from "./focus.js";
import { handIsUp, isHost, keyOf, me, note, page, plainName, refused, say, sourcesOf } from "./page.js";
import { removeButton } from "./remove.js";
import { whyPanel } from "./why.js";

const rows = new Map(); // key → row
const hidden = new Map(); // identity → {name, permissions}: whom this page has hidden

const inWords = { camera: "camera", microphone: "microphone", screen_share: "screen", screen_share_audio: "screen sound" };

// chips tells what somebody is and may do, in a few words.
function chips(p) {
  const may = p.permissions;
  const from = sourcesOf(may).filter((s) => s !== "screen_share_audio");
  const list = [];
  if (handIsUp(p)) list.push(["hand raised", "warn", "hand"]);
  if (p.isOwner) list.push(["owner", "host"]);
  else if (isHost(p)) list.push(["host", "host"]);
  if (may.canPublish) list.push([from.length >= 3 ? "speaker" : `speaker: ${from.map((s) => inWords[s] ?? s).join(", ")}`, "may"]);
  else list.push(["audience", ""]);
  if (!may.canPublishData) list.push(["no chat", ""]);
  if (!may.canSubscribe) list.push(["receives nothing", "warn"]);
  if (may.hidden) list.push(["hidden", "warn"]);
  if (p.kind !== "standard") list.push([p.kind, ""]);
  if (p.state === "reconnecting") list.push(["reconnecting", "warn"]);
  return list;
}

// tell says beside the list what came of something that was done there.
function tell(parts, bad = false) {
  $("people-word").replaceChildren(...[parts].flat());
  $("people-word").classList.toggle("bad", bad);
}

/** ask does something with the server, and says in words when it is refused. */
export async function ask(what, does) {
  try {
    await does();
    tell([theirs(what), ": done."]);
  } catch (error) {
    refused([theirs(what)], error, tell);
  }
}

const setSources = (p, list, more = {}) =>
  p.setPermissions({ canPublish: list.length > 0, canPublishSources: list, ...more });

function button(p, action, text, act, className = "quiet") {
  const b = el("button", { type: "button", class: className, data: { action } }, text);
  b.addEventListener("click", () => {
    if (b.ariaDisabled === "true") tell([theirs(b.title)]);
    else act();
  });
  return b;
}

// idle marks a button that has nothing to do now, and says why. It is not disabled:
// that would take the focus away from whoever has just pressed it.
function idle(b, why) {
  b.ariaDisabled = String(why !== "");
  b.title = why;
}

function box(p, action, text, set) {
  const input = el("input", { type: "checkbox", data: { action } });
  input.addEventListener("change", async () => {
    await set(input.checked);
    showPerson(p); // as it is now, whatever was asked
  });
  return { input, label: el("label", {}, input, " ", text) };
}

// controls is what a host finds beside each person.
function controls(p) {
  const name = () => plainName(p);
  const promote = button(p, "promote", "", () => {
    if (p.permissions.canPublish) return ask(`Demoting ${name()}`, () => setSources(p, []));
    return ask(`Promoting ${name()}`, () => setSources(p, ["camera", "microphone"], { canPublishData: true, canSubscribe: true }));
  }, "");
  const toggle = (action, text, list) => box(p, action, text, (on) => {
    const next = new Set(sourcesOf(p.permissions));
    for (const s of list) on ? next.add(s) : next.delete(s);
    return ask(`${name()}: ${text.toLowerCase()} ${on ? "allowed" : "not allowed"}`, () => setSources(p, [...next]));
  });
  const camera = toggle("camera", "Camera", ["camera"]);
  const microphone = toggle("microphone", "Microphone", ["microphone"]);
  const screen = toggle("screen", "Screen", ["screen_share", "screen_share_audio"]);
  const chat = box(p, "chat", "Chat and reactions", (on) =>
    ask(`${name()}: chat ${on ? "allowed" : "not allowed"}`, () => p.setPermissions({ canPublishData: on })));
  const mute = button(p, "mute", "Mute", () => ask(`Muting ${name()}`, () => p.mute("microphone")));
  const dark = button(p, "dark", "Camera off", () => ask(`Turning the camera of ${name()} off`, () => p.mute("camera")));
  const hide = button(p, "hide", "Hide", () => ask(`Hiding ${name()}`, async () => {
    hidden.set(p.identity, { name: name(), permissions: p.permissions });
    try {
      await p.setPermissions({ hidden: true });
    } catch (error) {
      hidden.delete(p.identity);
      throw error;
    }
    showHidden();
  }));
  const remove = removeButton(name, () => ask(`Removing ${name()}`, () => p.remove()), tell);
  const summary = el("summary", { class: "quiet", data: { action: "more" } }, "More");
  const more = el("details", {}, summary,
    el("fieldset", {}, el("legend", {}, "May use"), camera.label, microphone.label, screen.label, chat.label),
    el("div", { class: "actions" }, mute, dark, hide, remove.button),
    whyPanel(p));
  more.addEventListener("toggle", () => more.open && more.scrollIntoView({ block: "nearest" }));
  const element = el("div", { class: "controls-of", role: "group" }, promote, more);
  const update = () => {
    const may = p.permissions, from = sourcesOf(may), n = name();
    setText(promote, may.canPublish ? "Demote" : "Promote");
    promote.dataset.action = may.canPublish ? "demote" : "promote";
    promote.className = may.canPublish ? "quiet" : "";
    remove.update();
    promote.title = may.canPublish ? "Takes camera, microphone and screen away" : "Brings on stage, with camera and microphone";
    hide.title = "Nobody sees a hidden person, who may go on listening";
    for (const b of [promote, mute, dark, hide, summary]) b.ariaLabel = `${b.textContent}: ${n}`;
    for (const [part, on] of [[camera, from.includes("camera")], [microphone, from.includes("microphone")],
      [screen, from.includes("screen_share")], [chat, may.canPublishData]]) part.input.checked = on;
    element.ariaLabel = `As host: ${n}`;
    idle(mute, p.isMicrophoneEnabled ? "" : `The microphone of ${n} is off.`);
    idle(dark, p.isCameraEnabled ? "" : `The camera of ${n} is off.`);
  };
  return { element, update };
}

/** showPerson brings somebody's row up to date. */
export function showPerson(p) {
  if (p.state === "gone") return dropPerson(p);
  const key = keyOf(p);
  let row = rows.get(key);
  if (row && row.p !== p) {
    dropPerson(p);
    row = undefined;
  }
  if (!row) {
    row = { p, name: el("p", {}), chips: el("ul", { class: "chips" }), about: el("div", { class: "about" }), controls: null };
    row.element = el("li", { data: { identity: p.identity } }, row.name, row.chips, row.about);
    rows.set(key, row);
  }
  row.name.replaceChildren(
    theirs(p.name || p.identity, "name"), " ",
    p.name && p.name !== p.identity ? theirs(p.identity, "faint") : "",
    p.isLocal ? el("span", { class: "faint" }, " (you)") : "");
  row.chips.replaceChildren(...chips(p).map(([text, kind, sign]) => el("li", { class: `chip ${kind}` }, ...(sign ? [icon(sign)] : []), text)));
  row.about.replaceChildren(...about(p));
  row.element.classList.toggle("away", p.state === "reconnecting");
  const moderates = !p.isLocal && isHost(me());
  if (moderates && !row.controls) {
    row.controls = controls(p);
    row.element.append(row.controls.element);
  } else if (!moderates && row.controls) {
    const focused = has(row.controls.element);
    row.controls.element.remove();
    row.controls = null;
    if (focused) $("people-title").focus();
  }
  row.controls?.update();
  place(row, p.permissions.canPublish ? $("speakers") : handIsUp(p) ? $("asking") : $("audience"));
  showCount();
  return undefined;
}

// about is what somebody says of themselves, beside the name.
function about(p) {
  const lines = [];
  if (p.metadata) lines.push(el("p", { class: "metadata" }, theirs(p.metadata)));
  for (const [k, v] of Object.entries(p.attributes).slice(0, 10)) {
    if (k !== "hand") lines.push(el("p", { class: "metadata" }, theirs(k), ": ", theirs(v)));
  }
  return lines;
}

// place moves a row to its list; the focus goes along.
function place(row, list) {
  if (row.element.parentElement === list) return;
  const focused = row.element.contains(document.activeElement) ? document.activeElement : null;
  if (row.p.isLocal) list.prepend(row.element);
  else list.append(row.element);
  focused?.focus();
}

/** dropPerson takes somebody's row away. The focus goes to whoever is next. */
export function dropPerson(p) {
  const row = rows.get(keyOf(p));
  if (!row) return;
  if (has(row.element)) {
    if (hidden.has(p.identity)) showHidden();
    (hiddenButton(p.identity) ?? neighbour(row.element, rowsInOrder()) ?? $("people-title")).focus();
  }
  row.element.remove();
  rows.delete(keyOf(p));
  showCount();
}

const rowsInOrder = () => document.querySelectorAll("#people li[data-identity]");

const hiddenButton = (identity) => [...$("hidden").children].find((e) => e.dataset.hidden === identity)?.querySelector("button");

const rowOf = (identity) => [...rows.values()].find((row) => row.p.identity === identity);

// control is one of somebody's, by what it does; else the first that there is.
function control(identity, action) {
  const row = rowOf(identity);
  if (!row) return null;
  return [...row.element.querySelectorAll("[data-action]")].find((e) => e.dataset.action === action && e.checkVisibility()) ?? firstIn(row.element);
}

/** showPeople shows those who are here, and nobody else. The focus stays where it is as long as there is such a place. */
export function showPeople() {
  const focused = has($("people")) ? document.activeElement : null;
  const at = focused && { identity: focused.closest("[data-identity]")?.dataset.identity, action: focused.dataset.action };
  const all = [me(), ...page.room.remoteParticipants.values()];
  const here = new Set(all.map(keyOf));
  for (const [key, row] of rows) {
    if (here.has(key)) continue;
    row.element.remove();
    rows.delete(key);
  }
  for (const p of all) showPerson(p);
  showHidden();
  showCount();
  if (focused && document.activeElement !== focused) (control(at.identity, at.action) ?? $("people-title")).focus();
}

/** forget is for another room: whom this page had hidden, and what was done there. */
export function forget() {
  hidden.clear();
  tell("");
}

export function showCount() {
  if (!page.room) return;
  const all = page.room.numParticipants + (me().permissions?.hidden ? 1 : 0);
  setText($("count"), String(Math.max(all, rows.size)));
  const more = all - rows.size;
  $("unlisted").hidden = more <= 0;
  setText($("unlisted"), `and ${more} more, who are only counted`);
  for (const list of ["asking", "speakers", "audience"]) $(`${list}-title`).hidden = $(list).childElementCount === 0;
}

// showHidden lists whom this page has hidden: nobody sees them, so that they are
// in no other list.
function showHidden() {
  const at = has($("hidden")) ? document.activeElement.closest("[data-hidden]").dataset.hidden : null;
  $("hidden").replaceChildren(...[...hidden].map(([identity, { name, permissions }]) => {
    const back = el("button", { type: "button", class: "quiet", data: { action: "show" }, ariaLabel: `Show again: ${name}` }, "Show again");
    back.addEventListener("click", () => ask(`Showing ${shorten(name, 60)}`, async () => {
      const { canSubscribe, canPublish, canPublishData, canPublishSources, canUpdateOwnMetadata } = permissions;
      await page.room.updateParticipant({ identity }, { permission: {
        canSubscribe, canPublish, canPublishData, canPublishSources, canUpdateMetadata: canUpdateOwnMetadata, hidden: false,
      } });
      hidden.delete(identity);
      showHidden();
    }));
    return el("li", { data: { hidden: identity } }, theirs(name, "name"), " ", back);
  }));
  $("hidden-title").hidden = hidden.size === 0;
  if (at !== null) (hiddenButton(at) ?? control(at) ?? firstIn($("hidden")) ?? $("people-title")).focus();
}

/** startPeople has what was said beside the list go when its reader does. */
export function startPeople() {
  $("people").addEventListener("focusout", (e) => {
    if (e.relatedTarget && !$("people").contains(e.relatedTarget)) tell("");
  });
}

/** raised is told when somebody asks to speak. */
export function raised(p) {
  note([theirs(plainName(p)), " raised a hand."]);
  if (isHost(me()) && !p.isLocal) say([theirs(plainName(p)), " raised a hand and would like to speak."]);
}
