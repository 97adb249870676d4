// The panel that shows one's token: its claims, its age, each refresh, and for
// each permission why it is so, as far as the page can know.

import { decodeToken } from "/sdk/usher.js";
import { $, el, setText, theirs } from "./dom.js";
import { denied, me, sourcesOf } from "./page.js";
import { layerWords, permissionNames, span } from "./words.js";

let original = null; // claims of the token that this page came with
let newest = null;
let none = false; // came without a token
let refreshes = []; // the last ones: {number, at, expiresAt}
let number = 0;
let changedAt = new Map(); // permission → when this page saw it change
let denials = new Map(); // permission → {layer, at}

/** begin is told of the token that the page joins with; "" is none. */
export function begin(token) {
  none = token === "";
  original = newest = decodeToken(token);
  refreshes = [];
  number = 0;
  changedAt = new Map();
  denials = new Map();
  showToken();
}

/** refreshed is told of each that the server hands out. */
export function refreshed(token, expiresAt) {
  newest = decodeToken(token);
  refreshes = [{ number: ++number, at: Date.now(), expiresAt: expiresAt.getTime() }, ...refreshes].slice(0, 4);
  showToken();
}

const values = (p) => ({
  canPublish: sourcesOf(p).sort().join(),
  canPublishData: p.canPublishData,
  canSubscribe: p.canSubscribe,
  canUpdateOwnMetadata: p.canUpdateOwnMetadata,
  roomAdmin: p.admin.includes("participants"),
  hidden: p.hidden,
});

/** permissionsChanged notes when; before is undefined after a join. */
export function permissionsChanged(before) {
  if (before && me().permissions) {
    const was = values(before), is = values(me().permissions);
    for (const k of Object.keys(is)) if (was[k] !== is[k]) changedAt.set(k, new Date());
  }
  denials.clear();
  showPermissions();
}

denied.tell = ({ permission, layer }) => {
  denials.set(permission === "canPublishSources" ? "canPublish" : permission, { layer, at: new Date() });
  showPermissions();
};

// granted is what the token that the page came with says; what it does not
// mention is LiveKit's default.
function granted(claims) {
  const v = claims?.video;
  if (!v || typeof v !== "object") return null;
  const list = Array.isArray(v.canPublishSources) ? v.canPublishSources.filter((s) => typeof s === "string").map((s) => s.toLowerCase()) : [];
  const canPublish = v.canPublish ?? true;
  return {
    canPublish: sourcesOf({ canPublish, canPublishSources: list }).sort().join(),
    canPublishData: v.canPublishData ?? canPublish, // as LiveKit reads it
    canSubscribe: v.canSubscribe ?? true,
    canUpdateOwnMetadata: v.canUpdateOwnMetadata ?? false,
    roomAdmin: v.roomAdmin ?? false,
    hidden: v.hidden ?? false,
  };
}

const clock = (at) => at.toLocaleTimeString([], { hour12: false });

// A Daily token, by its domain.
const isDaily = (claims) => typeof claims?.d === "string";

const letters = { v: "camera", a: "microphone", sv: "screen_share", sa: "screen_share_audio", cv: "", ca: "" };

// grantedDaily is what a Daily token says. What it says nothing of is not there: the
// room says it then, or the domain.
function grantedDaily({ o, p }) {
  const always = { canPublishData: true, canUpdateOwnMetadata: true };
  const everything = sourcesOf({ canPublish: true, canPublishSources: [] }).sort().join();
  if (o === true) return { ...always, canPublish: everything, canSubscribe: true, roomAdmin: true, hidden: false };
  const said = p !== null && typeof p === "object" ? p : {};
  const base = { ...always };
  const { cs, ca, hp } = said;
  if (typeof cs === "boolean") base.canPublish = cs ? everything : "";
  else if (typeof cs === "string") base.canPublish = cs.split(",").map((l) => letters[l]).filter(Boolean).sort().join();
  if (typeof said.cr?.b === "boolean") base.canSubscribe = said.cr.b;
  if (typeof ca === "boolean") base.roomAdmin = ca;
  else if (typeof ca === "string") base.roomAdmin = ca.split(",").includes("p");
  if (typeof hp === "boolean") base.hidden = !hp;
  return base;
}

const unsaid = "room or domain: the token says nothing of it";

// whyDaily is why, as far as what a Daily token says can tell.
function whyDaily(name, value, claims) {
  const base = grantedDaily(claims);
  const live = "live: an administrator changed it before you came";
  if (!(name in base)) return unsaid;
  if (base[name] !== value) return name === "hidden" || name === "canSubscribe" ? "room or live: the token says something else" : live;
  if (claims.o === true) return "owner: the token makes you one";
  return name === "canPublishData" || name === "canUpdateOwnMetadata" ? "token: every Daily token allows it" : "token: as it was signed";
}

// why says what decided a permission: who denied it if the server said so, else
// whether it is as in the token.
function why(name, value) {
  const denial = denials.get(name);
  if (denial?.layer && !value) return `${layerWords(denial.layer)} (the server said so at ${clock(denial.at)}: layer “${denial.layer}”)`;
  const at = changedAt.get(name);
  if (at) return `live: an administrator changed it at ${clock(at)}`;
  if (none) return "room or domain: you came without a token";
  if (isDaily(original) && !original.video) return whyDaily(name, value, original);
  const base = granted(original);
  if (!base) return "the token is of a kind that this page cannot read; the server can";
  if (base[name] === value) return "token: as it was signed";
  return "live: an administrator changed it before you came";
}

function showPermissions() {
  const p = me()?.permissions;
  if (!p) return;
  const all = values(p);
  $("permissions").replaceChildren(...Object.entries(permissionNames).map(([name, text]) => {
    const value = all[name];
    const sources = name === "canPublish" && value && p.canPublishSources.length ? `: ${p.canPublishSources.join(", ").replaceAll("_", " ")}` : "";
    return el("li", { class: value ? "yes" : "no", data: { permission: name } },
      el("span", { class: "what" }, text + sources, value ? "" : el("span", { class: "unseen" }, " (no)")),
      el("span", { class: "why-so" }, why(name, value)));
  }));
}

/** showToken draws the panel. */
export function showToken() {
  const claims = newest;
  $("claims").replaceChildren(...(claims ? facts(claims) : [el("p", { class: "faint" }, none ? "You came without a token." : "This is not a token that can be read.")]));
  setText($("raw"), claims ? JSON.stringify(claims, null, 2) : "");
  showPermissions();
  tick();
}

function facts(claims) {
  const rows = [
    ["Identity", claims.sub ?? claims.ud], ["Name", claims.name ?? claims.u],
    ["Room", claims.video?.room ?? claims.r ?? (isDaily(claims) ? "every room" : "")], ["Key", claims.iss],
    ["Domain", claims.d], ["Owner", claims.o === true ? "yes" : ""],
  ].filter(([, v]) => typeof v === "string" && v);
  return [el("dl", {}, ...rows.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, theirs(v))]),
    el("dt", {}, "Issued"), el("dd", { id: "issued" }),
    el("dt", {}, "Runs out"), el("dd", { id: "left" }))];
}

// tick brings the ages up to date. They are in no live region.
function tick() {
  const now = Date.now();
  const at = (claims, name) => (typeof claims?.[name] === "number" ? claims[name] * 1000 : undefined);
  const issued = at(newest, "iat") ?? at(newest, "nbf"), ends = at(newest, "exp");
  if ($("issued")) setText($("issued"), issued === undefined ? "it does not say" : `${span(now - issued)} ago`);
  if ($("left")) setText($("left"), ends === undefined ? "never" : ends > now ? `in ${span(ends - now)}` : "has run out; the session goes on");
  setText($("refreshes-empty"), refreshes.length ? "" : "None yet.");
  const list = $("refreshes");
  while (list.childElementCount > refreshes.length) list.lastChild.remove();
  while (list.childElementCount < refreshes.length) list.append(el("li"));
  refreshes.forEach((r, i) => setText(list.children[i],
    `No. ${r.number}: ${span(now - r.at)} ago, ${r.expiresAt > now ? `good for ${span(r.expiresAt - now)}` : "has run out"}`));
}

export const startToken = () => setInterval(tick, 1000);
