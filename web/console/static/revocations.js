// What is refused: the list of revocations, and making one.

import * as api from "./api.js";
import { dialog, el, field, keyed, outcome, select, setHidden, setText, settle, shorten, theirs } from "./dom.js";
import { clock, words } from "./words.js";

// what says in words what a revocation refuses.
function what(r) {
  if (r.keyId) return ["every token that comes from the key ", theirs(r.keyId)];
  if (r.tokenId) return ["the token ", theirs(r.tokenId)];
  if (r.identity && r.room) return [theirs(r.identity), " in the room ", theirs(r.room)];
  if (r.identity) return [theirs(r.identity), " in every room"];
  if (r.naming) return ["tokens that name the room ", theirs(r.room)];
  return ["everybody in the room ", theirs(r.room)];
}

export function revocationsView({ poll, title }) {
  title("Revocations");
  const list = el("ul", { class: "rows", id: "revocations" });
  const none = el("p", { class: "faint empty", hidden: true }, "Nothing is revoked.");
  const older = el("button", { type: "button", class: "quiet", hidden: true, on: { click: () => {
    trail.push(next);
    p.now();
  } } }, "Earlier ones");
  const newer = el("button", { type: "button", class: "quiet", hidden: true, on: { click: () => {
    trail.pop();
    p.now();
  } } }, "Later ones");
  const trail = [];
  let next = "";
  const mayLift = !api.scope();
  const root = el("section", { "aria-labelledby": "revocations-title" },
    el("div", { class: "head" },
      el("h1", { id: "revocations-title" }, "Revocations"),
      el("button", { type: "button", id: "new-revocation", on: { click: () => revokeDialog({}, p.now) } }, "Revoke")),
    el("p", { class: "faint" }, "Tokens that are refused, refreshed ones included. What is issued later is good.",
      mayLift ? "" : " Lifting one takes the project’s own token or the API key."),
    el("div", { class: "card flush" }, list, none), el("div", { class: "buttons" }, newer, older));

  const p = poll(async (signal) => {
    const page = await api.revocations(trail.at(-1), signal);
    next = page.next ?? "";
    keyed(list, page.revocations, (r) => r.id, line);
    setHidden(none, page.revocations.length > 0);
    const turning = [older, newer].includes(document.activeElement);
    setHidden(older, !next);
    setHidden(newer, trail.length === 0);
    if (turning && !document.activeElement?.checkVisibility()) settle(older.hidden ? newer : older);
  });

  function line(r) {
    const until = el("span", { class: "fact" });
    const rest = el("span", { class: "faint more" });
    return {
      root: el("li", { class: "row", data: { revocation: r.id } }, el("span", { class: "name" }, ...what(r)), until,
        mayLift && el("button", { type: "button", class: "quiet", data: { lift: r.id }, on: { click: () => lift(r) } }, "Lift"), rest),
      update(now) {
        setText(until, now.tokenId ? (now.expires ? `kept until ${clock(now.expires)}` : "") : now.until ? `issued until ${clock(now.until)}` : "");
        setText(rest, [now.reason && shorten(now.reason), `made ${clock(now.made)}${now.by ? ` by ${shorten(now.by, 60)}` : ""}`, now.id].filter(Boolean).join(" · "));
      },
    };
  }

  function lift(r) {
    dialog({
      title: "Lift this revocation?", label: "Lift", words,
      body: [el("p", {}, "It refuses ", ...what(r), ". When it is lifted, tokens of before let in again, as far as they have not run out.")],
      async submit() {
        await api.lift(r.id);
        outcome("The revocation is lifted.");
        p.now();
      },
    });
  }

  return { root };
}

const scopes = [
  ["person", "One identity in one room", ["identity", "room"]],
  ["identity", "One identity in every room", ["identity"]],
  ["room", "Everybody in one room", ["room"]],
  ["token", "One token, by its id (jti)", ["tokenId", "expires"]],
  ["key", "Every token of an API key", ["keyId"]],
];

// local is a time as datetime-local inputs write it.
function local(date) {
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60000);
  return shifted.toISOString().slice(0, 19);
}

// revokeDialog asks what to revoke, starting from what is known.
export function revokeDialog(known, done) {
  const own = api.scope();
  const choices = scopes.filter(([name]) => !own || name === "person" || name === "room");
  const scope = select(choices.map(([value, text]) => [value, text]), { id: "revoke-scope" });
  scope.value = known.identity || !known.room ? "person" : "room";
  const inputs = {
    identity: el("input", { autocomplete: "off", value: known.identity ?? "" }),
    room: el("input", { autocomplete: "off", value: known.room ?? own ?? "", readOnly: Boolean(own) }),
    tokenId: el("input", { autocomplete: "off" }),
    expires: el("input", { type: "datetime-local", step: 1 }),
    keyId: el("input", { autocomplete: "off" }),
  };
  const fields = {
    identity: field("Identity", inputs.identity), room: field("Room", inputs.room), tokenId: field("Token id (jti)", inputs.tokenId),
    expires: field("When the token expires", inputs.expires, "After that it need not be remembered. Optional."),
    keyId: field("API key", inputs.keyId),
  };
  const until = el("input", { type: "datetime-local", step: 1, max: local(new Date(api.serverNow() + 86400000)) });
  const untilField = field("Tokens issued until", until, "Empty: until now. At most a day ahead.");
  const reason = el("input", { autocomplete: "off", maxLength: 500 });
  const warn = el("p", { class: "notice", hidden: true });
  function mark() {
    const wanted = choices.find(([name]) => name === scope.value)[2];
    for (const [name, input] of Object.entries(inputs)) {
      setHidden(fields[name], !wanted.includes(name));
      input.required = wanted.includes(name) && name !== "expires";
    }
    setHidden(untilField, scope.value === "token");
    const mine = scope.value === "key" && inputs.keyId.value !== "" && inputs.keyId.value === api.keyId();
    setText(warn, mine ? "This is the key that you are signed in with. The tokens that this page signs from the next second on are good; with a time ahead it is refused until then." : "");
    setHidden(warn, !mine);
  }
  scope.addEventListener("change", mark);
  inputs.keyId.addEventListener("input", mark);
  mark();
  dialog({
    title: "Revoke tokens", label: "Revoke", danger: true, words,
    body: [field("What", scope), ...Object.values(fields), untilField, field("Reason", reason, "For whoever reads the list."), warn,
      el("p", { class: "faint" }, "Whoever is in a room with such a token is put out at once.")],
    async submit() {
      const wanted = choices.find(([name]) => name === scope.value)[2];
      const asked = {};
      for (const name of wanted) if (name !== "expires" && inputs[name].value) asked[name] = inputs[name].value;
      if (wanted.includes("expires") && inputs.expires.value) asked.expires = Math.floor(new Date(inputs.expires.value) / 1000);
      if (scope.value !== "token" && until.value) asked.until = Math.floor(new Date(until.value) / 1000);
      if (reason.value) asked.reason = reason.value;
      const made = await api.revoke(asked);
      outcome("Revoked: ", false, ...what(made), ". It is in force and durable.");
      done?.();
    },
  });
}
