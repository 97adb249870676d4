// One room: who is in it, and what can be done about it.

import * as api from "./api.js";
import { check, dialog, el, field, keyed, outcome, setHidden, setText, settle, shorten, theirs } from "./dom.js";
import { personView } from "./person.js";
import { revokeDialog } from "./revocations.js";
import { clock, count, words } from "./words.js";

export const bold = (text) => el("strong", {}, theirs(text));

export function roomView({ go, poll, title }, room, selected = "") {
  title(room);
  let people = [];
  let life = null; // the room as it was last seen; null: it does not live
  let person = null; // the view of the one who is selected

  const facts = el("p", { class: "faint facts" });
  const metadata = el("p", { class: "metadata" });
  const list = el("ul", { class: "rows people", id: "people" });
  const none = el("p", { class: "faint empty" });
  const door = el("ul", { class: "rows people", id: "waiting" }); // who waits to be let in
  const doorNumber = el("span", { class: "count" });
  const everybody = el("button", { type: "button", class: "quiet", id: "admit-all", on: { click: () => answer("admit", "all") } }, "Admit all");
  const lobby = el("section", { class: "lobby", "aria-labelledby": "waiting-title", hidden: true },
    el("div", { class: "cardhead" }, el("h2", { id: "waiting-title" }, "Waiting ", doorNumber), everybody), door);
  const more = el("p", { class: "faint empty", hidden: true });
  const find = el("input", { type: "search", autocomplete: "off", spellcheck: false, placeholder: "Name or identity", ariaLabel: "Search people" });
  const number = el("span", { class: "count" });
  const side = el("div", { class: "side", id: "person" }, nobody());
  const buttons = el("div", { class: "buttons" });
  const lesser = !api.may(api.ofRoom(room));
  const root = el("section", { class: "room", "aria-labelledby": "room-title" },
    el("div", { class: "head" },
      el("div", { class: "heading" },
        !api.scope() && el("a", { class: "back", href: "#/rooms" }, "Rooms"),
        el("h1", { id: "room-title" }, theirs(room)), facts, metadata),
      buttons),
    lesser && el("p", { class: "notice" }, "Your token is the project’s own. To mute, move, send data and change the room’s metadata, LiveKit’s API wants one for this very room: sign in with the API key or with such a token."),
    el("div", { class: "columns" },
      el("section", { class: "card flush list", "aria-labelledby": "people-title" },
        el("div", { class: "cardhead" }, el("h2", { id: "people-title" }, "People ", number), find), list, none, more, lobby),
      side));
  if (!lesser) {
    buttons.append(
      el("button", { type: "button", class: "quiet", id: "send", on: { click: () => send() } }, "Send data"),
      el("button", { type: "button", class: "quiet", id: "edit-room", on: { click: editMetadata } }, "Metadata"));
  }
  buttons.append(el("button", { type: "button", class: "quiet", id: "revoke-room", on: { click: () => revokeDialog({ room }, p.now) } }, "Revoke"));
  if (api.may({ roomCreate: true })) {
    buttons.append(el("button", { type: "button", class: "quiet danger", id: "delete-room", on: { click: end } }, "Delete"));
  }

  const p = poll(async (signal) => {
    const [now, outside] = await Promise.all([
      api.participants(room, find.value.trim(), signal).catch((error) => {
        if (error.status !== 404) throw error;
        return null;
      }),
      api.waiting(room, signal).catch((error) => {
        if (error.status !== 404) throw error;
        return { waiting: [] };
      }),
      person?.ask(signal),
    ]);
    setText(doorNumber, String(outside.waiting.length));
    keyed(door, outside.waiting, (w) => w.sid, knock);
    setHidden(lobby, outside.waiting.length === 0);
    life = now?.room ?? null;
    people = now?.participants ?? [];
    show(now?.count ?? 0);
  });
  find.addEventListener("input", p.now);

  function show(all) {
    setText(number, String(all));
    setText(facts, life ? `${count(life.numParticipants, "person", "people")} seen${life.maxParticipants ? ` of at most ${life.maxParticipants}` : ""} · since ${clock(life.createdAt)} · ${life.sid}` : "This room does not live. A join makes it, or Create.");
    setText(metadata, shorten(life?.metadata ?? ""));
    setHidden(metadata, !life?.metadata);
    for (const b of buttons.querySelectorAll("#send, #edit-room, #delete-room")) b.disabled = !life;
    keyed(list, people, (q) => q.sid, line);
    setText(none, find.value.trim() ? "Nobody is called that." : "Nobody is here.");
    setHidden(none, people.length > 0);
    setText(more, `and ${all - people.length} more: search for them`);
    setHidden(more, all <= people.length);
    person?.show(people.filter((q) => q.identity === selected));
  }

  function line(first) {
    const name = el("span", { class: "name" });
    const identity = el("span", { class: "faint" });
    const chips = el("span", { class: "chips" });
    const a = el("a", { class: "row", href: `#/room/${encodeURIComponent(room)}/${encodeURIComponent(first.identity)}`, data: { identity: first.identity } },
      el("span", { class: "who-is" }, name, " ", identity), el("span", { class: "fact faint" }, `since ${clock(first.joinedAt)}`), chips);
    let before = "";
    return {
      root: el("li", {}, a),
      update(q) {
        a.setAttribute("aria-current", String(q.identity === selected));
        const now = JSON.stringify([q, q.identity === selected]);
        if (now === before) return;
        before = now;
        name.replaceChildren(theirs(q.name || q.identity));
        identity.replaceChildren(q.name && q.name !== q.identity ? theirs(q.identity) : "");
        chips.replaceChildren(...marks(q).map(([text, kind]) => el("span", { class: `chip ${kind}` }, text)));
      },
    };
  }

  function knock(first) {
    const name = el("span", { class: "name" });
    const button = (verb, text, style) => el("button", { type: "button", class: style, on: { click: () => answer(verb, [first.sid]) } }, text);
    const admit = button("admit", "Admit", "quiet"), deny = button("deny", "Deny", "quiet danger");
    return {
      root: el("li", { class: "row", data: { sid: first.sid } },
        el("span", { class: "who-is" }, name, " ", el("span", { class: "faint" }, `since ${clock(first.joinedAt)}`)),
        el("span", { class: "buttons" }, admit, deny)),
      update(w) {
        name.replaceChildren(theirs(w.name || w.identity));
        for (const b of [admit, deny]) b.ariaLabel = `${b.textContent}: ${shorten(w.name || w.identity, 60)}`;
      },
    };
  }

  async function answer(verb, sids) {
    try {
      const { answered } = await api.answerWaiting(room, verb, sids);
      outcome(answered.length === 0 ? "Nobody waits any more." : `${count(answered.length, "person was", "people were")} ${verb === "admit" ? "let in" : "sent away"}.`);
    } catch (error) {
      outcome(words(error), true);
    }
    p.now();
  }

  function nobody() {
    return el("p", { class: "faint card nobody" }, "Choose somebody to see what they may do, and why.");
  }

  // change selects somebody, or nobody.
  function change(_, identity = "") {
    const before = selected;
    const focused = side.contains(document.activeElement);
    selected = identity;
    for (const a of list.querySelectorAll("a")) a.setAttribute("aria-current", String(a.dataset.identity === selected));
    root.classList.toggle("chosen", selected !== "");
    person = selected ? personView({ room, identity: selected, refresh: () => p.now(), go, send: () => send(selected), scope: room }) : null;
    side.replaceChildren(person ? person.root : nobody());
    if (person) {
      person.show(people.filter((q) => q.identity === selected));
      p?.now();
      person.root.querySelector("h2")?.focus({ preventScroll: true });
      if (matchMedia("(max-width: 52rem)").matches) scrollTo(0, 0);
    } else if (focused) {
      // Back in the list, where they were.
      settle([...list.querySelectorAll("a")].filter((a) => a.dataset.identity === before), list);
    }
  }

  function send(to) {
    const text = el("textarea", { rows: 3, required: true });
    const topic = el("input", { autocomplete: "off", placeholder: "none" });
    const reliable = el("input", { checked: true });
    const boxes = [...new Set(people.map((q) => q.identity))].map((identity) => ({ identity, box: el("input", { checked: identity === to }) }));
    dialog({
      title: "Send data", label: "Send", words,
      body: [field("Text", text), field("Topic", topic),
        check("Reliable: it waits for whoever is slow", reliable),
        el("fieldset", {}, el("legend", {}, "To (nobody ticked: to everybody)"),
          el("div", { class: "checks" }, ...boxes.map(({ identity, box }) => check(theirs(identity), box))))],
      async submit() {
        const identities = boxes.filter(({ box }) => box.checked).map(({ identity }) => identity);
        await api.sendData(room, text.value, { topic: topic.value, reliable: reliable.checked, identities });
        outcome(identities.length ? `Sent to ${count(identities.length, "person", "people")}.` : "Sent to everybody in the room.");
      },
    });
  }

  function editMetadata() {
    const text = el("textarea", { rows: 5, value: life?.metadata ?? "" });
    dialog({
      title: "The room’s metadata", label: "Save", words,
      body: [field("Metadata", text, "Everybody in the room sees it. Empty clears it.")],
      async submit() {
        await api.setRoomMetadata(room, text.value);
        outcome("The room’s metadata is changed, for all to see.");
        p.now();
      },
    });
  }

  function end() {
    dialog({
      title: "Delete this room?", label: "Delete the room", danger: true, words,
      body: [el("p", {}, bold(room), ` ends, and ${count(people.length, "person is", "people are")} put out. Their tokens stay good: who comes back makes the room anew.`)],
      async submit() {
        await api.deleteRoom(room);
        outcome("The room ", false, theirs(room), " is deleted.");
        if (api.scope()) p.now();
        else go("rooms");
      },
    });
  }

  change(room, selected);
  return { root, change, stop: () => {} };
}

// marks tells what somebody is, in a few words.
export function marks(q) {
  const list = [];
  if (q.state !== "active") list.push([q.state, "warn"]);
  if (q.kind !== "standard") list.push([q.kind, ""]);
  if (q.permissions.hidden) list.push(["hidden", "warn"]);
  if (q.permissions.recorder) list.push(["recorder", "warn"]);
  if (q.permissions.admin.includes("participants")) list.push(["moderates", "accent"]);
  for (const t of q.tracks.slice(0, 6)) list.push([trackWords(t) + (t.muted ? " (muted)" : ""), t.muted ? "" : "good"]);
  if (q.tracks.length > 6) list.push([`${q.tracks.length - 6} more tracks`, ""]);
  return list;
}

export const trackWords = (t) => (t.source && t.source !== "unknown" ? t.source.replaceAll("_", " ") : t.kind === "data" ? `data: ${shorten(t.name, 40)}` : t.kind);
