// What the room's access list and the token let somebody do, as they enter.

import assert from "node:assert/strict";
import { tokenOf } from "../person.mjs";
import { projectSecret, scenario, thrown, until } from "../scene.mjs";
import { Raw } from "../wire.mjs";

const reader = ["room:read", "room:presence:write"];

scenario("permissions: a reader is there, and may say things, but not write", async (s) => {
  for (const [name, accesses] of Object.entries({ old: reader, older: ["room:read"], now: ["*:read"] })) {
    const room = await s.made(name, accesses, { usersAccesses: { ada: ["room:write"] } });
    const ada = await s.enter(room, { user: "ada" });
    const bob = await s.enter(room, { user: "bob", presence: { cursor: 1 } });
    assert.deepEqual([ada.me.canWrite, bob.me.canWrite, bob.me.canComment], [true, false, false]);
    const seen = await ada.sees("bob");
    assert.deepEqual([seen.canWrite, seen.isReadOnly, seen.presence.cursor], [false, true, 1]);
    assert.equal((await bob.sees("ada")).canWrite, true);
    bob.room.updatePresence({ cursor: 2 });
    await ada.sees("bob", (o) => o.presence.cursor === 2);
    bob.says("👏");
    await ada.hears("👏");
    const { root } = await bob.room.getStorage();
    assert.throws(() => root.set("a", 1), /Cannot write to storage with a read only user/);
  }
});

scenario("permissions: the server refuses a write whatever the client thinks", async (s) => {
  const room = await s.made("room", reader);
  const ada = await s.enter(room, { user: "ada" });
  const cheat = new Raw(s, { room, token: await tokenOf(s.backend, { user: "cheat" }) });
  const { actor } = await cheat.state();
  cheat.send({ type: 100, targetActor: -1, data: {} });
  cheat.send({ type: 201, ops: [{ type: 8, opId: `${actor}:0`, id: `${actor}:1`, parentId: "root", parentKey: "a", data: 1 }, { type: 3, opId: `${actor}:1`, id: "root", data: { b: 2 } }] });
  const no = await cheat.type(299);
  assert.deepEqual([no.opIds, typeof no.reason], [[`${actor}:0`, `${actor}:1`], "string"]);
  assert(no.reason, "the refusal gives no reason");
  cheat.send({ type: 301, update: "AAA=" });
  cheat.send({ type: 103, event: "still here" });
  await ada.hears("still here");
  assert.deepEqual([ada.of(201), ada.of(301)], [[], []]);
});

scenario("permissions: a private room is closed to people", async (s) => {
  const room = await s.made("room", [], { usersAccesses: { ada: ["*:write"] } });
  const bob = s.person({ user: "bob" });
  bob.enter(room);
  const error = await bob.putOut();
  assert.equal(error.code, 4001);
  assert(error.message.length > 10, `the reason is ${JSON.stringify(error.message)}`);
  assert.equal(bob.sockets.length, 1, "the client tried more than once");
  const ada = await s.enter(room, { user: "ada" });
  assert.deepEqual([ada.me.canWrite, ada.room.getOthers()], [true, []]);
});

scenario("permissions: an ID token makes no room", async (s) => {
  const room = s.room("none");
  assert.equal((await s.refused(room, { user: "ada" })).code, 4001);
  assert.equal((await thrown(s.backend.getRoom(room))).status, 404);
});

scenario("permissions: user over groups over default", async (s) => {
  const room = await s.made("room", ["*:read"], {
    groupsAccesses: { writers: ["*:write"], critics: ["*:read", "comments:write"], silent: ["*:write", "comments:none"] },
    usersAccesses: { dave: ["*:read"], eve: ["room:write"], nobody: [] },
  });
  const rows = [
    // who, groups, canWrite, canComment
    ["bob", undefined, false, false],
    ["bob", ["unknown"], false, false],
    ["bob", ["writers"], true, true],
    ["bob", ["critics"], false, true],
    ["bob", ["critics", "writers"], true, true],
    ["bob", ["silent"], true, false],
    ["bob", ["silent", "critics"], true, true], // the strongest of the groups
    ["dave", ["writers"], false, false],
    ["dave", ["critics"], false, true], // the user's base leaves the group's feature
    ["dave", ["silent"], false, false],
    ["eve", undefined, true, true],
    ["nobody", undefined, false, false], // [] says nothing
    ["nobody", ["writers"], true, true],
  ];
  for (const [user, groups, canWrite, canComment] of rows) {
    const p = await s.enter(room, { user, groups });
    assert.deepEqual([p.me.canWrite, p.me.canComment], [canWrite, canComment], `${user} in ${groups}`);
    p.leave();
  }
});

scenario("permissions: a room for a group alone", async (s) => {
  const room = await s.made("room", [], { groupsAccesses: { staff: ["*:read"] }, usersAccesses: { boss: ["*:write"] } });
  assert.equal((await s.refused(room, { user: "bob" })).code, 4001);
  assert.equal((await s.refused(room, { user: "bob", groups: ["guests"] })).code, 4001);
  assert.equal((await s.enter(room, { user: "bob", groups: ["guests", "staff"] })).me.canWrite, false);
  assert.equal((await s.enter(room, { user: "boss" })).me.canWrite, true);
});

scenario("permissions: features are told as the client knows them", async (s) => {
  const rows = [
    [["*:write", "storage:read"], false, true],
    [["*:write", "storage:none", "comments:none"], false, false],
    [["*:read", "storage:write"], true, false],
    [["*:read", "comments:private:write"], false, true],
    [["*:write", "comments:read", "comments:public:write"], true, true],
    [["*:write", "comments:read"], true, false],
    [["*:write", "feeds:none"], true, true],
  ];
  for (const [i, [accesses, canWrite, canComment]] of rows.entries()) {
    const p = await s.enter(await s.made(`room${i}`, accesses), { user: "bob" });
    assert.deepEqual([p.me.canWrite, p.me.canComment], [canWrite, canComment], String(accesses));
  }
});

scenario("permissions: organizations keep to themselves", async (s) => {
  const acme = await s.made("acme", ["*:write"], { organizationId: "acme" });
  const tenant = await s.made("tenant", ["*:write"], { tenantId: "acme" });
  const open = await s.made("open");
  assert.deepEqual(await Promise.all([acme, tenant, open].map(async (id) => (await s.backend.getRoom(id)).organizationId)), ["acme", "acme", "default"]);
  const all = { [s.room("*")]: ["*:write"] };
  for (const more of [{}, { allow: all }]) {
    for (const words of [{ organization: "acme" }, { tenant: "acme" }]) {
      for (const room of [acme, tenant]) (await s.enter(room, { user: "ada", ...words, ...more })).stayed();
      assert.equal((await s.refused(open, { user: "ada", ...words, ...more })).code, 4001);
    }
    for (const words of [{}, { organization: "other" }, { tenant: "other" }]) {
      const error = await s.refused(acme, { user: "bob", ...words, ...more });
      assert.equal(error.code, 4001);
    }
    await s.enter(open, { user: "bob", ...more });
    await s.enter(open, { user: "cy", organization: "default", ...more });
  }
  // A room that a token makes is of the token's organization.
  const fresh = s.room("fresh");
  await s.enter(fresh, { user: "ada", organization: "acme", allow: all });
  assert.equal((await s.backend.getRoom(fresh)).organizationId, "acme");
  assert.equal((await s.refused(fresh, { user: "bob", allow: all })).code, 4001);
  assert.equal((await s.refused(fresh, { anonymous: true })).code, 4001);
});

scenario("permissions: an access list does not concern access tokens and public keys", async (s) => {
  const room = await s.made("room", []);
  const bob = await s.enter(room, { user: "bob", allow: { [room]: ["*:read"] } });
  const anybody = await s.enter(room, { anonymous: true });
  assert.deepEqual([bob.me.canWrite, anybody.me.canWrite], [false, true]);
  await s.backend.updateRoom(room, { defaultAccesses: ["*:write"], usersAccesses: { bob: ["*:write"] } });
  bob.says("after");
  await anybody.hears("after");
  assert.equal(bob.me.canWrite, false);
  for (const p of [bob, anybody]) p.stayed();
});

scenario("permissions: readers may be kept from broadcasting", async (s) => {
  s.use(await s.ask("configured server"), projectSecret);
  const room = await s.made("room", ["*:read"], { usersAccesses: { ada: ["*:write"] } });
  const [ada, bob] = [await s.enter(room, { user: "ada" }), await s.enter(room, { user: "bob", presence: { b: 1 } })];
  assert.deepEqual((await ada.sees("bob")).presence, { b: 1 }); // presence is everybody's
  bob.says("not heard");
  bob.room.updatePresence({ b: 2 });
  await ada.sees("bob", (o) => o.presence.b === 2);
  ada.says("heard");
  await bob.hears("heard");
  await s.backend.updateRoom(room, { usersAccesses: { bob: ["*:write"] } });
  bob.says("heard, too");
  await ada.hears("heard, too");
  assert.deepEqual(ada.heard, ["heard, too"]);
  for (const p of [ada, bob]) p.stayed();
});

scenario("permissions: what the backend may not sign", async (s) => {
  const good = (body) => s.call("POST", "/v2/authorize-user", { userId: "ada", permissions: {}, ...body });
  assert.equal((await good({})).status, 200);
  for (const body of [
    { permissions: { "a*b": ["*:write"] } },
    { permissions: { a: ["*:admin"] } },
    { permissions: { ["x".repeat(129)]: ["*:write"] } },
    { permissions: Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`r${i}`, ["*:write"]])) },
    { permissions: [] },
    { userId: "" },
    { userId: 7 },
    { userId: "x".repeat(129) },
    { userInfo: "text" },
  ]) {
    const { status, json, text } = await good(body);
    assert.equal(status, 422, `${JSON.stringify(body)}: ${text}`);
    assert(json?.message, `${JSON.stringify(body)}: ${text}`);
  }
  for (const body of [{ userId: "💥".repeat(128) }, { userInfo: { name: "é".repeat(200) } }, { groupIds: "g" }, { groupIds: [7] }, { userInfo: [] }, { userInfo: { x: "x".repeat(1025) } }, { groupIds: Array.from({ length: 1000 }, (_, i) => `a rather long group ${i}`) }, { organizationId: 7 }]) {
    const { status, json, text } = await s.call("POST", "/v2/identify-user", { userId: "ada", ...body });
    assert.equal(status, 422, `${JSON.stringify(body).slice(0, 80)}: ${text}`);
    assert(json?.message, text);
  }
  assert.equal((await s.call("POST", "/v2/identify-user", { userId: "ada", groupIds: Array.from({ length: 200 }, (_, i) => `group ${i}`) })).status, 200);
  // What the SDK hands to the page, which asks for no token again after a 4xx.
  const refused = await s.backend.identifyUser({ userId: "x".repeat(129) });
  assert.equal(refused.status, 422);
  assert(JSON.parse(refused.body).message);
  const bob = s.person({ user: "x".repeat(129) });
  bob.enter(s.room());
  await until("bob is disconnected", () => bob.room.getStatus() === "disconnected");
  assert.match((await bob.putOut()).message, /422/);
});

scenario("permissions: every token is another, and says what the client reads", async (s) => {
  const read = async (options) => JSON.parse(Buffer.from((await tokenOf(s.backend, options)).split(".")[1], "base64url"));
  const id = await read({ user: "ada", groups: ["g1", "g2"], info: { name: "Ada" } });
  assert.deepEqual([id.k, id.uid, id.gids, id.ui], ["id", "ada", ["g1", "g2"], { name: "Ada" }]);
  assert.equal(id.exp - id.iat, 3600);
  const acc = await read({ user: "ada", allow: { "a*": ["*:read", "comments:write"], b: ["room:write"] } });
  assert.deepEqual([acc.k, acc.uid, acc.perms], ["acc", "ada", { "a*": ["*:read", "comments:write"], b: ["room:write"] }]);
  const tokens = await Promise.all(Array.from({ length: 20 }, () => tokenOf(s.backend, { user: "ada" })));
  assert.equal(new Set(tokens).size, 20);
});
