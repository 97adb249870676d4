// Rooms by means of @liveblocks/node: made, read, changed, listed, deleted.

import assert from "node:assert/strict";
import { Liveblocks } from "@liveblocks/node";
import { publicKey, scenario, thrown } from "../scene.mjs";

scenario("rooms: made, read, changed and deleted", async (s) => {
  const id = s.room();
  const before = Date.now();
  const made = await s.backend.createRoom(id, {
    defaultAccesses: ["room:read", "room:presence:write"],
    groupsAccesses: { g1: ["room:write"], g2: [] },
    usersAccesses: { ada: ["*:write", "comments:none"] },
    metadata: { title: "Doc", tags: ["a", "b"], empty: "" },
  });
  assert(made.createdAt instanceof Date && Math.abs(made.createdAt - before) < 600_000, String(made.createdAt));
  assert.deepEqual(made, {
    type: "room",
    id,
    organizationId: "default",
    tenantId: "default", // its older name
    createdAt: made.createdAt,
    metadata: { title: "Doc", tags: ["a", "b"], empty: "" },
    defaultAccesses: ["room:read", "room:presence:write"],
    groupsAccesses: { g1: ["room:write"], g2: [] },
    usersAccesses: { ada: ["*:write", "comments:none"] },
    ...("lastConnectionAt" in made && { lastConnectionAt: made.lastConnectionAt }),
  });
  assert.deepEqual(await s.backend.getRoom(id), made);

  // What is named changes, null removes, maps merge.
  let room = await s.backend.updateRoom(id, {
    defaultAccesses: ["*:write"],
    groupsAccesses: { g1: null, g3: ["*:read"] },
    usersAccesses: { bob: ["room:read"] },
    metadata: { title: null, tags: "one", more: "m" },
  });
  const want = { ...made, defaultAccesses: ["*:write"], groupsAccesses: { g2: [], g3: ["*:read"] }, usersAccesses: { ada: ["*:write", "comments:none"], bob: ["room:read"] }, metadata: { tags: "one", empty: "", more: "m" } };
  assert.deepEqual(room, want);
  room = await s.backend.updateRoom(id, {});
  assert.deepEqual(room, want);
  room = await s.backend.updateRoom(id, { metadata: { last: "1" } });
  assert.deepEqual(room, { ...want, metadata: { ...want.metadata, last: "1" } });
  // Null for the whole, which the SDK has no word for.
  const { status, json } = await s.call("POST", `/v2/rooms/${encodeURIComponent(id)}`, { groupsAccesses: null, usersAccesses: null, metadata: null, defaultAccesses: null });
  assert.equal(status, 200, JSON.stringify(json));
  assert.deepEqual([json.groupsAccesses, json.usersAccesses, json.metadata, json.defaultAccesses], [{}, {}, {}, []]);

  await s.enter(id, { anonymous: true }); // by a token of its own, the list is empty
  await s.backend.deleteRoom(id);
  for (const call of [() => s.backend.getRoom(id), () => s.backend.updateRoom(id, { metadata: {} }), () => s.backend.deleteRoom(id), () => s.backend.getActiveUsers(id), () => s.backend.broadcastEvent(id, 1), () => s.backend.setPresence(id, { userId: "a", data: {} }), () => s.backend.prewarmRoom(id), () => s.backend.updateRoomId({ currentRoomId: id, newRoomId: s.room("x") })]) {
    const e = await thrown(call());
    assert.deepEqual([e.name, e.status], ["LiveblocksError", 404], call.toString());
    assert.match(e.message, /room/i);
  }
});

scenario("rooms: made if it is missing, or updated, or both", async (s) => {
  const id = s.room();
  const made = await s.backend.getOrCreateRoom(id, { defaultAccesses: ["*:read"], metadata: { n: "1" } });
  const again = await s.backend.getOrCreateRoom(id, { defaultAccesses: ["*:write"], metadata: { n: "2" }, usersAccesses: { ada: ["*:write"] } });
  assert.deepEqual(again, made);
  const e = await thrown(s.backend.createRoom(id, { defaultAccesses: [] }));
  assert.deepEqual([e.name, e.status], ["LiveblocksError", 409]);
  assert(e.message, "409 without a message");
  assert.equal((await s.call("POST", "/v2/rooms", { id, defaultAccesses: [] })).json.error, "ROOM_ALREADY_EXISTS");

  const updated = await s.backend.upsertRoom(id, { update: { metadata: { m: "3" } }, create: { defaultAccesses: [] } });
  assert.deepEqual([updated.defaultAccesses, updated.metadata], [["*:read"], { n: "1", m: "3" }]);
  const other = s.room("other");
  const created = await s.backend.upsertRoom(other, { update: { metadata: { m: "3" }, usersAccesses: { ada: ["*:read"] } }, create: { defaultAccesses: ["*:write"] } });
  assert.deepEqual([created.defaultAccesses, created.metadata, created.usersAccesses], [["*:write"], { m: "3" }, { ada: ["*:read"] }]);
  // Many at once make one.
  const both = await Promise.all(Array.from({ length: 30 }, () => s.backend.upsertRoom(s.room("race"), { update: { metadata: { x: "1" } }, create: { defaultAccesses: ["*:read"] } })));
  assert.equal(new Set(both.map((r) => r.createdAt.getTime())).size, 1);
  const races = await Promise.allSettled(Array.from({ length: 30 }, () => s.backend.createRoom(s.room("race2"), { defaultAccesses: [] })));
  assert.equal(races.filter((r) => r.status === "fulfilled").length, 1);
});

scenario("rooms: ids of any characters", async (s) => {
  const ids = ["acme:doc/1", "ü 💥 %25 %2F", "a?b=c&d#e", "a+b c", "..a/../b", "'\"\\<>", "-", "x".repeat(128)];
  for (const [i, name] of ids.entries()) {
    const id = name.length === 128 ? `${s.name}${name}`.slice(0, 128) : `${s.name} ${name}`;
    assert.equal((await s.backend.createRoom(id, { defaultAccesses: ["*:write"], metadata: { i: String(i) } })).id, id);
    assert.deepEqual((await s.backend.updateRoom(id, { metadata: { i: String(i) } })).metadata, { i: String(i) });
    const p = await s.enter(id, { user: "ada" });
    assert.equal((await s.backend.getActiveUsers(id)).data.length, 1);
    await s.backend.broadcastEvent(id, { i });
    await p.hears({ i });
    assert.deepEqual((await s.backend.getRooms({ query: { roomId: { startsWith: id } } })).data.map((r) => r.id), [id]);
    await s.backend.deleteRoom(id);
    assert.equal((await thrown(s.backend.getRoom(id))).status, 404);
  }
});

scenario("rooms: ten thousand, by pages", async (s) => {
  const total = s.times(10_000, 10_000, 1_000);
  const prefix = s.room("p/");
  const make = async (from, step) => {
    for (let i = from; i < total; i += step) {
      await s.backend.createRoom(prefix + i, { defaultAccesses: i % 2 ? ["*:read"] : [], metadata: { parity: String(i % 2), hundred: String(i % 100) }, usersAccesses: i % 100 === 0 ? { ada: ["*:write"] } : undefined, groupsAccesses: i % 100 === 1 ? { g: ["*:write"] } : undefined });
    }
  };
  const workers = 64;
  await Promise.all(Array.from({ length: workers }, (_, i) => make(i, workers)));

  const query = { roomId: { startsWith: prefix } };
  const seen = new Map();
  let cursor, last = Infinity, pages = 0, moved = false;
  do {
    const page = await s.backend.getRooms({ limit: 100, startingAfter: cursor, query });
    for (const r of page.data) {
      assert(!seen.has(r.id), `${r.id} comes twice`);
      seen.set(r.id, r);
      assert(r.createdAt.getTime() <= last, "the newest do not come first");
      last = r.createdAt.getTime();
    }
    pages++;
    assert(page.data.length === 100 || !page.nextCursor, `a page of ${page.data.length}`);
    if (!moved && Number(page.data.at(-1).metadata.hundred) > 9) { // what comes and goes between two pages moves nothing
      await s.backend.createRoom(prefix + "late", { defaultAccesses: [] });
      await s.backend.deleteRoom(page.data.at(-1).id); // none of those that are counted below
      moved = true;
    }
    cursor = page.nextCursor;
  } while (cursor);
  assert.deepEqual([seen.size, pages, seen.has(prefix + "late"), moved], [total, total / 100, false, true]);

  const count = async (criteria) => {
    let n = 0;
    for await (const _ of s.backend.iterRooms(criteria, { pageSize: 100 })) n++;
    return n;
  };
  assert.equal(await count({ userId: "ada", query }), total / 100);
  assert.equal(await count({ groupIds: ["g", "other"], query }), total / 100);
  assert.equal(await count({ userId: "ada", groupIds: ["g"], query }), total / 50);
  assert.equal(await count({ query: { ...query, metadata: { hundred: "7", parity: "1" } } }), total / 100);
  assert.equal((await s.backend.getRooms({ query })).data.length, 20);
});

scenario("rooms: found by metadata, id and query", async (s) => {
  const p = s.room("");
  const rooms = {
    a: { kind: "doc", owner: "it's", size: "10" },
    b: { kind: "doc", owner: 'say "hi"', tags: ["x", "y"] },
    c: { kind: "board", size: "9" },
    d: {},
  };
  for (const [id, metadata] of Object.entries(rooms)) await s.backend.createRoom(p + id, { defaultAccesses: [], metadata });
  const found = async (params) => (await s.backend.getRooms(params)).data.map((r) => r.id.slice(p.length)).sort().join("");
  const inThis = (query) => found({ query: { roomId: { startsWith: p }, ...query } });
  assert.equal(await inThis({}), "abcd");
  assert.equal(await inThis({ metadata: { kind: "doc" } }), "ab");
  assert.equal(await inThis({ metadata: { kind: "doc", size: "10" } }), "a");
  assert.equal(await inThis({ metadata: { owner: "it's" } }), "a");
  assert.equal(await inThis({ metadata: { owner: 'say "hi"' } }), "b");
  assert.equal(await inThis({ metadata: { kind: { startsWith: "bo" } } }), "c");
  assert.equal(await inThis({ metadata: { tags: "x" } }), "b");
  assert.equal(await found({ query: { roomId: { startsWith: `${p}a` } } }), "a");
  assert.equal(await found({ query: `roomId^'${p}' AND metadata['kind']:'doc'` }), "ab");
  assert.equal(await found({ query: `roomId^"${p}" AND metadata["size"]:"9"` }), "c");
  assert.equal(await found({ query: `roomId ^ '${p}'  metadata['size'] : '10'` }), "a");
  for (const query of ["metadata[", "roomId", "foo:'x'", "roomId:'x' OR roomId:'y'", "metadata['a']:'x"]) {
    const e = await thrown(s.backend.getRooms({ query }));
    assert.deepEqual([e.name, e.status], ["LiveblocksError", 422], query);
    assert(e.message, query);
  }
  // Organizations
  const o = `org-${p}`;
  await s.backend.createRoom(p + "o", { defaultAccesses: [], organizationId: o });
  assert.equal(await found({ organizationId: o }), "o");
  assert.equal(await found({ tenantId: o }), "o");
  assert.equal(await found({ organizationId: "nobody's" }), "");
  assert.equal(await inThis({}), "abcdo");
  for (const limit of [0, 101, -1]) assert.equal((await thrown(s.backend.getRooms({ limit }))).status, 422, String(limit));
  assert.equal((await thrown(s.backend.getRooms({ startingAfter: "nonsense" }))).status, 422);
});

scenario("rooms: errors say what is wrong", async (s) => {
  const room = await s.made();
  const path = `/v2/rooms/${encodeURIComponent(room)}`;
  for (const [key, status, error] of [[null, 401, "MISSING_SECRET_KEY"], [publicKey, 401, "WRONG_KEY_USED"], ["sk_dev_secretx", 403, "INVALID_SECRET_KEY"], ["sk_dev_secre", 403, "INVALID_SECRET_KEY"]]) {
    for (const [method, at, body] of [["GET", path], ["POST", "/v2/identify-user", { userId: "a" }], ["DELETE", path], ["GET", "/v2/rooms"]]) {
      const got = await s.call(method, at, body, key);
      assert.deepEqual([got.status, got.json?.error, typeof got.json?.message], [status, error, "string"], `${key} ${method} ${at}: ${got.text}`);
      assert(!got.text.includes("sk_dev_secret"), `the answer holds a secret: ${got.text}`);
    }
  }
  const wrong = new Liveblocks({ secret: "sk_wrong", baseUrl: s.url });
  const e = await thrown(wrong.getRoom(room));
  assert.deepEqual([e.name, e.status], ["LiveblocksError", 403]);
  assert(e.message && !e.message.includes("An error happened"), e.message);
  assert.match(e.details, /Suggestion: |See also: /);
  assert.equal((await wrong.identifyUser("ada")).status, 403);

  for (const [method, at, body, status] of [
    ["GET", "/v2/nothing", undefined, 404],
    ["PUT", path, {}, 405],
    ["PATCH", "/v2/rooms", {}, 405],
    ["POST", path, "{", 400],
    ["POST", path, "", 400],
    ["POST", path, [], 422],
    ["POST", path, { defaultAccesses: ["*:admin"] }, 422],
    ["POST", path, { defaultAccesses: ["comments:write"] }, 422],
    ["POST", path, { defaultAccesses: ["*:read", "*:write"] }, 422],
    ["POST", path, { defaultAccesses: ["*:read", "storage:read", "storage:write"] }, 422],
    ["POST", path, { defaultAccesses: "*:read" }, 422],
    ["POST", path, { usersAccesses: { bob: ["nonsense"] } }, 422],
    ["POST", path, { metadata: { a: 1 } }, 422],
    ["POST", path, { metadata: { ["k".repeat(41)]: "v" } }, 422],
    ["POST", path, { metadata: { k: "v".repeat(257) } }, 422],
    ["POST", path, { metadata: Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`k${i}`, "v"])) }, 422],
    ["POST", "/v2/rooms", { defaultAccesses: [] }, 422],
    ["POST", "/v2/rooms", { id: s.room("none") }, 422],
    ["POST", "/v2/rooms", { id: "x".repeat(129), defaultAccesses: [] }, 422],
    ["POST", "/v2/rooms", { id: "a*b", defaultAccesses: [] }, 422],
    ["POST", `${path}/upsert`, {}, 422],
    ["POST", `${path}/presence`, { userId: "a", data: {}, ttl: 1 }, 422],
    ["POST", `${path}/presence`, { userId: "a", data: {}, ttl: 3600 }, 422],
    ["POST", `${path}/presence`, { userId: "a", data: [] }, 422],
    ["POST", `${path}/broadcast-event`, "nonsense", 400],
    ["POST", `${path}/update-room-id`, {}, 422],
  ]) {
    const got = await s.call(method, at, body);
    const what = `${method} ${at} ${JSON.stringify(body)?.slice(0, 100)}: ${got.status} ${got.text}`;
    assert.equal(got.status, status, what);
    assert(got.json?.message, what);
  }
  assert.deepEqual((await s.backend.getRoom(room)).defaultAccesses, ["*:write"]); // nothing of it was done
});

scenario("rooms: when somebody was there last", async (s) => {
  const room = await s.made();
  assert.equal((await s.backend.getRoom(room)).lastConnectionAt, undefined);
  const before = Date.now() - 1000;
  await s.enter(room, { user: "ada" });
  const { lastConnectionAt } = await s.backend.getRoom(room);
  assert(lastConnectionAt instanceof Date && lastConnectionAt >= before, String(lastConnectionAt));
});
