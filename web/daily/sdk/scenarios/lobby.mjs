// §4: knocking.

import assert from "node:assert/strict";
import { code } from "../person.mjs";
import { scenario } from "../scene.mjs";

async function lobby(s, properties = {}) {
  const room = await s.made("room", { enable_knocking: true, ...properties });
  const host = await s.enter(await s.token({ room_name: room, user_id: "host", user_name: "Host", is_owner: true }));
  return { room, host };
}

/** knocks waits outside, and is seen by the host. */
async function knocks(s, host, join) {
  const p = s.person(join);
  const told = await p.waits();
  p.sid = typeof told.session === "string" ? told.session : told.session?.id ?? told.sid;
  const seen = await host.news("waitingParticipantJoined", (m) => m.participant.sid === p.sid);
  return { p, seen: seen.participant };
}

scenario("lobby: knock, be seen, be let in (§4)", async (s) => {
  const { room, host } = await lobby(s);
  const { p: guest, seen } = await knocks(s, host, { room, name: "Guest" });
  assert.deepEqual([seen.name, seen.identity.startsWith("anon:")], ["Guest", true]);
  assert.equal((await host.request({ type: "admitParticipant", sid: seen.sid })).type, "ok");
  const joined = await guest.joined();
  assert.deepEqual([guest.me.name, joined.participants.map((p) => p.identity)], ["Guest", ["host"]]);
  assert.equal((await host.news("waitingParticipantLeft", (m) => m.sid === seen.sid)).admitted, true);
  await host.news("participantJoined", (m) => m.participant.sid === guest.me.sid);
  assert.equal((await guest.request({ type: "publishData", payload: 1 })).type, "ok");
});

scenario("lobby: who waits learns nothing, and may do nothing (§4, promise 7)", async (s) => {
  const { room, host } = await lobby(s);
  const { p: guest } = await knocks(s, host, { room, name: "Guest" });
  const other = await s.enter(await s.token({ room_name: room, user_id: "somebody-else", user_name: "Nobody's business" }));
  assert.equal((await host.request({ type: "publishData", payload: "a secret" })).type, "ok");
  await s.api("POST", `/rooms/${room}/set-session-data`, { data: { secret: "of the meeting" } });
  for (const message of [{ type: "publishData", payload: 1 }, { type: "updateSessionData", data: { x: 1 } }, { type: "admitParticipant", all: true }, { type: "ejectParticipant", sid: other.me.sid }, { type: "updatePresence", presence: { x: 1 } }]) {
    const got = await guest.request(message);
    assert.deepEqual([got.type, got.code, got.permission], ["error", "not_allowed", "lobby"], message.type);
  }
  assert.equal((await host.request({ type: "denyParticipant", all: true })).type, "ok");
  assert.equal((await guest.end()).code, code.notAdmitted);
  for (const word of ["host", "Host", "somebody", "business", "secret", other.me.sid, host.me.sid]) {
    assert(!guest.bytes.includes(word), `it has learned ${word}: ${guest.bytes}`);
  }
  assert.equal((await s.api("GET", `/rooms/${room}/presence`)).total_count, 2);
  assert(!other.bytes.includes(guest.sid) && !other.bytes.includes("Guest"));
});

scenario("lobby: tokens pass, unless they knock; owners never wait (§4)", async (s) => {
  const { room, host } = await lobby(s);
  await s.enter(await s.token({ room_name: room, user_id: "ada" }));
  await s.enter(await s.token({ room_name: room, user_id: "owner", is_owner: true, knocking: true }));
  const token = await s.token({ room_name: room, user_id: "bob", user_name: "Bob", knocking: true });
  const { p: bob, seen } = await knocks(s, host, { token });
  assert.deepEqual([seen.identity, seen.name, bob.of("refreshToken").length], ["bob", "Bob", 0]);
  await host.request({ type: "admitParticipant", sid: seen.sid });
  await bob.joined();
  await bob.refreshed();
  // Coming again is knocking again.
  const { seen: again } = await knocks(s, host, { token });
  await host.request({ type: "denyParticipant", sid: again.sid });
  const quiet = await s.made("quiet"); // where nobody knocks
  await s.enter(await s.token({ room_name: quiet, knocking: true }));
  assert.equal(await s.turnedAway({ room: quiet }), code.notAllowed);
});

scenario("lobby: one, some or all, by usher's API (§7)", async (s) => {
  const { room, host } = await lobby(s);
  const at = `${s.url}/usher/v1/rooms/${room}/waiting`;
  const headers = { Authorization: `Bearer ${s.key}` };
  const waiting = async () => (await (await fetch(at, { headers })).json()).waiting;
  const answer = async (body) => {
    const res = await fetch(at, { method: "POST", headers, body: JSON.stringify(body) });
    return { status: res.status, ...(await res.json()) };
  };
  assert.deepEqual(await waiting(), []);
  const people = [];
  for (const name of ["A", "B", "C", "D"]) people.push((await knocks(s, host, { room, name })).p);
  const list = await waiting();
  assert.deepEqual(list.map((w) => [w.sid, w.name]), people.map((p, i) => [p.sid, "ABCD"[i]]));
  assert.deepEqual(await answer({ admit: [people[0].sid] }), { status: 200, answered: [people[0].sid] });
  assert.deepEqual(await answer({ deny: [people[1].sid] }), { status: 200, answered: [people[1].sid] });
  assert.deepEqual((await answer({ admit: "all" })).answered.sort(), [people[2].sid, people[3].sid].sort());
  for (const i of [0, 2, 3]) await people[i].joined();
  assert.equal((await people[1].end()).code, code.notAdmitted);
  for (const body of [{}, { admit: [] }, { admit: "some" }, { admit: "all", deny: "all" }, { let: "in" }]) assert.equal((await answer(body)).status, 400, JSON.stringify(body));
  assert.deepEqual(await waiting(), []);
});

scenario("lobby: letting in is a join of that moment (§4)", async (s) => {
  const { room, host } = await lobby(s, { max_participants: 1 });
  const { p: guest, seen } = await knocks(s, host, { room, name: "Guest" });
  await host.request({ type: "admitParticipant", sid: seen.sid });
  assert.equal((await guest.end()).code, code.roomFull);
  const token = await s.token({ room_name: room, user_id: "bob", knocking: true });
  const { p: bob, seen: there } = await knocks(s, host, { token });
  await s.api("POST", "/meeting-tokens/revoke", { token });
  assert.equal((await bob.end()).code, code.tokenRevoked);
  await host.news("waitingParticipantLeft", (m) => m.sid === there.sid && !m.admitted);
});
