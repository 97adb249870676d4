import assert from "node:assert/strict";
import test from "node:test";

import { ConnectionErrorReason, DisconnectReason, LostError, PermissionError, Room, RpcError } from "../usher.js";
import { backOff, comesBack, sessionURL } from "../policy.js";
import { World, enter, joined, person, settled, token } from "./fake.mjs";

test("addresses", () => {
  const page = "https://page.example/call/";
  for (const [given, want] of [
    ["wss://h", "wss://h/session"], ["wss://h/", "wss://h/session"], ["https://h:7/session", "wss://h:7/session"],
    ["http://h/base/", "ws://h/base/session"], ["/", "wss://page.example/session"], ["ws://h/session#x", "ws://h/session"],
  ]) assert.equal(sessionURL(given, page), want);
  assert.throws(() => sessionURL("ftp://h"), /wss:\/\//);
  assert.throws(() => sessionURL("not an address", undefined), TypeError);
});

test("the policy is the protocol's", () => {
  for (const code of [1001, 1006, 1011, 4000, 4010, 4499]) assert.ok(comesBack(code), String(code));
  for (const code of [1000, 1002, 1007, 1009, 4500, 4501, 4999]) assert.ok(!comesBack(code), String(code));
  for (let n = 0; n < 40; n++) {
    const least = backOff(n, () => 0), most = backOff(n, () => 1);
    assert.ok(least >= 150 && most <= 10_000 && least * 2 === most, `${n}: ${least} to ${most}`);
    if (n > 0) assert.ok(most >= backOff(n - 1, () => 1));
  }
});

test("a token travels in the header while that stays small", async () => {
  const world = new World();
  const small = token(world.time + 1e6);
  await enter(world, {}, { token: small });
  assert.deepEqual(world.socket.protocols, ["usher.v1", `bearer.${small}`]);
  assert.equal(world.socket.last("join").token, undefined);
  assert.equal(world.socket.url, "wss://usher.example/session");
  const large = token(world.time + 1e6, { metadata: "x".repeat(5000) });
  await enter(world, {}, { token: large });
  assert.deepEqual(world.socket.protocols, ["usher.v1"]);
  assert.equal(world.socket.last("join").token, large);
});

test("a cut is resumed: what the server has not handled is sent again, and nothing else", async () => {
  const world = new World();
  const { room, names } = await enter(world);
  assert.deepEqual(names(), ["connectionStateChanged", "signalConnected", "connectionStateChanged", "connected"]);
  const asked = ["one", "two", "three"].map((text) => room.localParticipant.publishData(text, { reliable: true }));
  const [first] = world.socket.of("publishData");
  world.socket.say({ type: "ok", id: first.id }); // counted: 1
  world.socket.end();
  assert.deepEqual(names(), ["connectionStateChanged", "signalReconnecting"]);
  assert.equal(room.state, "signalReconnecting");
  const late = room.localParticipant.publishData("late", { reliable: true });
  await room.localParticipant.publishData("lossy"); // gone, as agreed

  await world.pass(299);
  assert.equal(world.sockets.length, 1, "not before its time");
  await world.pass(1);
  const resume = world.socket.open();
  assert.deepEqual(resume, { type: "resume", session: "PA_ada", secret: "s1", received: 1, attempt: 1 });
  assert.deepEqual(world.socket.protocols, ["usher.v1"], "no token is needed");
  world.socket.say({ ...joined({ recovered: true, lastRequest: first.id + 1, participants: [] }), participants: undefined, presence: {} });
  assert.deepEqual(world.socket.of("publishData").map((m) => m.payload), ["three", "late"]);
  assert.deepEqual(names(), ["connectionStateChanged", "reconnected"]);
  world.socket.say({ type: "ok", id: first.id + 1 }, { type: "ok", id: first.id + 2 }, { type: "ok", id: first.id + 3 });
  await Promise.all([...asked, late]);
});

test("without a recovery the outcome of each request is told honestly", async () => {
  const world = new World();
  const { room } = await enter(world);
  const [handled, not] = ["a", "b"].map((text) => room.localParticipant.publishData(text, { reliable: true }).catch((e) => e));
  const [first] = world.socket.of("publishData");
  world.socket.end();
  await world.pass(300);
  world.socket.open();
  world.socket.say(joined({ lastRequest: first.id }));
  for (const [promise, outcome] of [[handled, "unknown"], [not, "not_done"]]) {
    const error = await promise;
    assert.ok(error instanceof LostError);
    assert.equal(error.outcome, outcome);
  }
});

test("a session that is gone is joined anew, with the refreshed token", async () => {
  const world = new World();
  const { room, names, events } = await enter(world, { participants: [person("bob")] });
  const fresh = token(world.time + 600_000, { fresh: true });
  world.socket.say({ type: "refreshToken", token: fresh, expiresAt: world.time + 600_000 });
  assert.equal(room.token, fresh);
  assert.deepEqual(events.at(-1), { event: "tokenRefreshed", args: [fresh, new Date(world.time + 600_000)] });
  const asked = room.localParticipant.setName("x").catch((e) => e);
  names();
  world.socket.end(4000);
  await world.pass(300);
  world.socket.open();
  world.socket.end(4010, "session_not_found");
  await settled();
  assert.equal(world.socket.protocols[1], `bearer.${fresh}`);
  assert.equal((await asked).outcome, "unknown");
  world.socket.open();
  world.socket.say(joined({ self: person("ada", { sid: "PA_ada2" }), participants: [person("bob", { sid: "PA_bob2" })] }));
  assert.deepEqual(names(), [
    "connectionStateChanged", "signalReconnecting", "connectionStateChanged", "reconnecting",
    "connectionStateChanged", "reconnected", "participantDisconnected", "participantConnected",
  ]);
  assert.equal(room.localParticipant.sid, "PA_ada2");
});

test("tokens: refreshed, then original, then the provider's; the last only when all have run out", async () => {
  const world = new World();
  let provided = 0;
  const another = token(world.time + 9e6, { provided: true });
  const original = token(world.time + 50_000);
  const { room } = await enter(world, {}, { token: original, tokenProvider: async () => (provided++, another) });
  world.socket.say({ type: "refreshToken", token: token(world.time + 10_000), expiresAt: world.time + 10_000 });
  const rejoin = async () => {
    world.socket.end(4000);
    await world.pass(300);
    world.socket.open();
    world.socket.end(4010);
    await settled();
    const used = world.socket.protocols[1];
    world.socket.open();
    world.socket.say(joined());
    return used;
  };
  await world.pass(20_000); // the refreshed one has run out
  assert.equal(await rejoin(), `bearer.${original}`);
  for (let i = 0; i < 4; i++) {
    world.socket.say({ type: "pong", time: world.time });
    await world.pass(10_000);
  }
  assert.equal(await rejoin(), `bearer.${another}`);
  assert.equal(provided, 1);
  assert.equal(room.token, another);
});

test("the server's word that a token has run out counts more than this page's clock", async () => {
  const world = new World();
  const good = token(world.time + 9e6, { good: true });
  let asked = 0;
  const room = new Room({ environment: world.environment, tokenProvider: () => (asked++, good) });
  const done = room.connect("ws://usher.example", token(world.time + 9e6));
  await settled();
  world.socket.open();
  world.socket.end(4501, "token_expired");
  await settled();
  assert.equal(world.socket.protocols[1], `bearer.${good}`);
  world.socket.open();
  world.socket.end(4501, "token_expired"); // a provider that gives what has run out
  await assert.rejects(done, (e) => e.reason === ConnectionErrorReason.NotAllowed && e.code === 4501 && /tokenProvider/.test(e.message));
  assert.equal(asked, 1);
  assert.equal(room.state, "disconnected");
});

test("a connect that fails says why", async () => {
  const world = new World();
  for (const [code, reason, kind, words] of [
    [4512, "origin_not_allowed", ConnectionErrorReason.NotAllowed, /"https:\/\/page.example" to `origins`/],
    [4500, "invalid_token", ConnectionErrorReason.NotAllowed, /not valid/],
    [4505, "room_not_found", ConnectionErrorReason.NotAllowed, /no such room/],
  ]) {
    const room = new Room({ environment: world.environment });
    const done = room.connect("ws://usher.example", "t");
    await settled();
    world.socket.open();
    world.socket.end(code, reason);
    await assert.rejects(done, (e) => e.reason === kind && e.closeReason === reason && words.test(e.message));
  }
  const room = new Room({ environment: world.environment });
  const done = room.connect("ws://usher.example", "t", { maxRetries: 2 });
  const before = world.sockets.length;
  const failed = assert.rejects(done, (e) => e.reason === ConnectionErrorReason.ServerUnreachable);
  for (let i = 0; i < 3; i++) {
    await world.pass(i ? 1200 : 0);
    world.socket.end();
  }
  await failed;
  assert.equal(world.sockets.length - before, 3);
  const slow = room.connect("ws://usher.example", "t", { maxRetries: 0 });
  const timedOut = assert.rejects(slow, (e) => e.reason === ConnectionErrorReason.Timeout);
  await world.pass(15_000);
  await timedOut;
  const cancelled = assert.rejects(room.connect("ws://usher.example", "t"), (e) => e.reason === ConnectionErrorReason.Cancelled);
  await settled();
  room.disconnect();
  await cancelled;
});

test("final codes end it, with LiveKit's reason", async () => {
  for (const [code, reason] of [
    [4507, DisconnectReason.DUPLICATE_IDENTITY], [4508, DisconnectReason.PARTICIPANT_REMOVED], [4509, DisconnectReason.ROOM_DELETED],
    [4503, DisconnectReason.PARTICIPANT_REMOVED], [1000, DisconnectReason.CLIENT_INITIATED],
  ]) {
    const world = new World();
    const { events, room } = await enter(world);
    world.socket.end(code);
    const { event, args } = events.at(-1);
    assert.equal(event, "disconnected");
    assert.equal(args[0], reason);
    assert.equal(args[1].code, code);
    assert.equal(room.state, "disconnected");
    await world.pass(60_000);
    assert.equal(world.sockets.length, 1);
    assert.equal(world.timers, 0);
  }
});

test("back-off grows, and honours the server's hint", async () => {
  const world = new World();
  await enter(world);
  world.socket.say({ type: "reconnect", afterMs: 7000 });
  world.socket.end(4000);
  await world.pass(6999);
  assert.equal(world.sockets.length, 1);
  await world.pass(1);
  assert.equal(world.sockets.length, 2);
  const gaps = [];
  for (let i = 0; i < 8; i++) {
    const before = world.time;
    world.socket.end();
    const n = world.sockets.length;
    while (world.sockets.length === n) await world.pass(50);
    gaps.push(world.time - before);
  }
  assert.deepEqual(gaps, [600, 1200, 2400, 4800, 9600, 10000, 10000, 10000]);
});

test("after the grace period nothing is promised any more", async () => {
  const world = new World();
  const { room, names } = await enter(world);
  world.socket.end();
  const asked = room.localParticipant.setName("x").catch((e) => e);
  names();
  while (room.state === "signalReconnecting") {
    await world.pass(1000);
    if (world.socket.readyState === 0) world.socket.end();
  }
  assert.deepEqual(names(), ["connectionStateChanged", "reconnecting"]);
  assert.equal((await asked).outcome, "not_done");
  await assert.rejects(room.localParticipant.setName("y"), LostError);
});

test("a reconnectPolicy may give up", async () => {
  const world = new World();
  const contexts = [];
  const { events } = await enter(world, {}, { reconnectPolicy: { nextRetryDelayInMs: (c) => (contexts.push(c), c.retryCount < 2 ? 10 : null) } });
  for (let i = 0; i < 3; i++) {
    world.socket.end();
    await world.pass(10);
  }
  assert.deepEqual(contexts.map((c) => c.retryCount), [0, 1, 2]);
  assert.equal(events.at(-1).event, "disconnected");
});

test("a connection that nothing is heard from is given up after two intervals", async () => {
  const world = new World();
  const { room } = await enter(world);
  world.socket.say({ type: "pong", time: world.time });
  const first = world.socket;
  const pings = () => first.of("ping").length;
  assert.equal(pings(), 1);
  await world.pass(15_000);
  assert.equal(pings(), 2, "asked after one interval of silence");
  first.say({ type: "pong", time: world.time });
  await world.pass(29_000);
  assert.equal(first.closedWith, null);
  await world.pass(2000);
  assert.equal(first.closedWith.code, 4002);
  assert.equal(room.state, "signalReconnecting");
  await world.pass(300);
  assert.equal(world.socket.open().type, "resume");
});

test("after sleep the connection is asked whether it lives", async () => {
  const world = new World();
  await enter(world);
  world.socket.say({ type: "pong", time: world.time });
  const [first] = world.sockets;
  await world.sleep(3_600_000);
  assert.equal(first.of("ping").length, 2);
  assert.equal(first.closedWith, null, "what was heard when says nothing");
  await world.pass(5000);
  assert.equal(first.closedWith.code, 4002);
  await world.pass(300);
  assert.equal(world.socket.open().type, "resume");
});

test("a hidden tab, whose timers run once a minute, notices a dead connection too", async () => {
  const world = new World();
  await enter(world);
  const [first] = world.sockets;
  for (let i = 0; i < 5; i++) {
    first.say({ type: "pong", time: world.time });
    await world.sleep(60_000);
    assert.equal(first.closedWith, null);
  }
  await world.sleep(60_000);
  assert.equal(first.closedWith.code, 4002);
});

test("online and a look at the page hurry; offline asks", async () => {
  const world = new World();
  await enter(world);
  const [first] = world.sockets;
  first.say({ type: "pong", time: world.time });
  world.isOffline = true;
  world.tell("offline");
  assert.equal(first.of("ping").length, 2);
  await world.pass(6000);
  assert.equal(first.closedWith.code, 4002);
  await world.pass(10_000);
  assert.equal(world.sockets.length, 1, "without a network there is no hurry");
  world.isOffline = false;
  world.tell("online");
  await settled();
  assert.equal(world.sockets.length, 2);
  assert.equal(world.socket.open().type, "resume");
});

test("reliable frames are acknowledged every 32, and after 5 s", async () => {
  const world = new World();
  await enter(world);
  const data = (reliable) => ({ type: "data", payload: 1, reliable });
  for (let i = 0; i < 31; i++) world.socket.say(data(true), data(false), { type: "presence", sid: "x", presence: {} });
  assert.equal(world.socket.of("ack").length, 0);
  world.socket.say(data(true));
  assert.deepEqual(world.socket.last("ack"), { type: "ack", received: 32 });
  world.socket.say(data(true));
  await world.pass(6000);
  assert.deepEqual(world.socket.last("ack"), { type: "ack", received: 33 });
  const n = world.socket.of("ack").length;
  await world.pass(6000);
  assert.equal(world.socket.of("ack").length, n, "not when nothing came");
});

test("a refusal is explained each time, though the server explains it once", async () => {
  const world = new World();
  const { room } = await enter(world);
  const ask = async (reply) => {
    const asked = room.localParticipant.publishData("x", { reliable: true }).catch((e) => e);
    world.socket.say({ type: "error", id: world.socket.last("publishData").id, code: "not_allowed", ...reply });
    return asked;
  };
  for (const reply of [{ permission: "canPublishData", layer: "live" }, {}]) {
    const error = await ask(reply);
    assert.ok(error instanceof PermissionError);
    assert.deepEqual([error.code, error.permission, error.layer], ["not_allowed", "canPublishData", "live"]);
    assert.match(error.message, /administrator/);
  }
  world.socket.say({ type: "participantUpdated", seq: 11, participant: person("ada", { version: 2 }), changed: ["permissions"] });
  assert.equal((await ask({})).permission, undefined, "that was before the change");
});

test("disconnect leaves, and ends everything", async () => {
  const world = new World();
  const { room, events } = await enter(world);
  const asked = room.localParticipant.publishData("x", { reliable: true }).catch((e) => e);
  const left = room.disconnect();
  assert.equal(world.socket.sent.at(-1).type, "leave");
  assert.equal(room.state, "disconnected");
  assert.deepEqual(events.at(-1).args[0], DisconnectReason.CLIENT_INITIATED);
  assert.equal((await asked).outcome, "unknown");
  world.socket.end(1000);
  await left;
  assert.equal(world.timers, 0);
});

test("remote calls are answered, and failures told in LiveKit's codes", async () => {
  const world = new World();
  const { room } = await enter(world);
  room.registerRpcMethod("roll", async ({ payload, responseTimeout }) => {
    assert.equal(responseTimeout, 5000);
    return String(JSON.parse(payload).sides - 2);
  });
  room.localParticipant.registerRpcMethod("no", () => {
    throw new RpcError(42, "no", "data");
  });
  room.registerRpcMethod("long", () => "x".repeat(15361));
  assert.throws(() => room.registerRpcMethod("roll", () => ""), /unregister/);
  const call = async (method) => {
    world.socket.say({ type: "rpc", rpc: `RPC_${method}`, method, payload: '{"sides":6}', deadline: world.time + 5000 });
    await settled();
    const { payload, error, rpc } = world.socket.last("rpcReply");
    assert.equal(rpc, `RPC_${method}`);
    return payload ?? [error.code, error.message, error.data];
  };
  assert.equal(await call("roll"), "4");
  assert.deepEqual(await call("no"), [42, "no", "data"]);
  assert.equal((await call("long"))[0], 1504);
  assert.equal((await call("none"))[0], 1400);
});

test("an address that the browser opens no connection to is said, not awaited", async () => {
  const world = new World();
  world.environment.socket = () => {
    throw new Error("insecure");
  };
  const room = new Room({ environment: world.environment });
  await assert.rejects(room.connect("http://usher.example", token(world.time + 3_600_000)), (error) => {
    assert.match(error.message, /browser opens no connection/);
    return error.name === "ConnectionError" && error.cause.message === "insecure";
  });
  assert.equal(room.state, "disconnected");
  assert.equal(world.timers, 0);
});

test("a tokenProvider that does not answer is not awaited for ever", async () => {
  const world = new World();
  const room = new Room({ environment: world.environment, tokenProvider: () => new Promise(() => {}) });
  const refused = assert.rejects(room.connect("https://usher.example", token(world.time - 1000)), (error) => /did not answer within 15 s/.test(error.message));
  await world.pass(20_000);
  await refused;
  assert.equal(room.state, "disconnected");
  assert.equal(world.timers, 0);
});

test("a reconnectPolicy that fails is as good as none; a close without a code is a cut", async (t) => {
  t.mock.method(console, "error", () => {});
  for (const nextRetryDelayInMs of [() => { throw new Error("the page's"); }, () => NaN]) {
    const world = new World();
    const { room } = await enter(world, {}, { reconnectPolicy: { nextRetryDelayInMs } });
    world.socket.end(1005);
    assert.equal(room.state, "signalReconnecting");
    await world.pass(300);
    assert.equal(world.sockets.length, 2);
    world.socket.open();
    world.socket.say(joined());
    assert.equal(room.state, "connected");
  }
});
