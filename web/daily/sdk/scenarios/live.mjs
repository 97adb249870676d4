// §3: live control.

import assert from "node:assert/strict";
import { code } from "../person.mjs";
import { scenario, seconds, until } from "../scene.mjs";

const idle = (room) => `room ${room} does not seem to be hosting a call currently`;

/** call is a room with people in it, by user id. */
async function call(s, name, ...ids) {
  const room = await s.made(name);
  const people = {};
  for (const user_id of ids) people[user_id] = await s.enter(await s.token({ room_name: room, user_id, user_name: user_id.toUpperCase() }));
  return { room, ...people };
}

scenario("live: presence, exact and at once (§3)", async (s) => {
  const { room, ada, bob } = await call(s, "room", "ada", "bob");
  const got = await s.api("GET", `/rooms/${room}/presence`);
  assert.equal(got.total_count, 2);
  for (const p of got.data) {
    assert.deepEqual(Object.keys(p).sort(), ["duration", "id", "joinTime", "mtgSessionId", "room", "userId", "userName"]);
    assert.match(p.joinTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(typeof p.duration, "number");
  }
  assert.deepEqual(new Map(got.data.map((p) => [p.id, [p.room, p.userId, p.userName]])),
    new Map([[ada.me.sid, [room, "ada", "ADA"]], [bob.me.sid, [room, "bob", "BOB"]]]));
  assert.equal(new Set(got.data.map((p) => p.mtgSessionId)).size, 1);
  assert.equal((await s.api("GET", `/rooms/${room}/presence?userId=bob`)).data[0].id, bob.me.sid);
  assert.equal((await s.api("GET", `/rooms/${room}/presence?userName=ADA`)).data[0].id, ada.me.sid);
  assert.equal((await s.api("GET", `/rooms/${room}/presence?limit=1`)).data.length, 1);
  const everywhere = await s.api("GET", "/presence");
  assert.deepEqual(everywhere[room].map((p) => p.id).sort(), [ada.me.sid, bob.me.sid].sort());
  bob.send({ type: "leave" });
  await ada.news("participantLeft");
  assert.equal((await s.api("GET", `/rooms/${room}/presence`)).total_count, 1);
  const empty = await s.made("empty");
  assert.deepEqual(await s.api("GET", `/rooms/${empty}/presence`), { total_count: 0, data: [] });
  assert(!(empty in (await s.api("GET", "/presence"))));
  await s.refused(404, "not-found", undefined, "GET", "/rooms/nowhere/presence");
});

scenario("live: eject by session and by user (§3, §1.9)", async (s) => {
  const { room, ada, bob, cy } = await call(s, "room", "ada", "bob", "cy");
  const token = await s.token({ room_name: room, user_id: "bob" });
  const again = await s.enter(token);
  const eject = (body) => s.api("POST", `/rooms/${room}/eject`, body);
  assert.deepEqual(await eject({ ids: [ada.me.sid, "PA_nobody"] }), { ejectedIds: [ada.me.sid] });
  assert.equal((await ada.end()).code, code.ejected);
  assert.deepEqual((await eject({ user_ids: ["bob", "nobody"] })).ejectedIds.sort(), [bob.me.sid, again.me.sid].sort());
  for (const p of [bob, again]) assert.equal((await p.end()).code, code.ejected);
  await s.enter(token); // the token is good
  assert.equal(cy.closed, undefined);
  for (const body of [{}, { ids: [], user_ids: [] }, { everyone: true }, { ids: Array.from({ length: 101 }, (_, i) => `PA_${i}`) }, { ids: "x" }, { ids: [7] }]) {
    await s.refused(400, "invalid-request-error", undefined, "POST", `/rooms/${room}/eject`, body);
  }
});

scenario("live: a ban keeps out (§3, §7.1)", async (s) => {
  const { room, bob, cy } = await call(s, "room", "bob", "cy");
  const refreshed = await bob.refreshed();
  const before = await s.token({ room_name: room, user_id: "bob" });
  await s.api("POST", `/rooms/${room}/eject`, { user_ids: ["bob", "dee"], ban: true });
  assert.equal((await bob.end()).code, code.ejected);
  const tries = async () => [await s.turnedAway(before), await s.turnedAway(refreshed)];
  for (const c of await tries()) assert(c >= 4500, String(c));
  for (const user_id of ["bob", "dee"]) {
    assert((await s.turnedAway(await s.token({ room_name: room, user_id }))) >= 4500, "a later token, while the meeting goes on");
  }
  assert.equal(cy.closed, undefined);
});

scenario("live: permissions of one, and of everybody else (§3)", async (s) => {
  const { room, ada, bob, cy } = await call(s, "room", "ada", "bob", "cy");
  const host = await s.enter(await s.token({ room_name: room, user_id: "host", is_owner: true }));
  const update = (data) => s.api("POST", `/rooms/${room}/update-permissions`, { data });
  await update({ [ada.me.sid]: { canSend: ["audio", "screenVideo"] }, "*": { canSend: false } });
  await ada.mayNow((p) => p.canPublish && String([...p.canPublishSources].sort()) === "microphone,screen_share");
  for (const p of [bob, cy]) await p.mayNow((p) => !p.canPublish);
  assert(!host.came.some((m) => m.type === "participantUpdated" && m.participant.sid === host.me.sid), "owners are passed over");
  // In force when the call returns (promise 1).
  const denied = await bob.request({ type: "publishTrack", source: "camera", kind: "video", name: "cam" });
  assert.deepEqual([denied.type, denied.code], ["error", "not_allowed"]);
  await update({ [bob.me.sid]: { hasPresence: false, canAdmin: ["participants"] } });
  await ada.news("participantLeft", (m) => m.identity === "bob");
  await update({ "*": {} , PA_nobody: { canSend: true } });
  for (const data of [{ x: { canFly: true } }, { x: { canSend: ["voice"] } }, { x: 7 }, undefined, []]) {
    await s.refused(400, "invalid-request-error", undefined, "POST", `/rooms/${room}/update-permissions`, { data });
  }
  await s.refused(400, "invalid-request-error", undefined, "POST", `/rooms/${room}/update-permissions`, { data: {}, more: 1 });
});

scenario("live: app messages (§3)", async (s) => {
  const { room, ada, bob } = await call(s, "room", "ada", "bob");
  const send = (body) => s.api("POST", `/rooms/${room}/send-app-message`, body);
  assert.deepEqual(await send({ data: { hello: "all" } }), { sent: "true" });
  for (const p of [ada, bob]) assert.deepEqual((await p.news("data")).payload, { hello: "all" });
  await send({ data: { hello: "bob" }, recipient: bob.me.sid });
  await send({ data: { hello: "nobody" }, recipient: "PA_nobody" });
  await send({ data: { hello: "end" }, recipient: "*" });
  await Promise.all([ada, bob].map((p) => p.news("data", (m) => m.payload.hello === "end")));
  assert.deepEqual(ada.of("data").map((m) => m.payload.hello), ["all", "end"]);
  assert.deepEqual(bob.of("data").map((m) => m.payload.hello), ["all", "bob", "end"]);
  await s.refused(400, "invalid-request-error", undefined, "POST", `/rooms/${room}/send-app-message`, { data: { x: "y".repeat(5000) } });
  for (const body of [{}, { data: "text" }, { data: {}, to: "x" }]) await s.refused(400, "invalid-request-error", undefined, "POST", `/rooms/${room}/send-app-message`, body);
});

scenario("live: session data (§3)", async (s) => {
  const { room, ada } = await call(s, "room", "ada");
  const set = (body) => s.api("POST", `/rooms/${room}/set-session-data`, body);
  const read = async () => (await s.api("GET", `/rooms/${room}/get-session-data`)).data;
  assert.deepEqual(await set({ data: { a: 1, b: { c: [2] } } }), { sent: "true" });
  assert.deepEqual(await read(), { a: 1, b: { c: [2] } });
  assert.deepEqual((await ada.news("sessionData")).data, { a: 1, b: { c: [2] } });
  await set({ data: { a: 2 }, mergeStrategy: "shallow-merge", keysToDelete: ["b"] });
  assert.deepEqual(await read(), { a: 2 });
  await set({ data: { z: null } });
  assert.deepEqual(await read(), { z: null });
  // From inside, and for whoever comes later.
  assert.equal((await ada.request({ type: "updateSessionData", data: { from: "ada" }, mergeStrategy: "shallow-merge" })).type, "ok");
  const bob = await s.enter(await s.token({ room_name: room, user_id: "bob" }));
  assert.deepEqual((await bob.joined()).sessionData, { z: null, from: "ada" });
  await s.refused(400, "invalid-request-error", undefined, "POST", `/rooms/${room}/set-session-data`, { data: { x: "y".repeat(103_000) } });
  for (const body of [{ mergeStrategy: "deep" }, { data: 7 }, { data: {}, more: 1 }]) await s.refused(400, "invalid-request-error", undefined, "POST", `/rooms/${room}/set-session-data`, body);
  // It ends with the meeting.
  for (const p of [ada, bob]) p.send({ type: "leave" });
  await until("the room is empty", async () => (await s.api("GET", `/rooms/${room}/presence`)).total_count === 0);
  const next = await s.enter(await s.token({ room_name: room, user_id: "next" }));
  assert.equal((await next.joined()).sessionData, undefined);
});

scenario("live: a room where nobody is (§3 idle room)", async (s) => {
  const room = await s.made("room");
  const info = idle(room);
  await s.refused(404, "not-found", info, "POST", `/rooms/${room}/eject`, { ids: ["x"] });
  await s.refused(404, "not-found", info, "POST", `/rooms/${room}/update-permissions`, { data: { "*": { canSend: false } } });
  await s.refused(400, "invalid-request-error", info, "POST", `/rooms/${room}/send-app-message`, { data: {} });
  await s.refused(400, "invalid-request-error", info, "POST", `/rooms/${room}/set-session-data`, { data: {} });
  for (const path of ["eject", "update-permissions", "send-app-message", "set-session-data"]) {
    const got = await s.call("POST", `/rooms/nowhere/${path}`, { data: {}, ids: ["x"] });
    assert(got.status === 404 || got.status === 400, `${path}: ${got.status} ${got.text}`);
  }
});

scenario("live: meetings (§3)", async (s) => {
  const began = seconds();
  const { room, ada, bob } = await call(s, "room", "ada", "bob");
  const mine = async (query = "") => (await s.api("GET", `/meetings?room=${room}${query}`)).data;
  const [now] = await mine();
  assert.deepEqual([now.room, now.ongoing, now.max_participants, now.participants.length], [room, true, 2, 2]);
  assert(now.start_time >= began && now.start_time <= seconds());
  assert.equal(now.id, (await s.api("GET", `/rooms/${room}/presence`)).data[0].mtgSessionId);
  assert.deepEqual(new Map(now.participants.map((p) => [p.user_id, [p.participant_id, p.user_name]])),
    new Map([["ada", [ada.me.sid, "ADA"]], ["bob", [bob.me.sid, "BOB"]]]));
  assert.equal((await mine("&no_participants=true"))[0].participants, undefined);
  for (const p of [ada, bob]) p.send({ type: "leave" });
  const ended = await until("the meeting is over", async () => (await mine("&ongoing=false"))[0]);
  assert.deepEqual([ended.id, ended.ongoing], [now.id, false]);
  assert.equal((await s.api("GET", `/meetings/${now.id}`)).id, now.id);
  const people = await s.api("GET", `/meetings/${now.id}/participants`);
  assert.deepEqual(people.data.map((p) => p.user_id).sort(), ["ada", "bob"]);
  assert.equal((await s.call("GET", `/meetings/${now.id}/participants?joined_after=${people.data.at(-1).participant_id}`)).status, 404, "when there are no more");
  // The next one is another one, and comes first.
  await s.enter(await s.token({ room_name: room, user_id: "cy" }));
  const list = await mine();
  assert.deepEqual([list.length, list[1].id, list[0].ongoing], [2, now.id, true]);
  assert.deepEqual((await mine(`&starting_after=${list[0].id}`)).map((m) => m.id), [now.id]);
  assert.deepEqual(await mine(`&timeframe_end=${began - 100}`), []);
  assert.deepEqual((await s.api("GET", "/meetings?room=nowhere")), { total_count: 0, data: [] });
  await s.refused(400, "invalid-request-error", undefined, "GET", "/meetings?limit=101");
});
