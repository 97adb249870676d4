// The panel that shows one's token: its claims, its age, each refresh, and for
// each permission why it is so, as far as the page can know.

import { decodeToken } from "/sdk/usher.js";
import { $, el, setText, theirs } from "./dom.js";
import { denied, me, sourcesOf } from "./page.js";
import { layerWords, permissionNames, span } from "./words.js";

let original = null; // claims of the token that this page came with
let newest = null;
let refreshes = []; // the last ones: {number, at, expiresAt}
let number = 0;
let changedAt = new Map(); // permission → when this page saw it change
let denials = new Map(); // permission → {layer, at}

/** begin is told of the token that the page joins with. */
export function begin(token) {
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

// why says what decided a permission: who denied it if the server said so, else
// whether it is as in the token.
function why(name, value) {
  const denial = denials.get(name);
  if (denial?.layer && !value) return `${layerWords(denial.layer)} (the server said so at ${clock(denial.at)}: layer “${denial.layer}”)`;
  const at = changedAt.get(name);
  if (at) return `live: an administrator changed it at ${clock(at)}`;
  const base = granted(original);
  if (!base) return "the token has no video grant";
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
  $("claims").replaceChildren(...(claims ? facts(claims) : [el("p", { class: "faint" }, "This is not a token that can be read.")]));
  setText($("raw"), claims ? JSON.stringify(claims, null, 2) : "");
  showPermissions();
  tick();
}

function facts(claims) {
  const rows = [
    ["Identity", claims.sub], ["Name", claims.name], ["Room", claims.video?.room], ["Key", claims.iss],
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
