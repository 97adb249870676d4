// §1.7: when people may come in, and when they are put out. What waits here waits for
// a message, and measures nothing; to the second it is checked under a virtual clock,
// in room's tests.

import assert from "node:assert/strict";
import { code } from "../person.mjs";
import { scenario, seconds, until } from "../scene.mjs";

/** soon is a time so far ahead that a join comes before it. */
const soon = () => seconds() + 3;

scenario("times: exp and nbf of a token bar entering only; no limit is told as none (§1.7.1, §1.7.7)", async (s) => {
  const room = await s.made("room");
  const exp = soon();
  const ada = await s.enter(await s.token({ room_name: room, user_id: "ada", exp }));
  assert.equal(ada.me.willEjectAt ?? 0, 0);
  const token = await s.token({ room_name: room, user_id: "bob", exp });
  await until("the token runs out", async () => (await s.call("GET", `/meeting-tokens/${token}`)).status === 400);
  assert.equal(await s.turnedAway(token), code.tokenExpired);
  assert.equal((await ada.request({ type: "publishData", payload: 1 })).type, "ok");
  assert.equal(await s.turnedAway(await s.token({ room_name: room, nbf: seconds() + 600 })), code.tokenNotYetValid);
});

scenario("times: eject_at_token_exp ends it at exp, shown as willEjectAt (§1.7.2, §1.7.6)", async (s) => {
  const room = await s.made("room");
  const exp = soon();
  const token = await s.token({ room_name: room, user_id: "ada", exp, eject_at_token_exp: true });
  const bob = await s.enter(await s.token({ room_name: room, user_id: "bob" }));
  const ada = await s.enter(token);
  assert.equal(ada.me.willEjectAt, exp * 1000);
  assert.equal((await bob.news("participantJoined", (m) => m.participant.identity === "ada")).participant.willEjectAt, exp * 1000);
  const refreshed = await ada.refreshed();
  assert.equal((await ada.end()).code, code.timeLimit);
  assert(Date.now() >= exp * 1000);
  await bob.news("participantLeft", (m) => m.identity === "ada");
  for (const t of [token, refreshed]) assert.notEqual(await s.turnedAway(t), undefined);
});

scenario("times: eject_after_elapsed, and coming again starts anew (§1.7.3)", async (s) => {
  const room = await s.made("room");
  const token = await s.token({ room_name: room, user_id: "ada", eject_after_elapsed: 2 });
  const before = Date.now();
  const ada = await s.enter(token);
  assert(ada.me.willEjectAt >= before + 2000 && ada.me.willEjectAt <= Date.now() + 2000);
  const refreshed = await ada.refreshed();
  assert.equal((await ada.end()).code, code.timeLimit);
  assert.equal(await s.turnedAway(refreshed), code.timeLimit, "a refreshed token keeps the time");
  const again = await s.enter(token);
  assert(again.me.willEjectAt > ada.me.willEjectAt);
});

scenario("times: whoever was put out of a public room comes back without a token (§1.7.9)", async (s) => {
  const room = await s.made("room", {}, "public");
  const ada = await s.enter(await s.token({ room_name: room, user_id: "ada", eject_after_elapsed: 1 }));
  assert.equal((await ada.end()).code, code.timeLimit);
  const again = await s.enter({ room, name: "Ada" });
  assert.equal(again.me.willEjectAt ?? 0, 0);
});

scenario("times: the token's limits stand in for the room's, the smaller of two counts (§1.7.4, §1.7.5)", async (s) => {
  const exp = seconds() + 600;
  const room = await s.made("room", { exp, eject_at_room_exp: true, eject_after_elapsed: 60 });
  const at = async (properties) => (await s.enter(await s.token({ room_name: room, ...properties }))).me.willEjectAt;
  const near = (got, after) => assert(Math.abs(got - Date.now() - after * 1000) < 30_000, `${got - Date.now()} is not ${after} s`);
  near(await at({}), 60);
  near(await at({ eject_after_elapsed: 300 }), 300);
  near(await at({ exp: exp + 600, eject_at_token_exp: true }), 1200);
  near(await at({ exp: exp + 600, eject_at_token_exp: true, eject_after_elapsed: 900 }), 900);
  near(await at({ eject_at_token_exp: false }), 60);
  near(await at({ exp: exp + 600, eject_at_token_exp: true, is_owner: true }), 1200);
});

scenario("times: the room's exp bars newcomers; who is inside stays (§1.7.8), what is fixed stays fixed (§1.7.6)", async (s) => {
  const exp = soon();
  const room = await s.made("room", { exp });
  const ada = await s.enter(await s.token({ room_name: room, user_id: "ada" }));
  await until("the room expires", async () => (await s.call("GET", `/rooms/${room}`)).status === 404);
  assert.equal(await s.turnedAway(await s.token({ room_name: room, user_id: "bob" })), code.roomExpired);
  assert.equal((await ada.request({ type: "publishData", payload: 1 })).type, "ok");

  const later = await s.made("later", { exp: seconds() + 600, eject_at_room_exp: true });
  const fixed = await s.enter(await s.token({ room_name: later, user_id: "fixed" }));
  const at = fixed.me.willEjectAt;
  await s.api("POST", `/rooms/${later}`, { properties: { exp: seconds() + 6000, eject_at_room_exp: false } });
  const free = await s.enter(await s.token({ room_name: later, user_id: "free" }));
  assert.equal(free.me.willEjectAt ?? 0, 0);
  const seen = (await free.joined()).participants.find((p) => p.identity === "fixed");
  assert.equal(seen.willEjectAt, at);
});

scenario("times: a room that is not open yet (§1.8)", async (s) => {
  const room = await s.made("room", { nbf: seconds() + 600 }, "public");
  assert.equal(await s.turnedAway({ room }), code.roomNotOpen);
  assert.equal(await s.turnedAway(await s.token({ room_name: room })), code.roomNotOpen);
  await s.api("POST", `/rooms/${room}`, { properties: { nbf: null } });
  await s.enter({ room });
});

scenario("times: and live, where Daily cannot, longer and shorter (§7.3)", async (s) => {
  const room = await s.made("room");
  const ada = await s.enter(await s.token({ room_name: room, user_id: "ada", eject_after_elapsed: 600 }));
  const bob = await s.enter(await s.token({ room_name: room, user_id: "bob" }));
  const limit = async (willEjectAt) => {
    const res = await fetch(`${s.url}/usher/v1/rooms/${room}/participants/ada`, {
      method: "PATCH", headers: { Authorization: `Bearer ${s.key}` }, body: JSON.stringify({ willEjectAt }),
    });
    const text = await res.text();
    assert.equal(res.status, 200, text);
    return JSON.parse(text);
  };
  const later = Date.now() + 6_000_000;
  assert.equal((await limit(later)).willEjectAt, later);
  const told = (p, at) => p.news("participantUpdated", (m) => m.participant.identity === "ada" && (m.participant.willEjectAt ?? null) === at);
  await Promise.all([told(ada, later), told(bob, later)]);
  assert.equal((await limit(null)).willEjectAt ?? null, null);
  await told(bob, null);
  const refreshed = async () => (await ada.request({ type: "updateMetadata", name: "Ada" }), ada.came.findLast((m) => m.type === "refreshToken").token);
  const token = await refreshed();
  await limit(Date.now() - 1);
  assert.equal((await ada.end()).code, code.timeLimit);
  assert.equal(await s.turnedAway(token), code.timeLimit, "an older refreshed token is no way around it");
});
