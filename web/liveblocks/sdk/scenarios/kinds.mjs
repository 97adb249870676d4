// A LiveKit token and a Liveblocks token in one room.

import assert from "node:assert/strict";
import { tokenOf } from "../person.mjs";
import { publicKey, scenario, thrown, until } from "../scene.mjs";
import { liveKitToken, Native, Raw } from "../wire.mjs";

/** participant lets somebody in with a LiveKit token. */
async function participant(s, room, identity, { video, ...claims } = {}) {
  const p = new Native(s, liveKitToken({ sub: identity, ...claims, video: { roomJoin: true, room, canPublish: true, canSubscribe: true, canPublishData: true, canUpdateOwnMetadata: true, ...video } }));
  p.me = (await p.joined()).self;
  return p;
}

scenario("kinds: they see each other", async (s) => {
  const room = await s.made();
  const bob = await s.enter(room, { user: "bob", info: { name: "Bob", color: "red" }, presence: { cursor: { x: 1 } } });
  const kit = await participant(s, room, "kit", { name: "Kit", metadata: JSON.stringify({ color: "blue" }), attributes: { hand: "up" } });
  const first = kit.came.find((m) => m.type === "joined").participants;
  assert.deepEqual(first.map((p) => [p.identity, p.name, JSON.parse(p.metadata), p.presence, p.permissions.canPublish, p.permissions.canPublishData]),
    [["bob", "Bob", { name: "Bob", color: "red" }, { cursor: { x: 1 } }, false, true]]);
  const seen = await bob.sees("kit");
  assert.deepEqual([seen.info, seen.presence], [{ color: "blue", name: "Kit" }, { hand: "up" }]);

  bob.room.updatePresence({ cursor: { x: 2 }, tool: "pen" });
  await kit.news("presence", (m) => m.sid === first[0].sid && m.presence.cursor?.x === 2 && m.presence.tool === "pen");
  assert.equal((await kit.request({ type: "updatePresence", presence: { cursor: { y: 9 } } })).type, "ok");
  await bob.sees("kit", (o) => o.presence.cursor?.y === 9 && o.presence.hand === "up");
  assert.equal((await kit.request({ type: "updateMetadata", attributes: { hand: "down", mood: "fine" } })).type, "ok");
  await bob.sees("kit", (o) => o.presence.hand === "down" && o.presence.mood === "fine" && o.presence.cursor?.y === 9);
  assert.equal((await kit.request({ type: "updateMetadata", name: "Kitty", metadata: JSON.stringify({ color: "green" }) })).type, "ok");
  await bob.sees("kit", (o) => o.info.name === "Kitty" && o.info.color === "green");

  const cy = await s.enter(room, { user: "cy" });
  const late = await cy.sees("kit");
  assert.deepEqual([late.info, late.presence], [{ color: "green", name: "Kitty" }, { hand: "down", mood: "fine", cursor: { y: 9 } }]);
  await kit.news("participantJoined", (m) => m.participant.identity === "cy");
  assert.deepEqual((await s.backend.getActiveUsers(room)).data.map((u) => u.id), ["bob", "kit", "cy"]);
  cy.leave();
  await kit.news("participantLeft", (m) => m.identity === "cy");
  kit.ws.send(JSON.stringify({ type: "leave" }));
  await bob.gone("kit");
  bob.stayed();
});

scenario("kinds: data is an event, and an event is data", async (s) => {
  const room = await s.made();
  const bob = await s.enter(room, { user: "bob" });
  const kit = await participant(s, room, "kit", { name: "Kit" });
  await bob.sees("kit");
  bob.says({ reaction: "👏" });
  const data = await kit.news("data");
  assert.deepEqual([data.payload, data.from.identity, data.reliable], [{ reaction: "👏" }, "bob", true]);
  await kit.request({ type: "publishData", payload: { a: [1] } });
  await kit.request({ type: "publishData", payload: "text", topic: "chat" });
  await kit.request({ type: "publishData", payload: "AQI=", encoding: "base64" });
  await kit.request({ type: "publishData", payload: "AQI=", encoding: "base64", topic: "bytes" });
  await kit.request({ type: "publishData", payload: "end" });
  await bob.hears("end");
  assert.deepEqual(bob.heard, [{ a: [1] }, { topic: "chat", payload: "text" }, { encoding: "base64", payload: "AQI=" }, { topic: "bytes", encoding: "base64", payload: "AQI=" }, "end"]);
  assert.deepEqual([bob.events[0].from, bob.events[0].user], [bob.other("kit").connectionId, { id: "kit", info: { name: "Kit" } }]);
  await s.backend.broadcastEvent(room, { from: "the backend" });
  const news = await kit.news("data", (m) => m.payload?.from === "the backend");
  assert.equal(news.from ?? null, null);
  // Each is held to its own permissions.
  const no = await participant(s, room, "mute", { video: { canPublishData: false } });
  assert.equal((await no.request({ type: "publishData", payload: 1 })).code, "not_allowed");
});

scenario("kinds: nobody sees who is hidden", async (s) => {
  const room = await s.made();
  const before = await s.enter(room, { user: "ada" });
  const hidden = await participant(s, room, "eve", { attributes: { a: "1" }, video: { hidden: true } });
  const bob = await s.enter(room, { user: "bob" });
  assert.equal((await hidden.request({ type: "publishData", payload: "boo" })).type, "ok");
  await hidden.request({ type: "updatePresence", presence: { x: 1 } });
  await s.backend.broadcastEvent(room, "end");
  for (const p of [before, bob]) {
    await p.hears("end");
    assert.deepEqual(p.events.map((e) => [e.from, e.user, e.event]), [[-1, null, "boo"], [-1, null, "end"]]);
    assert(!p.frames.join().includes('"eve"'), "eve is on the wire");
  }
  assert.deepEqual((await s.backend.getActiveUsers(room)).data.map((u) => u.id), ["ada", "bob"]);
  hidden.ws.terminate();
});

scenario("kinds: one identity by two SDKs does not kick itself", async (s) => {
  const room = await s.made();
  const block = await s.enter(room, { user: "bob", presence: { by: "liveblocks" } });
  const kit = await participant(s, room, "bob", { attributes: { by: "livekit" } });
  const ada = await s.enter(room, { user: "ada" });
  await until("ada sees both", () => ada.room.getOthers().length === 2);
  assert.deepEqual(ada.room.getOthers().map((o) => [o.id, o.presence.by]).sort(), [["bob", "liveblocks"], ["bob", "livekit"]]);
  kit.ws.send(JSON.stringify({ type: "leave" }));
  await until("ada sees one", () => ada.room.getOthers().length === 1);
  block.stayed();
});

scenario("kinds: an access list puts out nobody with a LiveKit token", async (s) => {
  const room = await s.made();
  const [bob, kit] = [await s.enter(room, { user: "bob" }), await participant(s, room, "bob")];
  await s.backend.updateRoom(room, { defaultAccesses: [] });
  assert.equal((await bob.putOut()).code, 4001);
  assert.equal((await kit.request({ type: "publishData", payload: 1 })).type, "ok");
});

scenario("kinds: LiveKit's server API holds for people of Liveblocks, too", async (s) => {
  const room = await s.made("room", ["*:write"], { usersAccesses: { cy: ["*:read"] } });
  const admin = liveKitToken({ video: { roomAdmin: true, room } });
  const call = async (method, body) => {
    const { status, json, text } = await s.call("POST", `/twirp/livekit.RoomService/${method}`, { room, ...body }, admin);
    assert.equal(status, 200, `${method}: ${text}`);
    return json;
  };
  const ada = await s.enter(room, { user: "ada" });
  const bob = await s.enter(room, { user: "bob", info: { name: "Bob" }, presence: { b: 1 } });
  const cy = await s.enter(room, { user: "cy" });
  const { participants } = await call("ListParticipants");
  assert.deepEqual(participants.map((p) => [p.identity, p.name]).sort(), [["ada", ""], ["bob", "Bob"], ["cy", ""]]);

  // A live denial, over whatever the list says.
  await call("UpdateParticipant", { identity: "bob", permission: { canSubscribe: true, canPublish: true, canPublishData: false } });
  await bob.tells("not heard");
  await ada.gone("bob"); // whose presence is denied along with the data
  await s.backend.updateRoom(room, { usersAccesses: { bob: ["*:write"] } });
  await bob.tells("nor this");
  await call("UpdateParticipant", { identity: "bob", permission: { canSubscribe: true, canPublish: true, canPublishData: true } });
  bob.says("heard");
  await ada.hears("heard");
  assert.deepEqual(ada.heard, ["heard"]);
  // Who comes now sees bob again, and so does everybody.
  const dan = await s.enter(room, { user: "dan" });
  await Promise.all([ada, dan].map((p) => p.sees("bob", (o) => o.presence.b === 1)));

  // Why somebody may what.
  const why = await s.call("GET", `/usher/v1/rooms/${encodeURIComponent(room)}/participants/cy/permissions`);
  assert.equal(why.status, 200, why.text);
  assert(why.json.layers.some((l) => l.layer === "usersAccesses.cy"), why.text);

  // Removed is removed.
  await call("RemoveParticipant", { identity: "bob" });
  assert.equal((await bob.putOut()).code, 4001);
  bob.room.connect(); // with the token that the client has
  await until("bob is refused", () => bob.sockets.length === 2 && bob.errors.length === 2);
  assert.equal(bob.errors[1].code, 4001);
  await ada.gone("bob");
  for (const p of [ada, cy]) p.stayed();
});

scenario("kinds: who was removed stays out, also when the room is renamed", async (s) => {
  let room = await s.made();
  const token = await tokenOf(s.backend, { user: "bob" });
  const bob = await s.enter(room, { user: "bob", token });
  const ada = await s.enter(room, { user: "ada" });
  const admin = liveKitToken({ video: { roomAdmin: true, room } });
  const { status, text } = await s.call("POST", "/twirp/livekit.RoomService/RemoveParticipant", { room, identity: "bob" }, admin);
  assert.equal(status, 200, text);
  assert.equal((await bob.putOut()).code, 4001);
  for (const name of ["new", "newer"]) {
    await s.backend.updateRoomId({ currentRoomId: room, newRoomId: s.room(name) });
    room = s.room(name);
    assert.equal((await s.refused(room, { user: "bob", token })).code, 4001);
  }
  assert.equal((await ada.putOut()).code, 4006);
  await s.enter(room, { user: "ada" });
});

scenario("kinds: moved by LiveKit's server API", async (s) => {
  const [room, hall] = [await s.made(), await s.made("hall", ["*:read"])];
  const bob = await s.enter(room, { user: "bob" });
  const admin = liveKitToken({ video: { roomAdmin: true, room, destinationRoom: hall } });
  await participant(s, hall, "kit");
  const { status, text } = await s.call("POST", "/twirp/livekit.RoomService/MoveParticipant", { room, identity: "bob", destination_room: hall }, admin);
  assert.equal(status, 200, text);
  assert.deepEqual(await bob.putOut(), { code: 4006, message: hall });
});

scenario("kinds: a room that is full", async (s) => {
  const room = s.room();
  const admin = liveKitToken({ video: { roomCreate: true } });
  const { status, text } = await s.call("POST", "/twirp/livekit.RoomService/CreateRoom", { name: room, max_participants: 1 }, admin);
  assert.equal(status, 200, text);
  await s.backend.createRoom(room, { defaultAccesses: ["*:write"] });
  const ada = await s.enter(room, { user: "ada" });
  assert.equal((await s.refused(room, { user: "bob" })).code, 4005);
  ada.stayed();
});

scenario("kinds: a room that only LiveKit tokens have entered has no list", async (s) => {
  const room = s.room();
  const kit = await participant(s, room, "kit");
  assert.equal((await s.refused(room, { user: "ada" })).code, 4001);
  assert.equal((await thrown(s.backend.getRoom(room))).status, 404);
  const { data } = await s.backend.getRooms({ query: { roomId: { startsWith: room } } });
  assert.deepEqual(data, []);
  await s.backend.createRoom(room, { defaultAccesses: ["*:read"] });
  const ada = await s.enter(room, { user: "ada" });
  assert.equal((await ada.sees("kit")).id, "kit");
  // Who brings permissions of their own gives the room none.
  const other = s.room("other");
  await participant(s, other, "kit");
  const bob = await s.enter(other, { user: "bob", allow: { [other]: ["*:write"] } });
  await bob.sees("kit");
  assert.equal((await thrown(s.backend.getRoom(other))).status, 404);
  for (const stranger of [{ user: "ada" }, { anonymous: true }]) assert.equal((await s.refused(other, stranger)).code, 4001);
  assert.equal(kit.closed, undefined);
});

scenario("kinds: a Liveblocks token in usher's own protocol", async (s) => {
  const room = await s.made("room", ["*:read"], { usersAccesses: { ada: ["*:write"] } });
  const bob = await s.enter(room, { user: "bob" });
  const ada = new Native(s, await tokenOf(s.backend, { user: "ada", info: { name: "Ada", color: "red" } }), room);
  const { self } = await ada.joined();
  assert.deepEqual([self.identity, self.name, JSON.parse(self.metadata)], ["ada", "Ada", { name: "Ada", color: "red" }]);
  const { token } = await ada.news("refreshToken");
  assert.equal((await ada.request({ type: "updatePresence", presence: { x: 1 } })).type, "ok");
  assert.deepEqual((await bob.sees("ada", (o) => o.presence.x === 1)).info, { name: "Ada", color: "red" });
  // What it is refreshed to is for this room, by both protocols, and no more than before.
  const other = await s.made("other");
  for (const [where, good] of [[room, true], [other, false]]) {
    const raw = new Raw(s, { room: where, token });
    if (good) assert.deepEqual((await raw.state()).scopes, ["*:write"]);
    else assert.equal((await raw.end()).code, 4001);
  }
  await s.backend.updateRoom(room, { usersAccesses: { ada: ["*:read"] } });
  await ada.news("participantUpdated", (m) => m.participant.identity === "ada" && m.changed.includes("permissions"));
  await bob.sees("ada", (o) => !o.canWrite);
  // Whoever comes back with what a reader's token was refreshed to is promoted like everybody.
  const refreshed = () => ada.came.filter((m) => m.type === "refreshToken");
  const reader = await until("a newer token", () => refreshed()[1]); // which may say the same
  ada.ws.send(JSON.stringify({ type: "leave" }));
  await ada.end();
  await bob.gone("ada");
  const next = new Native(s, reader.token);
  await next.joined();
  await next.request({ type: "updatePresence", presence: { x: 2 } });
  await bob.sees("ada", (o) => o.presence.x === 2 && !o.canWrite);
  await s.backend.updateRoom(room, { usersAccesses: { ada: ["*:write"] } });
  await bob.sees("ada", (o) => o.presence.x === 2 && o.canWrite);
  await s.backend.updateRoom(room, { defaultAccesses: [], usersAccesses: { ada: null } });
  const { code } = await next.end();
  assert(code >= 4500, String(code));
  const again = new Raw(s, { room, token });
  assert.equal((await again.end()).code, 4001);
});

scenario("kinds: a public key in usher's own protocol", async (s) => {
  const room = s.room();
  const one = new Native(s, undefined, room, publicKey);
  const { self } = await one.joined();
  assert.match(self.identity, /^anon:/);
  const two = await s.enter(room, { anonymous: true, presence: { n: 2 } });
  const seen = await two.sees(undefined);
  assert.deepEqual([seen.info, seen.canWrite], [undefined, true]);
  assert.equal((await one.request({ type: "publishData", payload: "hello" })).type, "ok");
  await two.hears("hello");
  const wrong = new Native(s, undefined, room, `${publicKey}x`);
  assert.equal((await wrong.end()).code, 4500);
});
