// §2: rooms.

import assert from "node:assert/strict";
import { code } from "../person.mjs";
import { scenario, seconds } from "../scene.mjs";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

scenario("rooms: what one looks like (§2.1)", async (s) => {
  const name = s.room();
  const room = await s.api("POST", "/rooms", { name, privacy: "private", properties: { start_audio_off: true, max_participants: 200, enable_chat: false } });
  assert.deepEqual(Object.keys(room).sort(), ["api_created", "config", "created_at", "id", "name", "privacy", "url"]);
  assert.deepEqual([room.name, room.api_created, room.privacy, room.url], [name, true, "private", `${s.url}/${name}`]);
  assert.match(room.id, uuid);
  assert.match(room.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(room.config, { start_audio_off: true }, "defaults are left out");
  assert.deepEqual(await s.api("GET", `/rooms/${name}`), room);
  const plain = await s.api("POST", "/rooms");
  assert.match(plain.name, /^[A-Za-z0-9]{20}$/);
  assert.deepEqual([plain.privacy, plain.config], ["public", {}]);
});

scenario("rooms: errors in Daily's words (§2.2)", async (s) => {
  const name = await s.made("room");
  await s.refused(400, "invalid-request-error", `a room named ${name} already exists`, "POST", "/rooms", { name });
  const odd = "no/such name";
  await s.refused(400, "invalid-request-error", `${odd} contains invalid characters (room names can contain A-Z, a-z, 0-9, '-', and '_')`, "POST", "/rooms", { name: odd });
  await s.refused(400, "invalid-request-error", undefined, "POST", "/rooms", { name: "x".repeat(129) });
  const past = seconds() - 10;
  await s.refused(400, "invalid-request-error", `exp was '${past}', which is in the past rather than in the future`, "POST", "/rooms", { properties: { exp: past } });
  await s.refused(400, "invalid-request-error", "exp was 'soon' but should be a number of seconds since the unix epoch", "POST", "/rooms", { properties: { exp: "soon" } });
  await s.refused(404, "not-found", "room nowhere not found", "GET", "/rooms/nowhere");
  await s.refused(404, "not-found", undefined, "POST", "/rooms/nowhere", { properties: {} });
  await s.refused(404, "not-found", undefined, "DELETE", "/rooms/nowhere");
  const long = await s.api("POST", "/rooms", { name: `${s.room("x")}-`.padEnd(128, "x") });
  assert.equal(long.name.length, 128);
});

scenario("rooms: of many who make one at once, one does (§2.2)", async (s) => {
  const name = s.room();
  const answers = await Promise.all(Array.from({ length: 20 }, () => s.call("POST", "/rooms", { name })));
  assert.deepEqual(answers.map((a) => a.status).sort(), [200, ...Array(19).fill(400)]);
  for (const a of answers) if (a.status === 400) assert.equal(a.json.info, `a room named ${name} already exists`);
});

scenario("rooms: every property is kept; a change merges, null resets (§2.2, §2.3)", async (s) => {
  const exp = seconds() + 6000 + 0.5; // as a popular client in Python sends it
  const properties = {
    exp, max_participants: 3, eject_at_room_exp: true, enable_knocking: true, enforce_unique_user_ids: true, enable_hidden_participants: true,
    permissions: { canSend: ["video"], canAdmin: ["streaming"] }, lang: "fr", geo: "eu-central-1", sfu_switchover: 0.7, enable_prejoin_ui: false,
    recordings_bucket: { bucket_name: "b", allow_api_access: false }, something_of_tomorrow: [1, { a: null }],
  };
  const room = await s.made("room", properties);
  const config = async () => (await s.api("GET", `/rooms/${room}`)).config;
  const { exp: kept, ...rest } = await config();
  assert(Math.abs(kept - exp) < 1, String(kept));
  const { exp: _, ...want } = properties;
  assert.deepEqual(rest, want);
  await s.api("POST", `/rooms/${room}`, { properties: { lang: null, max_participants: 5, enable_emoji_reactions: true, something_of_tomorrow: null } });
  const changed = await config();
  assert.deepEqual([changed.lang, changed.max_participants, changed.enable_emoji_reactions, changed.geo, changed.something_of_tomorrow], [undefined, 5, true, "eu-central-1", undefined]);
  assert.equal((await s.api("POST", `/rooms/${room}`, { privacy: "public" })).privacy, "public");
  assert.equal((await s.api("POST", `/rooms/${room}`, { properties: { privacy: "private" } })).privacy, "private", "in both places");
});

scenario("rooms: pages (§2.2 pagination)", async (s) => {
  await s.own();
  const made = [];
  for (const i of Array(7).keys()) made.unshift(await s.api("POST", "/rooms", { name: `page-${i}` }));
  const listed = await s.api("GET", "/rooms");
  assert.equal(listed.total_count, listed.data.length);
  const all = listed.data.map((r) => r.name);
  assert.deepEqual([...all].sort(), [...made.map((r) => r.name), "call"].sort());
  const page = async (query) => {
    const got = await s.api("GET", `/rooms?${query}`);
    assert.equal(got.total_count, all.length);
    return got.data;
  };
  const walked = [];
  for (let after = ""; ; ) {
    const data = await page(`limit=3${after && `&starting_after=${after}`}`);
    if (!data.length) break;
    walked.push(...data);
    after = data.at(-1).id;
  }
  assert.deepEqual(walked.map((r) => r.name), all);
  assert.deepEqual((await page(`limit=2&ending_before=${walked[4].id}`)).map((r) => r.name), all.slice(2, 4));
  assert.deepEqual((await page("limit=3&ending_before=OLDEST")).map((r) => r.name), all.slice(-3));
  for (const query of ["limit=0", "limit=101", "limit=x", "starting_after=nobody"]) await s.refused(400, "invalid-request-error", undefined, "GET", `/rooms?${query}`);
});

scenario("rooms: many at once, all or none (§2.2 batch)", async (s) => {
  const names = [1, 2, 3].map((i) => s.room(`batch-${i}`));
  const made = await s.api("POST", "/batch/rooms", { rooms: names.map((name) => ({ name, privacy: "private", properties: { max_participants: 2 } })) });
  const rooms = Array.isArray(made) ? made : made.data ?? made.rooms;
  assert.deepEqual(rooms.map((r) => [r.name, r.privacy, r.config]), names.map((n) => [n, "private", { max_participants: 2 }]));
  const other = s.room("other");
  await s.refused(400, "invalid-request-error", undefined, "POST", "/batch/rooms", { rooms: [{ name: other }, { name: names[0] }] });
  assert.equal((await s.call("GET", `/rooms/${other}`)).status, 404, "none of them");
  await s.refused(400, "invalid-request-error", undefined, "DELETE", "/batch/rooms", { rooms: [names[0], "nowhere"] });
  assert.equal((await s.call("GET", `/rooms/${names[0]}`)).status, 200, "none of them");
  assert.deepEqual(await s.api("DELETE", "/batch/rooms", { room_names: names.slice(0, 2) }), { deleted_count: 2 });
  assert.deepEqual(await s.api("DELETE", "/batch/rooms", { rooms: names.slice(2) }), { deleted_count: 1 });
});

scenario("rooms: max_participants, unique user ids (§2.3)", async (s) => {
  const small = await s.made("small", { max_participants: 2 });
  for (const user_id of ["a", "b"]) await s.enter(await s.token({ room_name: small, user_id }));
  assert.equal(await s.turnedAway(await s.token({ room_name: small, user_id: "c" })), code.roomFull);

  const [many, one] = [await s.made("many"), await s.made("one", { enforce_unique_user_ids: true })];
  for (const [room, left] of [[many, 2], [one, 1]]) {
    const token = await s.token({ room_name: room, user_id: "ada" });
    const first = await s.enter(token);
    await s.enter(token);
    if (left === 1) assert.equal((await first.end()).code, code.duplicateIdentity);
    assert.equal((await s.api("GET", `/rooms/${room}/presence`)).total_count, left);
  }
});

scenario("rooms: from public to private with people inside (§2.2)", async (s) => {
  const room = await s.made("room", {}, "public");
  const guest = await s.enter({ room, name: "Guest" });
  await s.api("POST", `/rooms/${room}`, { privacy: "private" });
  assert.equal(await s.turnedAway({ room }), code.notAllowed);
  assert.equal((await guest.request({ type: "publishData", payload: 1 })).type, "ok");
});

scenario("rooms: a name that has expired is free again (§2.2)", async (s) => {
  const exp = seconds() + 2;
  const first = await s.api("POST", "/rooms", { name: s.room(), properties: { exp } });
  for (let got; got?.status !== 404; ) got = await s.call("GET", `/rooms/${first.name}`);
  const names = (await s.api("GET", "/rooms")).data.map((r) => r.name);
  assert(!names.includes(first.name));
  const second = await s.api("POST", "/rooms", { name: first.name });
  assert.notEqual(second.id, first.id);
});
