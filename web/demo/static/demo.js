// The demo page. Everything that came from somebody else is put on the page as
// text, never as markup; the page's policy forbids the browser anything else.

import { Session } from "./session.js";
import { closeWords, leaveWords, refusalWords, span } from "./words.js";

const $ = (id) => document.getElementById(id);

// The page keeps this much of what others can fill it with.
const mostLines = 300;
const mostText = 300;

let session = null; // the one that counts; others are ignored
let self = null; // the participant that we are
let people = new Map(); // sid → participant, ourselves included
let denials = new Map(); // message type → the denial that explained it
let tokens = []; // refreshed ones: {number, at, expiresAt}
let tokenCount = 0;

// el makes an element. Strings among its children become text.
function el(name, properties, ...children) {
  const e = document.createElement(name);
  const { class: className, data, ...rest } = properties ?? {};
  if (className) e.className = className;
  Object.assign(e.dataset, data);
  for (const [k, v] of Object.entries(rest)) k in e ? (e[k] = v) : e.setAttribute(k, v);
  e.append(...children);
  return e;
}

const shorten = (text) => (text.length > mostText ? text.slice(0, mostText) + "…" : text);

// theirs is text that somebody else wrote: isolated, so that it cannot turn the
// direction of what is around it.
const theirs = (text, className = "") => el("bdi", { class: className }, shorten(text));

const nameOf = (p) => (p ? theirs(p.name || p.identity) : "somebody unseen");

const isHost = (p) => p.permissions.admin.includes("participants");

// ---- Lines of the two logs

function addLine(list, line) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(line);
  while (list.childElementCount > mostLines) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function note(parts, bad = false) {
  const now = new Date();
  addLine($("events"), el("p", { class: bad ? "bad" : "" },
    el("time", { dateTime: now.toISOString() }, now.toLocaleTimeString([], { hour12: false })),
    el("span", {}, ...[parts].flat())));
}

function addMessage(from, text, className) {
  const line = el("p", { class: className }, el("span", { class: "from" }, from), theirs(text));
  addLine($("messages"), line);
  return line;
}

// ---- People

function showPerson(p) {
  const id = "person-" + p.sid;
  const old = $(id);
  const me = p.sid === self?.sid;
  const held = old?.contains(document.activeElement) ? document.activeElement.dataset.action : null;
  const line = el("li", { id, class: p.state === "reconnecting" ? "away" : "", data: { identity: p.identity } },
    el("p", {},
      theirs(p.name || p.identity, "name"), " ",
      p.name && p.name !== p.identity ? theirs(p.identity, "faint") : "",
      me ? el("span", { class: "faint" }, " (you)") : ""),
    el("ul", { class: "chips" }, ...chips(p).map(([text, kind, title]) => el("li", { class: `chip ${kind ?? ""}`, title: title ?? "" }, text))));
  if (p.metadata) line.append(el("p", { class: "metadata" }, theirs(p.metadata)));
  for (const [k, v] of Object.entries(p.attributes).slice(0, 10)) {
    line.append(el("p", { class: "metadata" }, theirs(k), ": ", theirs(v)));
  }
  if (!me && self && isHost(self)) line.append(actions(p));
  old ? old.replaceWith(line) : $("people").append(line);
  if (held) line.querySelector(`[data-action="${held}"]:enabled`)?.focus();
}

// chips tells what somebody is and may do, in a few words.
function chips(p) {
  const may = p.permissions;
  const list = [];
  if (isHost(p)) list.push(["host", "host", "May promote, demote and remove others"]);
  if (may.canPublish) list.push(["speaker", "may", may.canPublishSources.length ? `May publish: ${may.canPublishSources.join(", ")}` : "May publish from every source"]);
  if (may.canPublishData) list.push(["chats", "may", "May send messages"]);
  if (!may.canPublish && !may.canPublishData) list.push(["listener", "", "May neither publish nor send messages"]);
  if (!may.canSubscribe) list.push(["receives no tracks", "warn"]);
  if (may.hidden) list.push(["hidden", "warn", "Not seen by the others"]);
  if (may.recorder) list.push(["recorder", "warn"]);
  if (p.kind !== "standard") list.push([p.kind, ""]);
  if (p.state === "reconnecting") list.push(["reconnecting", "warn"]);
  for (const t of p.tracks) list.push([shorten(`${t.source || t.kind}${t.muted ? " (muted)" : ""}`), "host", "A published track"]);
  return list;
}

function actions(p) {
  const may = p.permissions;
  const button = (action, text, enabled, act) => {
    const b = el("button", { type: "button", class: "quiet", data: { action }, disabled: !enabled, ariaLabel: `${text} ${shorten(p.name || p.identity)}` }, text);
    b.addEventListener("click", () => act(b));
    return b;
  };
  // UpdateParticipant replaces all rights, so those that are not meant are
  // repeated as they are.
  const grant = (word, changed) => ask(`${word} ${p.identity}`, {
    type: "updateParticipant",
    identity: p.identity,
    permission: {
      canSubscribe: may.canSubscribe, canPublish: may.canPublish, canPublishSources: may.canPublishSources,
      canPublishData: may.canPublishData, canUpdateMetadata: may.canUpdateOwnMetadata, hidden: may.hidden,
      ...changed,
    },
  });
  const remove = button("remove", "Remove", true, (b) => {
    if (b.classList.contains("sure")) {
      ask(`Removing ${p.identity}`, { type: "removeParticipant", identity: p.identity });
      return;
    }
    b.classList.add("sure");
    b.textContent = "Remove for good?";
    b.addEventListener("blur", () => {
      b.classList.remove("sure");
      b.textContent = "Remove";
    }, { once: true });
  });
  remove.classList.add("danger");
  return el("div", { class: "actions" },
    button("promote", "Promote", !may.canPublish || !may.canPublishData || may.canPublishSources.length > 0,
      () => grant("Promoting", { canPublish: true, canPublishSources: [], canPublishData: true, canSubscribe: true })),
    button("demote", "Demote", may.canPublish || may.canPublishData,
      () => grant("Demoting", { canPublish: false, canPublishData: false })),
    remove);
}

function showPeople() {
  $("people").replaceChildren();
  for (const p of people.values()) showPerson(p);
  showCount();
}

let unlisted = 0; // in large rooms some are only counted

function showCount() {
  $("count").textContent = people.size + unlisted;
  $("unlisted").hidden = unlisted === 0;
  $("unlisted").textContent = `and ${unlisted} more, who are only counted`;
}

function recount(all) {
  const listed = people.size - (self?.permissions.hidden ? 1 : 0);
  unlisted = Math.max(0, all - listed);
  showCount();
}

// put takes a participant's present state, unless a newer one is known.
function put(p) {
  const known = people.get(p.sid);
  if (known && known.version > p.version) return known;
  people.set(p.sid, p);
  if (p.sid === self?.sid) {
    const washost = isHost(self);
    self = p;
    showPermissions();
    if (washost !== isHost(self)) showPeople();
  }
  showPerson(p);
  return known;
}

// ---- Ourselves

function showPermissions() {
  const may = self.permissions;
  const sources = may.canPublishSources.length ? ` from ${may.canPublishSources.join(", ").replaceAll("_", " ")}` : "";
  $("permissions").replaceChildren(...[
    [may.canPublishData, "send messages"],
    [may.canPublish, "publish tracks" + sources],
    [may.canSubscribe, "receive tracks"],
    [may.canUpdateOwnMetadata, "change your own name and data"],
    [may.admin.includes("participants"), "promote, demote and remove others"],
  ].map(([yes, text]) => el("li", { class: yes ? "yes" : "no" }, el("span", {}, text, yes ? "" : el("span", { class: "unseen" }, " (no)")))));
  if (may.hidden) $("permissions").append(el("li", {}, "hidden: the others do not see you"));
  $("text").placeholder = may.canPublishData ? "Say something to the room" : "Not allowed now; try, and see why";
}

function showTokens() {
  const now = Date.now();
  $("tokens").replaceChildren(...tokens.map((t) => el("tr", {},
    el("td", {}, String(t.number)),
    el("td", {}, `${span(now - t.at)} ago`),
    el("td", {}, t.expiresAt > now ? `in ${span(t.expiresAt - now)}` : "has run out"))));
}

// ---- Asking

// ask sends a request and says in words when it is refused.
async function ask(what, message) {
  const reply = await session.request(message);
  if (reply.type === "error") {
    note([theirs(what), ` was refused: ${explain(message.type, reply)}`], true);
  }
}

function explain(type, reply) {
  const why = refusalWords(reply, denials.get(type));
  if (reply.permission) denials.set(type, reply);
  return why;
}

// ---- Events

// changes is what is said of each part of a participant that may change.
const changeWords = {
  name: (p) => ["is now called ", nameOf(p)],
  metadata: () => ["has new metadata"],
  attributes: () => ["has new attributes"],
  permissions: (p) => [`may now ${mayWords(p)}`],
  state: (p) => [p.state === "reconnecting" ? "lost the connection and may come back" : "is back"],
};

function mayWords(p) {
  const may = p.permissions;
  const list = [];
  if (may.canPublish) list.push(may.canPublishSources.length ? `publish from ${may.canPublishSources.join(", ")}` : "publish tracks");
  if (may.canPublishData) list.push("send messages");
  if (may.canSubscribe) list.push("receive tracks");
  if (may.canUpdateOwnMetadata) list.push("change their own name and data");
  return list.length ? list.join(", ") : "do nothing but listen";
}

const events = {
  joined(m) {
    if (m.recovered) {
      note("The session goes on; nothing was lost.");
      put(m.self);
    } else {
      self = m.self;
      people = new Map([[self.sid, self], ...m.participants.map((p) => [p.sid, p])]);
      denials.clear();
      note(["You are in ", theirs(m.room.name), " as ", theirs(self.identity), "."]);
      showPermissions();
      showPeople();
      recount(m.room.numParticipants);
    }
    $("room").textContent = m.room.name;
    document.title = `${m.room.name} · usher`;
  },

  participantJoined({ participant }) {
    if (put(participant) || participant.sid === self.sid) return;
    if (unlisted > 0) unlisted--; // one who was only counted so far, as a rule
    showCount();
    note([nameOf(participant), " joined."]);
  },

  participantLeft({ sid, identity, reason }) {
    const gone = people.get(sid);
    people.delete(sid);
    $("person-" + sid)?.remove();
    showCount();
    note([gone ? nameOf(gone) : theirs(identity), ` ${leaveWords(reason)}.`]);
  },

  participantUpdated({ participant, changed }) {
    const me = participant.sid === self.sid;
    if (me && changed.includes("permissions")) denials.clear();
    const before = put(participant);
    for (const part of changed) {
      if (part === "permissions" && me) note(`Your permissions were changed: you may now ${mayWords(participant)}.`);
      else note([nameOf(before ?? participant), " ", ...changeWords[part](participant), "."]);
    }
  },

  counted: ({ numParticipants }) => recount(numParticipants),

  roomUpdated: ({ room }) => recount(room.numParticipants),

  trackPublished({ participantSid, track }) {
    withTracks(participantSid, (tracks) => [...tracks, track]);
    note([nameOf(people.get(participantSid)), ` publishes ${track.source || track.kind}.`]);
  },

  trackUnpublished({ participantSid, trackSid, reason }) {
    withTracks(participantSid, (tracks) => tracks.filter((t) => t.sid !== trackSid));
    note([nameOf(people.get(participantSid)), " no longer publishes a track",
      reason === "not_allowed" ? ": it is not allowed any more." : "."]);
  },

  trackMuted({ participantSid, trackSid, muted }) {
    withTracks(participantSid, (tracks) => tracks.map((t) => (t.sid === trackSid ? { ...t, muted } : t)));
    note([nameOf(people.get(participantSid)), muted ? " muted a track." : " unmuted a track."]);
  },

  data(m) {
    const text = typeof m.payload === "string" ? m.payload : JSON.stringify(m.payload);
    const from = m.from ? nameOf(people.get(m.from.sid) ?? m.from) : "somebody unseen, or the server";
    if (m.topic === "chat") {
      addMessage(from, m.encoding === "base64" ? decode(text) : text, "");
    } else {
      note([from, " sent data", ...(m.topic ? [" on ", theirs(m.topic)] : []), ": ", theirs(text)]);
    }
  },

  refreshToken({ expiresAt }) {
    tokens = [{ number: ++tokenCount, at: Date.now(), expiresAt }, ...tokens].slice(0, 4);
    showTokens();
  },

  reconnect: ({ afterMs }) => note(`The server is about to stop; this page comes back in ${span(afterMs)}.`),

  error: (m) => note(`Something was refused: ${explain("", m)}`, true),
};

function withTracks(sid, change) {
  const p = people.get(sid);
  if (!p) return;
  people.set(sid, { ...p, tracks: change(p.tracks) });
  if (sid === self.sid) self = people.get(sid);
  showPerson(people.get(sid));
}

function decode(base64) {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  } catch {
    return base64;
  }
}

// ---- The connection

let everJoined = false;

function connection({ state, code, reason, delay, resumes }) {
  const status = $("status");
  status.dataset.state = { connecting: "between", waiting: "between", joined: "in", ended: "out" }[state];
  $("leave").hidden = state === "ended";
  $("inside").classList.toggle("stale", state === "ended");
  $("send").disabled = state === "ended" || (state !== "joined" && !everJoined);
  switch (state) {
    case "connecting":
      status.textContent = "Connecting…";
      break;
    case "joined":
      status.textContent = "Connected";
      $("notice").hidden = $("door").hidden = true;
      $("inside").hidden = false;
      if (!everJoined) $("text").focus();
      everJoined = true;
      break;
    case "waiting": {
      const words = closeWords(code);
      status.textContent = `Back in ${span(delay)}`;
      note(`${words.title}. ${resumes ? "The session is resumed" : "The page tries again"} in ${span(delay)}.`, true);
      if (!everJoined) tellNotice(words.title, words.text, false);
      break;
    }
    case "ended": {
      const words = closeWords(code);
      status.textContent = "Not connected";
      note([words.title, reason ? ` ${reason}` : "", "."], true);
      tellNotice(words.title, words.text, words.then === "again");
      $("door").hidden = words.then !== "token";
      if (words.then === "again") $("again").focus();
      if (words.then === "token") $("token").focus();
      break;
    }
  }
}

function tellNotice(title, text, again) {
  $("notice-title").textContent = title;
  $("notice-text").textContent = text;
  $("again").hidden = !again;
  $("notice").hidden = false;
}

function join(token, room) {
  const before = session;
  const address = new URL("/session", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  tokens = [];
  tokenCount = 0;
  showTokens();
  const mine = new Session({
    url: address.href, token, room,
    hear: (m) => {
      if (session !== mine) return;
      if (m.type === "connection") connection(m);
      else events[m.type]?.(m);
    },
  });
  session = mine;
  before?.leave();
  mine.connect();
}

// fromAddress joins with the token behind the "#", which browsers send to
// nobody. The room comes from there or from the path, for tokens without one.
function fromAddress() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  const room = fragment.get("room") || pathRoom();
  if (token) join(token, room);
  else if (!session) $("token").focus();
  return token;
}

function pathRoom() {
  try {
    return decodeURIComponent(location.pathname.slice(1));
  } catch {
    return "";
  }
}

$("join").addEventListener("submit", (e) => {
  e.preventDefault();
  const token = $("token").value.trim();
  $("token").value = "";
  if (token) join(token, pathRoom());
});

$("say").addEventListener("submit", async (e) => {
  e.preventDefault();
  const text = $("text").value;
  if (!text.trim()) return;
  $("text").value = "";
  $("refusal").textContent = "";
  const line = addMessage("You", text, "own waiting");
  $("messages").scrollTop = $("messages").scrollHeight;
  const reply = await session.request({ type: "publishData", topic: "chat", payload: text });
  line.classList.remove("waiting");
  if (reply.type === "error") {
    const why = explain("publishData", reply);
    line.classList.add("refused");
    line.append(el("span", { class: "why" }, "Not sent."));
    $("refusal").textContent = `Refused: ${why}`;
    note(`Your message was refused: ${why}`, true);
  }
});

$("leave").addEventListener("click", () => session.leave());
$("again").addEventListener("click", () => session.connect());
addEventListener("hashchange", fromAddress);
addEventListener("online", () => session?.hurry());
setInterval(showTokens, 1000);

if (pathRoom()) $("room").textContent = pathRoom();
fromAddress();
