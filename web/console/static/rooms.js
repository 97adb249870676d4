// The project's rooms.

import * as api from "./api.js";
import { dialog, el, field, keyed, outcome, setHidden, setText, shorten, theirs } from "./dom.js";
import { clock, count, words } from "./words.js";

export function roomsView({ go, poll, title }) {
  title("Rooms");
  const find = el("input", { type: "search", autocomplete: "off", spellcheck: false, placeholder: "Part of a name", ariaLabel: "Search rooms" });
  const list = el("ul", { class: "rows", id: "rooms" });
  const number = el("span", { class: "count" });
  const none = el("p", { class: "faint empty", hidden: true });
  const creating = api.may({ roomCreate: true });
  const root = el("section", { "aria-labelledby": "rooms-title" },
    el("div", { class: "head" },
      el("h1", { id: "rooms-title" }, "Rooms ", number),
      find,
      creating && el("button", { type: "button", id: "new-room", on: { click: create } }, "New room")),
    el("div", { class: "card flush" }, list, none));

  const p = poll(async (signal) => {
    const { rooms, count: all } = await api.rooms(find.value.trim(), signal);
    setText(number, String(all));
    keyed(list, rooms, (r) => r.sid, line);
    setText(none, find.value.trim() ? "No room has that in its name." : "No room lives. A join makes one, or you do.");
    setHidden(none, rooms.length > 0);
  });
  find.addEventListener("input", p.now);

  function line(room) {
    const people = el("span", { class: "fact" });
    const metadata = el("span", { class: "faint more" });
    return {
      root: el("li", {}, el("a", { class: "row", href: "#/room/" + encodeURIComponent(room.name), data: { room: room.name } },
        el("span", { class: "name" }, theirs(room.name)), people,
        el("span", { class: "fact faint" }, `since ${clock(room.createdAt)}`), metadata)),
      update(r) {
        setText(people, count(r.numParticipants, "person", "people") + (r.maxParticipants ? ` of ${r.maxParticipants}` : ""));
        setText(metadata, shorten(r.metadata, 120));
        setHidden(metadata, !r.metadata);
      },
    };
  }

  function create() {
    const name = el("input", { required: true, autocomplete: "off" });
    const metadata = el("textarea", { rows: 2 });
    const most = el("input", { type: "number", min: 0, placeholder: "no limit" });
    const empty = el("input", { type: "number", min: 0, placeholder: "300" });
    const departure = el("input", { type: "number", min: 0, placeholder: "20" });
    dialog({
      title: "New room", label: "Make the room", words,
      body: [field("Name", name), field("Metadata", metadata),
        el("div", { class: "pair" }, field("Most people", most), field("Ends when nobody came for (s)", empty), field("Ends when all have left for (s)", departure))],
      async submit() {
        const made = await api.createRoom({
          name: name.value, metadata: metadata.value,
          ...(most.value ? { max_participants: Number(most.value) } : {}),
          ...(empty.value ? { empty_timeout: Number(empty.value) } : {}),
          ...(departure.value ? { departure_timeout: Number(departure.value) } : {}),
        });
        go("room", made.name);
        outcome("The room ", false, theirs(made.name), " is there.");
      },
    });
  }

  return { root };
}
