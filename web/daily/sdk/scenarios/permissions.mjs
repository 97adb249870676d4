// §4: who may do what.

import assert from "node:assert/strict";
import { code, liveKitToken } from "../person.mjs";
import { scenario } from "../scene.mjs";

const sources = { video: "camera", audio: "microphone", screenVideo: "screen_share", screenAudio: "screen_share_audio", customVideo: "custom_video", customAudio: "custom_audio" };

const kind = (source) => (/audio|microphone/.test(source) ? "audio" : "video");

/** publishes tries one source. */
async function publishes(p, source) {
  const got = await p.request({ type: "publishTrack", source, kind: kind(source), name: source });
  assert(got.type === "ok" || got.code === "not_allowed", JSON.stringify(got));
  return got.type === "ok";
}

scenario("permissions: what holds when nobody says anything (§4 defaults)", async (s) => {
  const room = await s.made("room");
  const ada = await s.enter(await s.token({ room_name: room, user_id: "ada" }));
  for (const source of Object.values(sources)) assert(await publishes(ada, source), source);
  assert.equal((await ada.request({ type: "publishData", payload: 1 })).type, "ok");
  const bob = await s.enter(await s.token({ room_name: room, user_id: "bob" }));
  assert.equal((await bob.request({ type: "ejectParticipant", sid: ada.me.sid })).code, "not_allowed");
});

scenario("permissions: canSend, each kind by itself (§4)", async (s) => {
  const room = await s.made("room");
  for (const [word, source] of Object.entries(sources)) {
    const p = await s.enter(await s.token({ room_name: room, permissions: { canSend: [word] } }));
    for (const other of Object.values(sources)) assert.equal(await publishes(p, other), other === source, `${word}: ${other}`);
    // Messages are another thing, and always allowed.
    assert.equal((await p.request({ type: "publishData", payload: 1 })).type, "ok");
  }
});

scenario("permissions: token over room over domain, each by itself, owners above (§4)", async (s) => {
  await s.own();
  await s.api("POST", "/", { properties: { permissions: { canSend: ["video"], canAdmin: false } } });
  const room = await s.made("room", { permissions: { canSend: ["audio"] } });
  const plain = await s.made("plain");
  const may = async (room_name, more) => (await s.enter(await s.token({ room_name, ...more }))).me.permissions;
  assert.deepEqual((await may(plain)).canPublishSources, ["camera"], "the domain's");
  assert.deepEqual((await may(room)).canPublishSources, ["microphone"], "the room's");
  const own = await may(room, { permissions: { canAdmin: ["participants"] } });
  assert.deepEqual([own.canPublishSources, own.admin], [["microphone"], ["participants"]]);
  assert.equal((await may(room, { permissions: { canSend: false } })).canPublish, false, "the token's");
  const owner = await may(room, { is_owner: true, permissions: { canSend: false, hasPresence: false } });
  assert.deepEqual([owner.canPublish, owner.owner, owner.hidden ?? false], [true, true, false]);
});

scenario("permissions: hidden people leave no trace (§4 hasPresence, promise 7)", async (s) => {
  const room = await s.made("room");
  const ada = await s.enter(await s.token({ room_name: room, user_id: "ada" }));
  const ghost = await s.enter(await s.token({ room_name: room, user_id: "ghost", user_name: "Boo", permissions: { hasPresence: false } }));
  const bob = await s.enter(await s.token({ room_name: room, user_id: "bob" }));
  await ada.news("participantJoined", (m) => m.participant.identity === "bob");
  assert.equal((await ghost.request({ type: "publishData", payload: "boo" })).type, "ok");
  await bob.news("data");
  for (const p of [ada, bob]) for (const trace of ["ghost", "Boo", ghost.me.sid]) assert(!p.bytes.includes(trace), trace);
  assert(ghost.bytes.includes("ada"));
});

scenario("permissions: what may be received, of whom (§4 canReceive)", async (s) => {
  const room = await s.made("room");
  const ada = await s.enter(await s.token({ room_name: room, user_id: "ada" }));
  const bob = await s.enter(await s.token({ room_name: room, user_id: "bob" }));
  const track = async (p, source) => (assert(await publishes(p, source)), p.came.findLast((m) => m.type === "ok").track.sid);
  const of = { ada: await track(ada, "camera"), adaMic: await track(ada, "microphone"), bob: await track(bob, "camera") };
  const tries = async (canReceive) => {
    const p = await s.enter(await s.token({ room_name: room, permissions: { canReceive } }));
    const got = {};
    for (const [who, sid] of Object.entries(of)) {
      const r = await p.request({ type: "subscribe", trackSid: sid });
      assert(r.type === "ok" || r.code === "not_allowed", JSON.stringify(r));
      got[who] = r.type === "ok";
    }
    return got;
  };
  assert.deepEqual(await tries({ base: true }), { ada: true, adaMic: true, bob: true });
  assert.deepEqual(await tries({ base: false }), { ada: false, adaMic: false, bob: false });
  assert.deepEqual(await tries({ base: false, byUserId: { ada: true } }), { ada: true, adaMic: true, bob: false });
  assert.deepEqual(await tries({ base: true, byUserId: { ada: { video: false, audio: true } } }), { ada: false, adaMic: true, bob: true });
  assert.deepEqual(await tries({ base: false, byUserId: { ada: true }, byParticipantId: { [ada.me.sid]: false, [bob.me.sid]: true } }), { ada: false, adaMic: false, bob: true });
  assert.deepEqual(await tries({ base: true, byUserId: { "*": false } }), { ada: false, adaMic: false, bob: false });
});

scenario("permissions: owners and admins act from inside (§4)", async (s) => {
  const room = await s.made("room");
  const join = async (user_id, more) => s.enter(await s.token({ room_name: room, user_id, ...more }));
  const owner = await join("owner", { is_owner: true });
  const admin = await join("admin", { permissions: { canAdmin: ["participants"] } });
  const [bob, cy] = [await join("bob"), await join("cy")];
  const cam = await bob.request({ type: "publishTrack", source: "camera", kind: "video", name: "cam" });
  assert.equal(cam.type, "ok");

  for (const message of [{ type: "updatePermissions", data: { [owner.me.sid]: { canSend: false } } }, { type: "ejectParticipant", sid: owner.me.sid }]) {
    assert.equal((await admin.request(message)).code, "not_allowed", `an admin may not touch an owner: ${message.type}`);
    assert.equal((await bob.request(message)).code, "not_allowed");
  }
  assert.equal((await admin.request({ type: "updatePermissions", data: { "*": { canSend: ["audio"] } } })).type, "ok");
  for (const p of [bob, cy]) await p.mayNow((p) => p.canPublish && String(p.canPublishSources) === "microphone");
  assert.equal(owner.me.permissions.canPublish, true);
  assert.equal((await owner.request({ type: "ejectParticipant", identity: "bob", ban: true })).type, "ok");
  assert.equal((await bob.end()).code, code.ejected);
  assert((await s.turnedAway(await s.token({ room_name: room, user_id: "bob" }))) >= 4500);
  assert.equal((await admin.request({ type: "ejectParticipant", sid: cy.me.sid })).type, "ok");
  assert.equal((await cy.end()).code, code.ejected);
  await join("cy");
});

scenario("permissions: people of all kinds in one room, and a Daily host (§6)", async (s) => {
  const room = await s.made("room");
  const host = await s.enter(await s.token({ room_name: room, user_id: "host", user_name: "Host", is_owner: true }));
  const guest = await s.enter(liveKitToken({ sub: "guest", name: "Guest", video: { roomJoin: true, room, canPublish: true, canSubscribe: true, canPublishData: true } }));
  await host.news("participantJoined", (m) => m.participant.identity === "guest");
  const mic = await guest.request({ type: "publishTrack", source: "microphone", kind: "audio", name: "mic" });
  assert.equal(mic.type, "ok");
  const published = await host.news("trackPublished", (m) => m.participantSid === guest.me.sid);
  assert.equal((await host.request({ type: "muteTrack", trackSid: published.track.sid, muted: true })).type, "ok");
  await guest.news("trackMuted", (m) => m.trackSid === published.track.sid && m.muted);
  assert.equal((await host.request({ type: "updatePermissions", data: { [guest.me.sid]: { canSend: false } } })).type, "ok");
  await guest.mayNow((p) => !p.canPublish);
  assert.deepEqual((await s.api("POST", `/rooms/${room}/eject`, { user_ids: ["guest"] })).ejectedIds, [guest.me.sid]);
  assert.equal((await guest.end()).code, code.ejected);
});
