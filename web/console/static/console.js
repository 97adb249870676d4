// The console. Everything that came from somebody else is put on the page as
// text, never as markup; the page's policy forbids the browser anything else.

import * as api from "./api.js";
import { $, el, outcome, quiet, setHidden, setText, shorten, theirs } from "./dom.js";
import { canSign } from "./jwt.js";
import { live } from "./live.js";
import { revocationsView } from "./revocations.js";
import { roomView } from "./room.js";
import { roomsView } from "./rooms.js";
import { webhooksView } from "./webhooks.js";
import { span, words } from "./words.js";
import { workshopView } from "./workshop.js";

// Parts of the console: the address behind "#", the word for it, and the view.
const parts = [
  { name: "rooms", title: "Rooms", view: roomsView },
  { name: "room", view: roomView, under: "rooms" },
  { name: "webhooks", title: "Webhooks", view: webhooksView, project: true },
  { name: "revocations", title: "Revocations", view: revocationsView },
  { name: "tokens", title: "Tokens", view: workshopView },
];

let shown = null; // {part, args, change, stop}

function home() {
  const room = api.scope();
  return room ? address("room", room) : address("rooms");
}

export const address = (...names) => "#/" + names.map(encodeURIComponent).join("/");

function read() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    return [];
  }
}

function route() {
  if (!api.signedIn()) return;
  const [name, ...args] = read();
  const part = parts.find((p) => p.name === name);
  const room = api.scope();
  if (!part || (room && (part.name === "rooms" || part.project || (part.name === "room" && args[0] !== room)))) {
    location.replace(home());
    return;
  }
  for (const a of document.querySelectorAll("#nav a")) {
    if (a.dataset.part === part.name || a.dataset.part === part.under || (room && a.dataset.part === "room" && part.name === "room")) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  // The same room with somebody else selected is the same view.
  if (shown?.part === part && shown.args[0] === args[0] && shown.change) {
    shown.args = args;
    shown.change(...args);
    return;
  }
  leave();
  quiet();
  const view = part.view({ go, poll, title }, ...args);
  shown = { part, args, change: view.change, stop: view.stop };
  $("view").replaceChildren(view.root);
  $("view").focus({ preventScroll: true });
  scrollTo(0, 0);
}

const go = (...names) => (location.hash = address(...names));
const title = (text) => (document.title = `${shorten(text, 60)} · usher console`);

let polls = [];

// poll keeps a view up to date and tells when that fails.
function poll(run) {
  const p = live(run, {
    ok: () => setHidden($("trouble"), true),
    failed: (error, wait) => {
      setText($("trouble"), `${words(error)} Trying again in ${span(wait)}.`);
      setHidden($("trouble"), false);
    },
  });
  polls.push(p);
  return p;
}

function leave() {
  for (const p of polls) p.stop();
  polls = [];
  shown?.stop?.();
  shown = null;
  setHidden($("trouble"), true);
  for (const d of document.querySelectorAll("dialog")) d.remove();
}

function enter() {
  for (const form of [$("by-key"), $("by-token")]) form.reset();
  $("door").hidden = true;
  $("view").hidden = $("nav").hidden = $("who").hidden = $("out").hidden = false;
  const room = api.scope();
  $("who").replaceChildren(...(api.keyId() ? ["key ", theirs(api.keyId())] : [api.bearerName() ? "" : "a token", api.bearerName() ? theirs(api.bearerName()) : ""]));
  $("nav").replaceChildren(...parts.filter((p) => (room ? !p.project && p.name !== "rooms" : p.title)).map((p) =>
    el("a", { href: p.name === "room" ? address("room", room) : address(p.name), data: { part: p.name } }, p.title ?? "Room")));
  const [name] = read();
  if (name) route();
  else location.replace(home());
}

function signOut(text) {
  api.signOut();
  leave();
  $("view").replaceChildren();
  $("view").hidden = $("nav").hidden = $("who").hidden = $("out").hidden = true;
  $("door").hidden = false;
  for (const id of ["by-key-problem", "by-token-problem"]) $(id).textContent = "";
  for (const form of [$("by-key"), $("by-token")]) form.reset();
  document.title = "Console · usher";
  history.replaceState(null, "", location.pathname);
  quiet();
  if (text) outcome(text);
  $("key").focus();
}

function door(form, problem, sign) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await sign();
      enter();
    } catch (error) {
      problem.textContent = words(error);
    } finally {
      button.disabled = false;
    }
  });
}

door($("by-key"), $("by-key-problem"), () => api.signInWithKey($("key").value.trim(), $("secret").value));
door($("by-token"), $("by-token-problem"), () => api.signInWithToken($("token").value));
if (!canSign()) {
  $("insecure").textContent = "This page came over plain http from another machine, and there browsers keep cryptography from pages. " +
    "Come by https, or by a tunnel (ssh -L 7880:127.0.0.1:7880 and http://127.0.0.1:7880/console), or sign in with a token.";
  $("insecure").hidden = false;
  $("by-key").querySelector("button").disabled = true;
}
$("out").addEventListener("click", () => signOut("You are signed out. Nothing was kept."));
$("outcome-close").addEventListener("click", quiet);
addEventListener("hashchange", route);
// A page that is left is not to come back signed in from the browser's memory.
addEventListener("pagehide", () => signOut());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the console's own
  ($("view").hidden ? $("key") : $("view")).focus();
});
