// §1: meeting tokens, self-signed by npm's jsonwebtoken, which knows nothing of usher,
// and those of POST /meeting-tokens.

import assert from "node:assert/strict";
import jwt from "jsonwebtoken";
import { code } from "../person.mjs";
import { apiKey, domainId, scenario, seconds } from "../scene.mjs";

/** signed is a token as Daily's guide makes it: a payload of abbreviations, and the API key as it is. */
function signed(payload, key = apiKey, options) {
  return jwt.sign({ d: domainId, iat: seconds(), ...payload }, key, options);
}

/** media is what somebody may receive of each kind. */
const media = { v: true, a: false, sv: true, sa: false, cv: { "*": true }, ca: { "*": false } };

/** Every property of §1.3: its abbreviation, a value in the token, and what GET /meeting-tokens says. */
const everything = {
  nbf: ["nbf", () => seconds() - 60],
  exp: ["exp", () => seconds() + 600],
  user_id: ["ud", "user-1"],
  user_name: ["u", "Ada Lovelace"],
  is_owner: ["o", false],
  knocking: ["k", false],
  close_tab_on_exit: ["ctoe", true],
  redirect_on_meeting_exit: ["rome", "https://example.com/bye"],
  intercom_join_alert: ["ij", true],
  start_cloud_recording: ["sr", true],
  auto_start_transcription: ["ast", true],
  enable_recording: ["er", "cloud"],
  enable_screenshare: ["ss", false],
  start_video_off: ["vo", true],
  start_audio_off: ["ao", true],
  meeting_join_hook: ["mjh", "https://example.com/hook"],
  eject_at_token_exp: ["ejt", true],
  eject_after_elapsed: ["eje", 300],
  lang: ["uil", "de"],
  enable_recording_ui: ["erui", true],
  start_cloud_recording_opts: ["sro", { width: 1280 }],
  permissions: [
    "p",
    { hp: true, cs: "a,sv", cr: { b: media, u: { "user-2": false }, p: { "PA_x": true } }, ca: "p,t" },
    {
      hasPresence: true,
      canSend: ["audio", "screenVideo"],
      canReceive: {
        base: { video: true, audio: false, screenVideo: true, screenAudio: false, customVideo: { "*": true }, customAudio: { "*": false } },
        byUserId: { "user-2": false },
        byParticipantId: { PA_x: true },
      },
      canAdmin: ["participants", "transcription"],
    },
  ],
};

scenario("tokens: self-signed with every property there is (§1.2, §1.3, §1.5)", async (s) => {
  const room = await s.made("room");
  const payload = { r: room };
  const want = { room_name: room };
  for (const [name, [abbreviation, value, said]] of Object.entries(everything)) {
    payload[abbreviation] = typeof value === "function" ? value() : value;
    want[name] = said ?? payload[abbreviation];
  }
  const token = signed(payload);
  assert.deepEqual(jwt.decode(token, { complete: true }).header, { alg: "HS256", typ: "JWT" });
  const got = await s.api("GET", `/meeting-tokens/${token}`);
  for (const name of Object.keys(want)) {
    const have = name === "permissions" ? sorted(got[name]) : got[name];
    assert.deepEqual(have, name === "permissions" ? sorted(want[name]) : want[name], name);
  }

  const ada = await s.enter(token);
  assert.deepEqual([ada.me.identity, ada.me.name], ["user-1", "Ada Lovelace"]);
  const p = ada.me.permissions;
  assert.deepEqual([p.canPublish, [...p.canPublishSources].sort(), p.hidden ?? false, p.owner ?? false],
    [true, ["microphone", "screen_share"], false, false], JSON.stringify(p));
  const joined = await ada.joined();
  assert.deepEqual(joined.start, { videoOff: true, audioOff: true, screenShare: false });
  // The smaller of exp and joining + 300 s (§1.7.5).
  assert(ada.me.willEjectAt <= Date.now() + 300_000 && ada.me.willEjectAt > Date.now(), String(ada.me.willEjectAt));
});

function sorted(permissions) {
  return { ...permissions, canSend: [...permissions.canSend].sort(), canAdmin: [...permissions.canAdmin].sort() };
}

scenario("tokens: each property by itself, in the token and asked for, says the same (§1.1, §1.3)", async (s) => {
  const room = await s.made("room");
  for (const [name, [abbreviation, value, said]] of Object.entries(everything)) {
    const v = typeof value === "function" ? value() : value;
    const own = await s.api("GET", `/meeting-tokens/${signed({ r: room, [abbreviation]: v })}`);
    const asked = await s.token({ room_name: room, [name]: said ?? v });
    const theirs = await s.api("GET", `/meeting-tokens/${asked}`);
    assert.deepEqual(own[name], name === "permissions" ? own[name] : said ?? v, name);
    assert.deepEqual(theirs[name], own[name], name);
    const claims = jwt.decode(asked);
    assert(abbreviation in claims && !(name !== abbreviation && name in claims), `${name} in ${JSON.stringify(claims)}`);
    assert.deepEqual([claims.r, claims.d, typeof claims.iat], [room, domainId, "number"]);
    assert.deepEqual(jwt.decode(asked, { complete: true }).header, { alg: "HS256", typ: "JWT" });
  }
  // Those without a documented abbreviation keep their name.
  for (const name of ["enable_prejoin_ui", "enable_live_captions_ui", "enable_terse_logging"]) {
    const asked = await s.token({ room_name: room, [name]: true });
    assert.equal(jwt.decode(asked)[name], true);
    assert.equal((await s.api("GET", `/meeting-tokens/${asked}`))[name], true);
  }
});

scenario("tokens: only HS256, of an API key, for this domain (§1.2)", async (s) => {
  const room = await s.made("room");
  const part = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");
  const bad = {
    "another key": signed({ r: room }, "another-key-of-thirty-two-characters"),
    "the key decoded": signed({ r: room }, Buffer.from(apiKey, "base64")),
    "another domain": signed({ r: room, d: "25df5057-ef0d-4d97-bde6-0cf287276cbb" }),
    "no domain": jwt.sign({ r: room, iat: seconds() }, apiKey),
    "HS512": signed({ r: room }, apiKey, { algorithm: "HS512" }),
    "none": `${part({ alg: "none", typ: "JWT" })}.${part({ r: room, d: domainId, iat: seconds() })}.`,
    "no token": "nonsense",
  };
  for (const [what, token] of Object.entries(bad)) {
    await s.refused(400, "invalid-request-error", undefined, "GET", `/meeting-tokens/${encodeURIComponent(token)}`);
    assert.equal(await s.turnedAway(token), code.invalidToken, what);
  }
  // Other claims are nobody's business, and no key is looked up by them.
  for (const more of [{ otcd: { x: 1 } }, { aud: "x", sub: "y" }, { iss: "somebody" }]) {
    await s.enter(signed({ r: room, ...more }));
  }
  await s.enter(signed({ r: room }, apiKey, { keyid: "whatever" }));
});

scenario("tokens: without a room every room, without exp for ever, without iat still (§1.1, §1.2)", async (s) => {
  const [one, two] = [await s.made("one"), await s.made("two")];
  const token = signed({ u: "Ada" });
  for (const room of [one, two]) {
    const ada = await s.enter({ token, room });
    assert.equal((await ada.joined()).room.name, room);
  }
  await s.enter(jwt.sign({ d: domainId, r: one }, apiKey, { noTimestamp: true }));
  assert.equal(await s.turnedAway({ token, room: s.room("nowhere") }), code.roomNotFound);
  const got = await s.call("GET", `/rooms/${s.room("nowhere")}`);
  assert.equal(got.status, 404, "no token makes a room");
  // The room of the token counts, not the one that is asked for.
  const bound = await s.enter({ token: signed({ r: one }), room: two });
  assert.equal((await bound.joined()).room.name, one);
});

scenario("tokens: who is who (§1.1 user_id)", async (s) => {
  const room = await s.made("room");
  const presence = async () => (await s.api("GET", `/rooms/${room}/presence`)).data;
  const named = await s.enter(await s.token({ room_name: room, user_id: "u".repeat(36), user_name: "Ada" }));
  assert.equal(named.me.identity, "u".repeat(36));
  const anonymous = await s.enter(await s.token({ room_name: room, user_name: "Guest" }));
  assert.match(anonymous.me.identity, /^anon:/);
  assert.deepEqual(new Map((await presence()).map((p) => [p.userName, p.userId])), new Map([["Ada", "u".repeat(36)], ["Guest", null]]));
  await s.refused(400, "invalid-request-error", undefined, "POST", "/meeting-tokens", { properties: { room_name: room, user_id: "u".repeat(37) } });
  assert.equal(await s.turnedAway(signed({ r: room, ud: "u".repeat(37) })), code.invalidToken);
  assert.equal(await s.turnedAway(signed({ r: room, ud: "anon:me" })), code.invalidToken);
});

scenario("tokens: asking for one (§1.4)", async (s) => {
  assert.deepEqual(Object.keys(await s.api("POST", "/meeting-tokens", { properties: { room_name: "needs-not-exist" } })), ["token"]);
  for (const body of [undefined, {}, { properties: {} }]) await s.api("POST", "/meeting-tokens", body);
  const past = seconds() - 10;
  await s.refused(400, "invalid-request-error", `exp was '${past}', which is in the past rather than in the future`, "POST", "/meeting-tokens", { properties: { exp: past } });
  await s.refused(400, "invalid-request-error", /should be a number of seconds since the unix epoch/, "POST", "/meeting-tokens", { properties: { exp: "tomorrow" } });
  await s.refused(400, "invalid-request-error", /is_ownr/, "POST", "/meeting-tokens", { properties: { is_ownr: true } });
  for (const properties of [{ is_owner: "yes" }, { permissions: { canSend: ["voice"] } }, { permissions: { canFly: true } }, { eject_after_elapsed: -1 }, { lang: "tlh" }]) {
    await s.refused(400, "invalid-request-error", undefined, "POST", "/meeting-tokens", { properties });
  }
});

scenario("tokens: validating one (§1.5)", async (s) => {
  const early = await s.token({ nbf: seconds() + 600, user_name: "Early" });
  await s.refused(400, "invalid-request-error", undefined, "GET", `/meeting-tokens/${early}`);
  assert.equal((await s.api("GET", `/meeting-tokens/${early}?ignoreNbf=true`)).user_name, "Early");
  const late = signed({ exp: seconds() - 1 });
  await s.refused(400, "invalid-request-error", undefined, "GET", `/meeting-tokens/${late}`);
  await s.refused(400, "invalid-request-error", undefined, "GET", `/meeting-tokens/${late}?ignoreNbf=true`);
  const broken = `${(await s.token({})).slice(0, -3)}AAA`;
  await s.refused(400, "invalid-request-error", undefined, "GET", `/meeting-tokens/${broken}`);
});

scenario("tokens: self-signed ones can be verified by oneself, those that were asked for cannot (§1.6)", async (s) => {
  const own = signed({ r: "x", ud: "ada", exp: seconds() + 60 });
  assert.deepEqual(jwt.verify(own, apiKey, { algorithms: ["HS256"] }).ud, "ada");
  await s.api("GET", `/meeting-tokens/${own}`); // and the server says the same
  const asked = await s.token({ user_id: "ada" });
  assert.throws(() => jwt.verify(asked, apiKey), jwt.JsonWebTokenError, "another secret than the key signs them");
  await s.api("GET", `/meeting-tokens/${asked}`);
});

scenario("tokens: the answer to a bad one does not repeat it (promise 9)", async (s) => {
  for (const token of [signed({ exp: seconds() - 1 }), signed({ r: "x" }, "another-key-of-thirty-two-characters")]) {
    const got = await s.call("GET", `/meeting-tokens/${token}`);
    assert(!got.text.includes(token.slice(0, 20)), got.text);
  }
});

scenario("tokens: a bad one at a public room is refused with a code (§1.8)", async (s) => {
  const room = await s.made("room", {}, "public");
  const guest = await s.enter({ room, name: "Guest" });
  assert.equal(guest.me.name, "Guest");
  assert.equal(guest.of("refreshToken").length, 0);
  assert.equal(await s.turnedAway({ room, token: signed({ r: room }, "another-key-of-thirty-two-characters") }), code.invalidToken);
  assert.equal(await s.turnedAway({ room, token: signed({ r: room, exp: seconds() - 1 }) }), code.tokenExpired);
  assert.equal(await s.turnedAway({ room, token: signed({ r: room, nbf: seconds() + 600 }) }), code.tokenNotYetValid);
});

scenario("tokens: or ignored, as with Daily, when the project says so (§1.8)", async (s) => {
  await s.own("lax server");
  s.key = "an-api-key-of-32-characters-or-more";
  s.domain = "25df5057-ef0d-4d97-bde6-0cf287276cbb";
  const [open, closed] = [await s.made("open", {}, "public"), await s.made("closed")];
  const sign = (payload, key) => jwt.sign({ d: s.domain, iat: seconds(), exp: seconds() + 600, ...payload }, key);
  const forged = (room) => sign({ r: room, o: true, u: "Owner" }, "another-key-of-thirty-two-characters");
  const guest = await s.enter({ room: open, token: forged(open) });
  assert.equal((await guest.joined()).tokenIgnored, true);
  assert.deepEqual([guest.me.permissions.owner ?? false, guest.me.identity.startsWith("anon:")], [false, true]);
  assert.notEqual(await s.turnedAway({ room: closed, token: forged(closed) }), undefined);
  // Its times count, when the signature is good.
  assert.equal(await s.turnedAway({ room: open, token: sign({ r: open, exp: seconds() - 1 }, s.key) }), code.tokenExpired);
});

scenario("tokens: settings refuse those that are good for too much (§1.1)", async (s) => {
  await s.own("configured server");
  s.key = "an-api-key-of-32-characters-or-more";
  s.domain = "25df5057-ef0d-4d97-bde6-0cf287276cbb";
  const room = await s.made("room");
  const sign = (payload) => jwt.sign({ d: s.domain, iat: seconds(), ...payload }, s.key);
  assert.equal(await s.turnedAway({ room, token: sign({ r: room }) }), code.invalidToken);
  assert.equal(await s.turnedAway({ room, token: sign({ exp: seconds() + 600 }) }), code.invalidToken);
  await s.enter(sign({ r: room, exp: seconds() + 600 }));
});

scenario("tokens: one can be revoked, which Daily cannot (§1.9)", async (s) => {
  const room = await s.made("room");
  const [bad, good] = [await s.token({ room_name: room, user_id: "bad" }), await s.token({ room_name: room, user_id: "good" })];
  const [mallory, ada] = [await s.enter(bad), await s.enter(good)];
  const refreshed = await mallory.refreshed();
  await s.api("POST", "/meeting-tokens/revoke", { token: bad });
  assert.equal((await mallory.end()).code, code.tokenRevoked);
  for (const token of [bad, refreshed]) assert.equal(await s.turnedAway(token), code.tokenRevoked);
  await s.refused(400, "invalid-request-error", undefined, "GET", `/meeting-tokens/${bad}`);
  assert.equal(ada.closed, undefined);
});

scenario("tokens: deleting the room revokes those that name it (§1.9)", async (s) => {
  const room = await s.made("room");
  const [named, roams] = [await s.token({ room_name: room, user_id: "named" }), await s.token({ user_id: "roams" })];
  const own = signed({ r: room, ud: "own", iat: seconds() - 5 });
  const people = [await s.enter(named), await s.enter(own), await s.enter({ token: roams, room })];
  const refreshed = await people[0].refreshed();
  assert.deepEqual(await s.api("DELETE", `/rooms/${room}`), { deleted: true, name: room });
  for (const p of people) assert.equal((await p.end()).code, code.roomDeleted);
  await s.api("POST", "/rooms", { name: room, privacy: "private" });
  for (const token of [named, own, refreshed]) assert.equal(await s.turnedAway(token), code.tokenRevoked);
  await s.enter({ token: roams, room });
  await s.enter(await s.token({ room_name: room, user_id: "named" })); // asked for in the same second
});
