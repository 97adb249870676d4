// What holds after kill -9.

import assert from "node:assert/strict";
import jwt from "jsonwebtoken";
import { code } from "../person.mjs";
import { apiKey, domainId, scenario, seconds, until } from "../scene.mjs";

scenario("restart: rooms, tokens, bans, revocations, the domain", async (s) => {
  await s.own();
  await s.api("POST", "/", { properties: { enable_chat: true } });
  const room = await s.api("POST", "/rooms", { name: s.room(), privacy: "private", properties: { max_participants: 7, lang: "fr" } });
  const gone = await s.made("gone");
  const asked = await s.token({ room_name: room.name, user_id: "ada" });
  const own = jwt.sign({ d: domainId, r: room.name, ud: "bob", iat: seconds() }, apiKey);
  const revoked = await s.token({ room_name: room.name, user_id: "cy" });
  const banned = await s.token({ room_name: room.name, user_id: "dee" });
  const named = await s.token({ room_name: gone, user_id: "eve" });
  const before = await s.enter(named);
  const refreshed = await before.refreshed();
  await s.enter(banned);
  await s.api("POST", "/meeting-tokens/revoke", { token: revoked });
  await s.api("POST", `/rooms/${room.name}/eject`, { user_ids: ["dee"], ban: true });
  await s.api("DELETE", `/rooms/${gone}`);
  await s.ask("kill");
  await s.again();
  assert.deepEqual(await s.api("GET", `/rooms/${room.name}`), { ...room, url: `${s.url}/${room.name}` }); // at another port now
  assert.equal((await s.api("GET", "/")).config.enable_chat, true);
  await s.enter(asked);
  await s.enter(own);
  for (const token of [revoked, banned]) assert.equal(await s.turnedAway(token), code.tokenRevoked);
  assert.equal((await s.call("GET", `/rooms/${gone}`)).status, 404);
  await s.api("POST", "/rooms", { name: gone, privacy: "private" });
  for (const token of [named, refreshed]) assert.equal(await s.turnedAway(token), code.tokenRevoked, "of the room that was deleted");
  await s.enter(await s.token({ room_name: gone, user_id: "eve" }));
});

scenario("restart: a session's time is kept by its refreshed token (§1.7.6)", async (s) => {
  await s.own();
  const room = await s.made("room");
  const token = await s.token({ room_name: room, user_id: "ada", eject_after_elapsed: 6 });
  const ada = await s.enter(token);
  const [at, refreshed] = [ada.me.willEjectAt, await ada.refreshed()];
  await s.ask("kill");
  await s.again();
  const again = await s.enter(refreshed);
  assert.equal(again.me.willEjectAt, at);
  assert.equal((await again.end()).code, code.timeLimit);
  assert(Date.now() >= at);
  assert.equal(await s.turnedAway(refreshed), code.timeLimit);
  assert((await s.enter(token)).me.willEjectAt > at, "the original starts anew, as with Daily");
});

scenario("restart: meetings that a kill cut off are over (§3)", async (s) => {
  await s.own();
  const room = await s.made("room");
  await s.enter(await s.token({ room_name: room, user_id: "ada" }));
  const meeting = await until("it is listed", async () => (await s.api("GET", `/meetings?room=${room}`)).data[0]);
  await s.ask("kill");
  await s.again();
  const [over] = (await s.api("GET", `/meetings?room=${room}`)).data;
  if (over !== undefined) assert.deepEqual([over.id, over.ongoing], [meeting.id, false]); // written asynchronously
});
