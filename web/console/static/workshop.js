// Tokens: taken apart, and made.

import * as api from "./api.js";
import { check, el, field, select, setHidden, setText, theirs } from "./dom.js";
import { decode } from "./jwt.js";
import { words } from "./words.js";

const three = [["", "not said"], ["true", "yes"], ["false", "no"]];

// What of a grant has a flag of its own in usher token create; the rest goes
// through --grant.
const flags = { roomJoin: "--join", roomAdmin: "--admin", roomCreate: "--create", roomList: "--list", hidden: "--hidden", recorder: "--recorder" };
const optional = {
  canPublish: "--can-publish", canPublishData: "--can-publish-data", canSubscribe: "--can-subscribe", canUpdateOwnMetadata: "--can-update-own-metadata",
};

const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

export function workshopView({ title }) {
  title("Tokens");
  const root = el("section", { "aria-labelledby": "tokens-title" },
    el("div", { class: "head" }, el("h1", { id: "tokens-title" }, "Tokens")),
    el("div", { class: "benches" }, look(), make()));
  return { root };
}

// copier copies what of returns, and says whether it did.
function copier(label, of, id) {
  const b = el("button", { type: "button", class: "quiet", id, on: { click: async () => {
    try {
      await navigator.clipboard.writeText(of());
      b.textContent = "Copied";
    } catch {
      b.textContent = "Not allowed: select and copy";
    }
    b.addEventListener("blur", () => (b.textContent = label), { once: true });
  } } }, label);
  return b;
}

// ---- Making one

function make() {
  const text = (properties) => el("input", { autocomplete: "off", autocapitalize: "off", spellcheck: false, ...properties });
  const inputs = {
    identity: text({ id: "make-identity" }), name: text({ id: "make-name" }), room: text({ id: "make-room", value: api.scope() ?? "" }),
    validFor: select([["5m", "5 minutes"], ["1h", "1 hour"], ["6h", "6 hours"], ["24h", "1 day"], ["168h", "7 days"]], { id: "make-valid" }),
    kind: select([["", "not said"], ...["standard", "agent", "ingress", "egress", "sip", "connector", "bridge"].map((k) => [k, k])]),
    metadata: el("textarea", { rows: 2, spellcheck: false }), attributes: el("textarea", { rows: 2, spellcheck: false, placeholder: "{\"team\":\"blue\"}" }),
    tokenId: text({}), notBefore: el("input", { type: "datetime-local", step: 1 }), destinationRoom: text({}),
    roomConfig: el("textarea", { rows: 2, spellcheck: false, placeholder: "{\"maxParticipants\":10}" }), roomPreset: text({}),
  };
  inputs.validFor.value = "6h";
  const plain = {}, tri = {}, sources = {};
  for (const [name, label] of [["roomJoin", "Join the room"], ["roomAdmin", "Administer the room"], ["roomCreate", "Make and delete rooms"], ["roomList", "List rooms"],
    ["hidden", "Hidden"], ["recorder", "Recorder"], ["agent", "Agent"], ["roomRecord", "roomRecord (no effect here)"], ["ingressAdmin", "ingressAdmin (no effect here)"]]) {
    plain[name] = { input: el("input", { id: `make-${name}`, checked: name === "roomJoin" }), label };
  }
  for (const [name, label] of [["canPublish", "Publish tracks"], ["canPublishData", "Send data and presence"], ["canSubscribe", "Receive tracks"],
    ["canUpdateOwnMetadata", "Change own metadata"], ["canSubscribeMetrics", "Metrics (no effect here)"], ["canManageAgentSession", "Agents (no effect here)"]]) {
    tri[name] = { input: select(three, { id: `make-${name}` }), label };
  }
  for (const [name, label] of [["camera", "Camera"], ["microphone", "Microphone"], ["screen_share", "Screen share"], ["screen_share_audio", "Screen share audio"], ["unknown", "Custom tracks"]]) {
    sources[name] = { input: el("input", { id: `make-${name}` }), label };
  }
  const preview = el("pre", { id: "preview", tabIndex: 0, ariaLabel: "Claims" });
  const command = el("pre", { id: "command", tabIndex: 0, ariaLabel: "Command" });
  const problem = el("p", { class: "refusal", role: "alert", id: "make-problem" });
  const token = el("textarea", { rows: 4, readOnly: true, id: "made", spellcheck: false });
  const made = el("div", { class: "made", hidden: true }, field("The token", token), el("div", { class: "buttons" }, copier("Copy the token", () => token.value, "copy-token")));
  const button = el("button", { type: "submit", id: "make" }, "Sign the token");

  const seconds = (text) => Number(text.slice(0, -1)) * (text.endsWith("m") ? 60 : 3600);

  function object(input, name, ofTexts) {
    if (!input.value.trim()) return undefined;
    let v;
    try {
      v = JSON.parse(input.value);
    } catch (error) {
      throw new Error(`${name}: ${error.message}`);
    }
    if (typeof v !== "object" || v === null || Array.isArray(v)) throw new Error(`${name}: not a JSON object`);
    if (ofTexts && Object.values(v).some((x) => typeof x !== "string")) throw new Error(`${name}: every value is text`);
    return v;
  }

  // claims returns what the form says. Without a value there is no claim, and
  // the server decides.
  function claims() {
    const now = Math.floor(api.serverNow() / 1000);
    const video = {};
    for (const [k, { input }] of Object.entries(plain)) if (input.checked) video[k] = true;
    if (inputs.room.value) video.room = inputs.room.value;
    for (const [k, { input }] of Object.entries(tri)) if (input.value) video[k] = input.value === "true";
    const chosen = Object.entries(sources).filter(([, { input }]) => input.checked).map(([k]) => k);
    if (chosen.length) video.canPublishSources = chosen;
    if (inputs.destinationRoom.value) video.destinationRoom = inputs.destinationRoom.value;
    const set = (k, v) => (v === "" || v === undefined ? {} : { [k]: v });
    const nbf = inputs.notBefore.value ? Math.floor(new Date(inputs.notBefore.value) / 1000) : now;
    return {
      ...set("iss", api.keyId() ?? "YOUR_API_KEY"), ...set("sub", inputs.identity.value), ...set("jti", inputs.tokenId.value),
      iat: now, nbf, exp: now + seconds(inputs.validFor.value),
      ...set("name", inputs.name.value), ...set("kind", inputs.kind.value), ...set("metadata", inputs.metadata.value),
      ...set("attributes", object(inputs.attributes, "Attributes", true)), ...set("roomConfig", object(inputs.roomConfig, "Room settings")),
      ...set("roomPreset", inputs.roomPreset.value), video,
    };
  }

  function commandOf(c) {
    const words = ["usher", "token", "create"];
    const rest = { ...c.video };
    for (const [k, flag] of Object.entries(flags)) {
      if (rest[k]) words.push(flag);
      delete rest[k];
    }
    const say = (flag, v) => v !== undefined && v !== "" && words.push(flag, quote(v));
    say("--room", c.video.room);
    say("--identity", c.sub);
    say("--name", c.name);
    delete rest.room;
    for (const [k, flag] of Object.entries(optional)) {
      if (k in rest) words.push(rest[k] ? flag : `${flag}=false`);
      delete rest[k];
    }
    for (const s of rest.canPublishSources ?? []) words.push("--can-publish-source", s);
    delete rest.canPublishSources;
    say("--kind", c.kind);
    say("--metadata", c.metadata);
    for (const [k, v] of Object.entries(c.attributes ?? {})) say("--attribute", `${k}=${v}`);
    say("--token-id", c.jti);
    if (inputs.notBefore.value) say("--nbf", new Date(c.nbf * 1000).toISOString().replace(".000", ""));
    say("--room-config", c.roomConfig && JSON.stringify(c.roomConfig));
    say("--room-preset", c.roomPreset);
    if (Object.keys(rest).length) say("--grant", JSON.stringify(rest));
    if (inputs.validFor.value !== "6h") say("--valid-for", inputs.validFor.value);
    return words.join(" ");
  }

  // wanting says what keeps the token from being of use.
  function wanting(c) {
    const v = c.video;
    if (v.roomJoin && !v.room) return "To join, the token has to name a room.";
    if (v.roomJoin && !c.sub) return "To join, the token has to name an identity.";
    if (!v.roomJoin && !v.roomAdmin && !v.roomCreate && !v.roomList) return "With nothing ticked the token is good for nothing.";
    if (v.canPublish === false && v.canPublishSources) return "Sources open nothing when publishing is “no”.";
    return "";
  }

  const hint = el("p", { class: "faint", id: "make-hint", role: "status" });
  function update() {
    made.hidden = true;
    try {
      const c = claims();
      setText(preview, JSON.stringify(c, null, 2));
      setText(command, commandOf(c));
      setText(hint, wanting(c));
      problem.textContent = "";
    } catch (error) {
      setText(preview, "");
      setText(command, "");
      setText(hint, "");
      problem.textContent = error.message;
    }
  }

  const form = el("form", { class: "card bench", "aria-labelledby": "make-title", on: { input: update, async submit(event) {
    event.preventDefault();
    try {
      const c = claims();
      setText(preview, JSON.stringify(c, null, 2));
      token.value = await api.signToken(c);
      made.hidden = false;
    } catch (error) {
      problem.textContent = words(error);
    }
  } } },
    el("h2", { id: "make-title" }, "Create"),
    el("div", { class: "pair" }, field("Identity", inputs.identity), field("Room", inputs.room)),
    el("div", { class: "pair" }, field("Name", inputs.name), field("Lets in for", inputs.validFor)),
    el("fieldset", {}, el("legend", {}, "Grants"), el("div", { class: "checks" }, ...Object.values(plain).map(({ input, label }) => check(label, input)))),
    el("fieldset", {}, el("legend", {}, "Permissions"),
      el("p", { class: "faint" }, "Not said means yes for publishing and receiving, as publishing for data, no for the rest."),
      el("div", { class: "tris" }, ...Object.values(tri).map(({ input, label }) => field(label, input)))),
    el("fieldset", {}, el("legend", {}, "Sources (none ticked: all)"), el("div", { class: "checks" }, ...Object.values(sources).map(({ input, label }) => check(label, input)))),
    el("details", {}, el("summary", {}, "More: metadata, kind, room settings"),
      el("div", { class: "stack" },
        field("Metadata", inputs.metadata), field("Attributes (JSON)", inputs.attributes),
        el("div", { class: "pair" }, field("Kind", inputs.kind), field("Token id (jti)", inputs.tokenId)),
        el("div", { class: "pair" }, field("Not before", inputs.notBefore), field("May move people to", inputs.destinationRoom)),
        field("Room settings (JSON)", inputs.roomConfig, "They count when this join makes the room."), field("Room preset", inputs.roomPreset, "No effect here."))),
    hint, problem,
    api.keyId() ? el("div", { class: "buttons" }, button) : el("p", { class: "notice" }, "To sign here, sign in with an API key. The command below makes the token at a terminal."),
    made,
    el("h3", {}, "Claims"), preview,
    el("div", { class: "buttons" }, copier("Copy the claims", () => preview.textContent)),
    el("h3", {}, "The same at a terminal"), command,
    el("p", { class: "faint" }, "With the key in USHER_API_KEY and USHER_API_SECRET."),
    el("div", { class: "buttons" }, copier("Copy the command", () => command.textContent)));
  update();
  return form;
}

// ---- Taking one apart

const keys = {
  sk_: "a Liveblocks secret key. It opens everything: keep it on a server, and replace it if others have seen it. This page did not send it anywhere.",
  pk_: "a Liveblocks public key: it lets anybody into rooms, without an identity.",
};

function look() {
  const input = el("textarea", { rows: 5, id: "pasted", spellcheck: false, autocomplete: "off", autocapitalize: "off", placeholder: "eyJ…" });
  const what = el("p", { class: "verdict", id: "what", role: "status" });
  const report = el("dl", { class: "report", id: "report" });
  const header = el("pre", { tabIndex: 0, ariaLabel: "Header" });
  const claims = el("pre", { id: "claims", tabIndex: 0, ariaLabel: "Claims" });
  const inside = el("div", { class: "stack", hidden: true }, el("h3", {}, "Header"), header, el("h3", {}, "Claims"), claims);
  let asking = null;

  async function read() {
    asking?.abort();
    const mine = (asking = new AbortController());
    const text = input.value.trim();
    const read = decode(text);
    inside.hidden = !read;
    if (read) {
      setText(header, JSON.stringify(read.header, null, 2));
      setText(claims, JSON.stringify(read.claims, null, 2));
    }
    if (!text) {
      setText(what, "");
      report.replaceChildren();
      return;
    }
    const key = keys[text.slice(0, 3)];
    if (key) {
      report.replaceChildren();
      setText(what, `This is ${key}`);
      return;
    }
    if (api.scope()) {
      report.replaceChildren();
      setText(what, read ? "These are its claims. Whether it holds, the server tells holders of the project’s own token." : "This is no token: a token has three parts of base64url with dots between them, the first two JSON.");
      return;
    }
    try {
      const answer = await api.explainToken(text, mine.signal);
      if (mine.signal.aborted) return;
      what.classList.toggle("bad", !answer.accepted);
      const here = answer.report.filter((part) => part.label === "here").flatMap((part) => part.lines);
      setText(what, [`This is ${answer.what}.`, ...here.map((line) => `${line[0].toUpperCase()}${line.slice(1)}.`)].join(" "));
      report.replaceChildren(...answer.report.filter((part) => part.label !== "here").flatMap((part) => [
        el("dt", { data: { part: part.label } }, part.label),
        ...part.lines.map((line) => el("dd", { data: { part: part.label } }, theirs(line)))]));
    } catch (error) {
      if (mine.signal.aborted) return;
      report.replaceChildren();
      setText(what, words(error));
    }
  }
  input.addEventListener("input", read);
  return el("div", { class: "card bench" },
    el("h2", {}, "Look into"),
    field("A token or a key of any kind", input, "LiveKit, Liveblocks or Daily. It goes to this server in the body of a request, and is not logged or kept."),
    what, report, inside);
}
