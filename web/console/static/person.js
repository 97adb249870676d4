// One person of a room: what they may do and why, and what can be done about it.

import * as api from "./api.js";
import { dialog, el, field, idle, isIdle, keyed, lost, outcome, setHidden, setText, shorten, theirs } from "./dom.js";
import { revokeDialog } from "./revocations.js";
import { bold, marks, trackWords } from "./room.js";
import { clock, rightWords, why, words } from "./words.js";

const receive = ["receiveCamera", "receiveMicrophone", "receiveScreenShare", "receiveScreenShareAudio", "receiveCustomVideo", "receiveCustomAudio", "receiveDataTracks"];

// What can be switched. Sources are stated together: the API names them as a list.
const switches = [
  { source: "camera", label: "Camera", may: "publish camera", rights: ["sendCamera"] },
  { source: "microphone", label: "Microphone", may: "publish microphone", rights: ["sendMicrophone"] },
  { source: "screen_share", label: "Screen share", may: "publish screen share", rights: ["sendScreenShare"] },
  { source: "screen_share_audio", label: "Screen share audio", may: "publish screen share audio", rights: ["sendScreenShareAudio"] },
  { source: "unknown", label: "Custom tracks", may: "publish custom tracks", rights: ["sendCustomVideo", "sendCustomAudio"] },
  { field: "canPublishData", label: "Data and presence", may: "send data and presence", rights: ["sendData", "sendPresence"] },
  { field: "canSubscribe", label: "Receive tracks", may: "receive tracks", rights: receive },
  { field: "canUpdateMetadata", label: "Own name and metadata", may: "change own name, metadata and attributes", rights: ["updateOwnMetadata"] },
  { field: "hidden", label: "Hidden", may: "stay hidden from the others", rights: ["hidden"] },
  { field: "canSubscribeMetrics", label: "Metrics", may: "receive metrics", rights: ["subscribeMetrics"], idle: true },
  { field: "canManageAgentSession", label: "Agents", may: "manage agents", rights: ["manageAgents"], idle: true },
];
const sources = switches.filter((s) => s.source);
const switched = new Set(switches.flatMap((s) => s.rights));

export function personView({ room, identity, refresh, go, send }) {
  let people = []; // participants of that identity
  let seen = false; // whether the room was looked at
  let story = null; // who decided what
  let problem = "";
  let busy = Promise.resolve(); // changes go one after another

  const state = el("p", { class: "faint state" });
  const chips = el("p", { class: "chips" });
  const rows = new Map(switches.map((s) => [s, switchRow(s)]));
  const others = el("ul", { class: "whys" });
  const receiving = el("ul", { class: "whys" });
  const tracks = el("ul", { class: "rows tracks", id: "tracks" });
  const noTracks = el("p", { class: "faint" }, "None is published.");
  const said = el("p", { class: "said", role: "status", id: "said" });
  const full = api.may(api.ofRoom(room));
  const details = detailsForm();
  const buttons = el("div", { class: "buttons" },
    full && el("button", { type: "button", class: "quiet", id: "send-one", on: { click: send } }, "Send data"),
    full && el("button", { type: "button", class: "quiet", id: "move", on: { click: move } }, "Move"),
    el("button", { type: "button", class: "quiet", id: "revoke", on: { click: () => revokeDialog({ room, identity }, refresh) } }, "Revoke"),
    el("button", { type: "button", class: "quiet danger", id: "remove", on: { click: remove } }, "Remove"));

  const groupOf = (list) => el("ul", { class: "switches" }, ...list.map((s) => rows.get(s).root));
  const root = el("section", { class: "person", "aria-labelledby": "person-title" },
    el("div", { class: "card" },
      el("a", { class: "back narrow", href: `#/room/${encodeURIComponent(room)}` }, "All people"),
      el("div", { class: "title" }, el("h2", { id: "person-title", tabIndex: -1 }, theirs(identity)), chips),
      state, buttons, said),
    el("div", { class: "card" },
      el("h3", {}, "May publish"), groupOf(sources),
      el("p", { class: "faint" }, "Sources are stated together: a switch here states all five."),
      el("h3", {}, "May also"), groupOf(switches.filter((s) => !s.source && !s.idle)),
      el("details", {},
        el("summary", {}, "Rights without effect, and those that only a token gives"),
        groupOf(switches.filter((s) => s.idle)), others),
      receiving),
    el("div", { class: "card" }, el("h3", {}, "Tracks"), tracks, noTracks),
    details.root);

  // ask gets why they may do what they may.
  async function ask(signal) {
    try {
      story = await api.permissions(room, identity, signal);
      problem = "";
    } catch (error) {
      if (error.status !== 404) throw error;
      story = null;
      problem = words(error);
    }
  }

  function show(now) {
    people = now;
    seen = true;
    const q = people.at(-1);
    const focused = root.contains(document.activeElement);
    setText(state, q
      ? `${q.sid} · ${q.state} · since ${clock(q.joinedAt)}` + (people.length > 1 ? ` · ${people.length} sessions of this identity: what you do concerns all` : "")
      : story ? "Is not here. What was stated about them holds when they come with a token of before." : problem ? "Is not here, and nothing was stated about them." : "");
    const list = q ? marks(q).filter(([text]) => !q.tracks.some((t) => text.startsWith(trackWords(t)))) : [];
    const key = JSON.stringify([list, q?.name]);
    if (chips.dataset.key !== key) {
      chips.dataset.key = key;
      chips.replaceChildren(
        q?.name && q.name !== identity ? el("span", {}, theirs(q.name)) : "",
        ...list.map(([text, kind]) => el("span", { class: `chip ${kind}` }, text)));
    }
    for (const b of buttons.querySelectorAll("#send-one, #move")) b.disabled = !q;
    for (const row of rows.values()) row.update();
    showOthers();
    showTracks(people.flatMap((one) => one.tracks));
    details.update(q);
    // Switches of somebody who has gone are disabled, and the form is not there.
    if (focused && (lost() || document.activeElement.matches(":disabled") || !document.activeElement.checkVisibility())) root.querySelector("h2").focus({ preventScroll: true });
  }

  const rightsOf = (names) => (story?.permissions ?? []).filter((r) => names.includes(r.right));

  function showOthers() {
    keyed(others, (story?.permissions ?? []).filter((r) => !switched.has(r.right)), (r) => r.right, (r) => {
      const text = el("span", { class: "faint" });
      const yes = el("strong", {});
      return {
        root: el("li", {}, yes, ` ${rightWords(r.right)}. `, text),
        update(now) {
          setText(yes, now.allowed ? "May" : now.allowed === null ? "Unknown:" : "May not");
          setText(text, why(now));
        },
      };
    });
    keyed(receiving, story?.receive ?? [], (r) => JSON.stringify([r.identity, r.sid]), (r) => {
      const what = el("span", {});
      return {
        root: el("li", {}, "From ", theirs(r.identity ?? r.sid), ", in place of the general: ", what),
        update: (now) => setText(what, now.allow.length ? now.allow.map(rightWords).join(", ") : "nothing"),
      };
    });
  }

  function showTracks(list) {
    setHidden(noTracks, list.length > 0);
    keyed(tracks, list, (t) => t.sid, (t) => {
      const mark = el("span", { class: "chip" });
      const button = full && el("button", { type: "button", class: "quiet", data: { mute: t.sid }, ariaLabel: `Mute ${trackWords(t)}`, on: { click: () => isIdle(button) ? tell(`${trackWords(t)} is muted already.`) : doing(button, async () => {
        await api.mute(room, identity, t.sid);
        tell(`${trackWords(t)} is muted. Only its publisher can unmute it.`);
      }) } }, "Mute");
      return {
        root: el("li", { class: "row" }, el("span", {}, trackWords(t), t.name && t.kind !== "data" ? [" ", theirs(t.name, "faint")] : null), mark, el("span", { class: "faint fact" }, t.sid), button),
        update(now) {
          setText(mark, now.muted ? "muted" : "live");
          mark.classList.toggle("good", !now.muted);
          if (button && !button.dataset.busy) idle(button, now.muted);
        },
      };
    });
  }

  function tell(text, bad = false) {
    said.classList.toggle("bad", bad);
    said.textContent = text;
  }

  async function doing(button, act) {
    idle(button, true);
    button.dataset.busy = "1";
    try {
      await act();
    } catch (error) {
      idle(button, false);
      tell(words(error), true);
    } finally {
      delete button.dataset.busy;
      refresh();
    }
  }

  // ---- Switches

  function switchRow(s) {
    const input = el("input", { type: "checkbox", role: "switch", data: { right: s.source ?? s.field }, disabled: true });
    const text = el("p", { class: "faint why" });
    input.setAttribute("aria-label", s.label);
    const id = `why-${s.source ?? s.field}`;
    text.id = id;
    input.setAttribute("aria-describedby", id);
    let changing = 0;
    input.addEventListener("change", () => {
      const on = input.checked;
      changing++;
      input.setAttribute("aria-busy", "true");
      tell("…");
      busy = busy.then(() => set(s, on)).catch((error) => tell(`Refused: ${words(error)}`, true)).finally(() => {
        changing--;
        input.removeAttribute("aria-busy");
        refresh();
      });
    });
    return {
      root: el("li", {}, el("label", { class: "switch" }, input, el("span", { class: "label" }, s.label)), text),
      update() {
        const rights = rightsOf(s.rights);
        const here = people.length > 0;
        input.disabled = !here;
        if (rights.length === 0) {
          if (!changing) input.checked = false;
          setText(text, seen && !here ? "" : "…");
          return;
        }
        const some = rights.filter((r) => r.allowed).length;
        if (!changing) {
          input.checked = some === rights.length;
          input.indeterminate = some > 0 && some < rights.length;
        }
        const ways = new Set(rights.map(why));
        setText(text, ways.size === 1 ? why(rights[0])
          : rights.map((r) => `${r.allowed ? "May" : "May not"} ${rightWords(r.right)}. ${why(r)}`).join(" "));
      },
    };
  }

  // set states one thing, and says how that ended.
  async function set(s, on) {
    let permission;
    if (s.field) {
      permission = { [s.field]: on };
    } else {
      // What the others are is read anew: somebody else may have changed them.
      await ask();
      const allowed = sources.filter((other) => (other === s ? on : rightsOf(other.rights).every((r) => r.allowed))).map((other) => other.source);
      permission = allowed.length === 0 ? { canPublish: false }
        : { canPublish: true, canPublishSources: allowed.length === sources.length ? [] : allowed };
    }
    await api.change(room, identity, { permission });
    await ask();
    const now = rightsOf(s.rights);
    const is = now.length > 0 && now.every((r) => r.allowed);
    const whom = shorten(people.at(-1)?.name || identity, 60);
    if (is === on) tell(`Done: ${whom} may ${on ? "now" : "no longer"} ${s.may}. It is in force.`);
    else tell(`It was stated, but ${whom} ${is ? "still may" : "still may not"} ${s.may}. ${now.length ? why(now[0]) : ""}`, true);
  }

  // ---- Name, metadata and attributes

  function detailsForm() {
    const name = el("input", { autocomplete: "off", id: "person-name" });
    const metadata = el("textarea", { rows: 2, id: "person-metadata" });
    const attributes = el("div", { class: "attributes" });
    const save = el("button", { type: "submit", id: "save", ariaDisabled: "true" }, "Save");
    const undo = el("button", { type: "button", class: "quiet" }, "Discard");
    let saving = false;
    let base = null; // as the server has it
    const pairs = () => [...attributes.children].map((row) => [...row.querySelectorAll("input")].map((i) => i.value));
    const dirty = () => base && (name.value !== base.name || metadata.value !== base.metadata || JSON.stringify(pairs().sort()) !== JSON.stringify(Object.entries(base.attributes).sort()));
    const mark = () => {
      idle(save, !dirty());
      idle(undo, !dirty());
    };
    function row(k, v) {
      const line = el("div", { class: "attribute" },
        el("input", { value: k, ariaLabel: "Attribute", placeholder: "attribute", autocomplete: "off" }),
        el("input", { value: v, ariaLabel: "Value", placeholder: "value", autocomplete: "off" }),
        el("button", { type: "button", class: "quiet", ariaLabel: `Take the attribute ${shorten(k, 40)} away`, on: { click: () => {
          (line.nextElementSibling ?? line.previousElementSibling)?.querySelector("button").focus();
          line.remove();
          if (lost()) add.focus();
          mark();
        } } }, "×"));
      return line;
    }
    function fill(q) {
      base = { name: q.name, metadata: q.metadata, attributes: q.attributes };
      name.value = q.name;
      metadata.value = q.metadata;
      attributes.replaceChildren(...Object.entries(q.attributes).map(([k, v]) => row(k, v)));
      mark();
    }
    undo.addEventListener("click", () => {
      if (isIdle(undo)) return;
      base = null;
      refresh();
    });
    const add = el("button", { type: "button", class: "quiet", on: { click: () => {
      const line = row("", "");
      attributes.append(line);
      line.querySelector("input").focus();
      mark();
    } } }, "Add an attribute");
    const form = el("form", { class: "card", on: { input: mark, submit } },
      el("h3", {}, "Name, metadata and attributes"),
      field("Name", name), field("Metadata", metadata),
      el("fieldset", {}, el("legend", {}, "Attributes"), attributes, add),
      el("div", { class: "buttons" }, undo, save));

    async function submit(event) {
      event.preventDefault();
      if (isIdle(save) || saving) return;
      const what = {};
      if (name.value !== base.name) what.name = name.value || null;
      if (metadata.value !== base.metadata) what.metadata = metadata.value || null;
      const now = Object.fromEntries(pairs().filter(([k]) => k !== ""));
      const changed = {};
      for (const [k, v] of Object.entries(now)) if (base.attributes[k] !== v) changed[k] = v || null;
      for (const k of Object.keys(base.attributes)) if (!(k in now)) changed[k] = null;
      if (Object.keys(changed).length) what.attributes = changed;
      saving = true;
      idle(save, true);
      try {
        const q = await api.change(room, identity, what);
        fill(q);
        outcome("Saved, for all to see.");
      } catch (error) {
        outcome(words(error), true);
        mark();
      } finally {
        saving = false;
      }
      refresh();
    }

    return {
      root: form,
      // What is being written is not overwritten by what others do meanwhile.
      update(q) {
        setHidden(form, !q);
        if (!q || dirty() || saving) return;
        const now = JSON.stringify([q.name, q.metadata, q.attributes]);
        if (!base || now !== JSON.stringify([base.name, base.metadata, base.attributes])) fill(q);
      },
    };
  }

  // ---- Acts

  function move() {
    const to = el("input", { required: true, autocomplete: "off" });
    dialog({
      title: "Move to another room", label: "Move", words,
      body: [el("p", {}, bold(identity), " stays connected. Its tracks and subscriptions end; in the new room its token’s grant and what was stated about it there count."), field("To the room", to)],
      async submit() {
        await api.move(room, identity, to.value);
        outcome("", false, theirs(identity), " was moved to ", api.scope() ? theirs(to.value) : el("a", { href: `#/room/${encodeURIComponent(to.value)}/${encodeURIComponent(identity)}` }, theirs(to.value)), ".");
        go("room", room);
      },
    });
  }

  function remove() {
    dialog({
      title: "Remove?", label: "Remove", danger: true, words,
      body: [el("p", {}, bold(identity), " is put out of ", bold(room), " at once, and every token of theirs for this room that was issued until now lets nobody in again.")],
      async submit() {
        await api.remove(room, identity);
        outcome("", false, theirs(identity), " was removed. Their tokens of before are refused.");
        go("room", room);
        refresh();
      },
    });
  }

  return { root, ask, show };
}
