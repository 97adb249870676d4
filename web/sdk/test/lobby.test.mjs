import assert from "node:assert/strict";
import test from "node:test";

import { ConnectionError, ConnectionErrorReason, ConnectionState, DisconnectReason, LostError, PermissionError, Room } from "../usher.js";
import { World, enter, joined, of, permissions, person, settled } from "./fake.mjs";

const joinedAt = 1_764_000_000_000;
const waiter = (name, more = {}) => ({ sid: `PA_${name}`, identity: `anon:${name}`, name, joinedAt, ...more });

// knock connects without a token, as far as the server's word that one waits.
async function knock(world, opts = {}, options = {}) {
  const room = new Room({ environment: world.environment, ...options });
  const events = [];
  const emit = room.emit.bind(room);
  room.emit = (event, ...args) => {
    events.push({ event, args });
    return emit(event, ...args);
  };
  let outcome = "pending";
  const done = room.connect("https://usher.example", undefined, { room: "lobby", name: "Guest", ...opts }).then(() => (outcome = "in"), (e) => (outcome = e));
  await settled();
  world.socket.open();
  world.socket.say({ type: "waiting", session: "PA_guest" });
  return { room, events, done, outcome: () => outcome, names: () => events.splice(0).map((e) => e.event) };
}

test("without a token the room and the name are said, and connect resolves when one is let in", async () => {
  const world = new World();
  const { room, names, done, outcome } = await knock(world, { project: "acme" });
  assert.deepEqual(world.socket.protocols, ["usher.v1"]);
  assert.deepEqual(world.socket.last("join"), { type: "join", autoSubscribe: true, room: "lobby", project: "acme", name: "Guest" });
  assert.equal(room.state, ConnectionState.Waiting);
  assert.deepEqual(names(), ["connectionStateChanged", "connectionStateChanged", "waiting"]);
  for (let s = 0; s < 120; s += 5) { // longer than a connection may take to join
    await world.pass(5000);
    world.socket.say({ type: "pong", time: world.time });
  }
  assert.equal(outcome(), "pending");
  assert.equal(world.socket.closedWith, null, "for as long as it is answered");
  assert.equal(room.connect("https://usher.example", undefined, {}) instanceof Promise, true);
  assert.equal(world.sockets.length, 1, "asking again knocks once");
  world.socket.say(joined({ self: person("anon:guest", { sid: "PA_guest" }), sessionData: { slide: 3 }, start: { videoOff: true } }));
  await done;
  assert.equal(outcome(), "in");
  assert.deepEqual(names(), ["signalConnected", "connectionStateChanged", "connected"]);
  assert.deepEqual([room.sessionData, room.start, room.tokenIgnored], [{ slide: 3 }, { videoOff: true }, false]);
  assert.equal(room.waitingParticipants.size, 0);
});

test("a connection that waits is watched, and one that is cut knocks again with the newest name", async () => {
  const world = new World();
  const { room, names, outcome, done } = await knock(world);
  names();
  const renamed = room.localParticipant.setName("Gast");
  const asked = world.socket.last("updateMetadata");
  assert.deepEqual(asked, { type: "updateMetadata", name: "Gast", id: asked.id });
  world.socket.say({ type: "ok", id: asked.id });
  await renamed;
  const late = room.localParticipant.setName("Lost").catch((e) => e);
  for (let cut = 0; cut < 3; cut++) {
    world.socket.end();
    assert.deepEqual([room.state, outcome()], ["connecting", "pending"]);
    await world.pass(300 * 2 ** cut);
    world.socket.open();
    assert.equal(world.socket.last("join").name, "Gast");
    assert.equal(world.socket.last("resume"), undefined, "there is nothing to resume");
    world.socket.say({ type: "waiting", session: `PA_${cut}` });
    assert.equal(room.state, "waiting");
  }
  assert.ok((await late) instanceof LostError);
  const left = room.disconnect();
  world.socket.end(1000, "left");
  await Promise.all([left, done]);
  assert.equal(outcome().reason, ConnectionErrorReason.Cancelled);
});

test("whoever is denied is told so, and does not come back", async () => {
  const world = new World();
  const { room, events, done, outcome } = await knock(world);
  world.socket.end(4519, "not_admitted");
  await done;
  const error = outcome();
  assert.ok(error instanceof ConnectionError);
  assert.deepEqual([error.reason, error.reasonName, error.code, error.closeReason], [ConnectionErrorReason.NotAdmitted, "NotAdmitted", 4519, "not_admitted"]);
  assert.equal(of(events, "disconnected")[0][0], DisconnectReason.USER_REJECTED);
  assert.equal(room.state, "disconnected");
  await world.pass(120_000);
  assert.equal(world.sockets.length, 1);
});

test("leaving while waiting says so to the server", async () => {
  const world = new World();
  const { room, done, outcome } = await knock(world);
  const left = room.disconnect();
  assert.deepEqual(world.socket.last("leave"), { type: "leave" });
  world.socket.end(1000, "left");
  await left;
  await done;
  assert.equal(outcome().reason, ConnectionErrorReason.Cancelled);
});

test("what a waiting page asks for is refused in words", async () => {
  const world = new World();
  const { room } = await knock(world);
  const refused = room.listParticipants().catch((e) => e);
  world.socket.say({ type: "error", id: world.socket.last("listParticipants").id, code: "not_allowed", permission: "lobby", layer: "lobby" });
  const error = await refused;
  assert.ok(error instanceof PermissionError);
  assert.match(error.message, /waits to be let in/);
  await assert.rejects(room.localParticipant.publishData("x"), /connected/);
  world.socket.say(joined({ self: person("anon:guest", { sid: "PA_guest" }) }));
  assert.equal(room.state, "connected");
});

test("what was asked for while waiting is answered after one is let in", async () => {
  const world = new World();
  const { room } = await knock(world);
  const renamed = room.localParticipant.setName("Gast");
  world.socket.say(joined({ self: person("anon:guest", { sid: "PA_guest" }) }));
  world.socket.say({ type: "ok", id: world.socket.last("updateMetadata").id });
  await renamed;
});

test("a host sees who waits, by events and in a map, and answers one or all", async () => {
  const world = new World();
  const { room, events } = await enter(world, { waiting: [waiter("ann")] });
  assert.deepEqual([...room.waitingParticipants.values()], [{ sid: "PA_ann", identity: "anon:ann", name: "ann", joinedAt: new Date(joinedAt) }]);
  assert.equal(of(events, "waitingParticipantJoined").length, 0, "who waits at the first join is no news");
  world.socket.say({ type: "waitingParticipantJoined", participant: waiter("bob") });
  world.socket.say({ type: "waitingParticipantJoined", participant: waiter("bob", { name: "Robert" }) });
  assert.deepEqual(of(events, "waitingParticipantJoined").map(([p]) => p.name), ["bob", "Robert"]);
  assert.equal(room.waitingParticipants.get("PA_bob").name, "Robert");

  const requests = [[() => room.admit("PA_bob"), { type: "admitParticipant", sid: "PA_bob" }], [() => room.admit(), { type: "admitParticipant", all: true }],
    [() => room.deny("PA_bob"), { type: "denyParticipant", sid: "PA_bob" }], [() => room.deny(), { type: "denyParticipant", all: true }],
    [() => room.ejectParticipant({ identity: "x" }, { ban: true }), { type: "ejectParticipant", identity: "x", ban: true }],
    [() => room.ejectParticipant({ sid: "PA_x" }), { type: "ejectParticipant", sid: "PA_x" }],
    [() => room.updatePermissions({ "*": { canSend: ["audio"] } }), { type: "updatePermissions", data: { "*": { canSend: ["audio"] } } }],
    [() => room.updateSessionData({ a: 1 }), { type: "updateSessionData", data: { a: 1 } }],
    [() => room.updateSessionData({ a: 1 }, { merge: true, keysToDelete: ["b"] }), { type: "updateSessionData", data: { a: 1 }, mergeStrategy: "shallow-merge", keysToDelete: ["b"] }]];
  for (const [ask, want] of requests) {
    const asked = ask();
    const { id, ...sent } = world.socket.sent.at(-1);
    assert.deepEqual(sent, want);
    world.socket.say({ type: "ok", id });
    await asked;
  }
  for (const [what, ...args] of [["admit", undefined], ["deny", undefined], ["admit", {}], ["ejectParticipant", {}], ["ejectParticipant", { identity: "x", sid: "y" }]]) {
    await assert.rejects(room[what](...args), TypeError, `${what} of nobody is not of everybody`);
  }

  world.socket.say({ type: "waitingParticipantLeft", sid: "PA_bob", admitted: true }, { type: "waitingParticipantLeft", sid: "PA_ann", admitted: false });
  world.socket.say({ type: "waitingParticipantLeft", sid: "PA_unknown", admitted: false });
  assert.deepEqual(of(events, "waitingParticipantLeft").map(([p, admitted]) => [p.name, admitted]), [["Robert", true], ["ann", false]]);
  assert.equal(room.waitingParticipants.size, 0);
});

test("who waits, and the session data, are compared with a snapshot after a cut", async () => {
  const world = new World();
  const { room, events } = await enter(world, { waiting: [waiter("ann"), waiter("bob")], sessionData: { a: 1 } });
  const back = async (more) => {
    world.socket.end();
    await world.pass(600);
    world.socket.open();
    events.length = 0;
    world.socket.say(joined(more));
  };
  await back({ waiting: [waiter("bob"), waiter("joe")], sessionData: { a: 1, b: 2 } });
  assert.deepEqual([...room.waitingParticipants.keys()], ["PA_bob", "PA_joe"]);
  assert.deepEqual([of(events, "waitingParticipantLeft")[0][0].name, of(events, "waitingParticipantJoined")[0][0].name], ["ann", "joe"]);
  assert.deepEqual(of(events, "sessionDataChanged"), [[{ a: 1, b: 2 }]]);
  // What was missed follows a recovery: who waits is as it was until then, what is shared is told.
  await back({ recovered: true, participants: undefined, presence: {}, seq: 10, sessionData: { a: 3 } });
  assert.deepEqual([...room.waitingParticipants.keys()], ["PA_bob", "PA_joe"]);
  assert.deepEqual(of(events, "sessionDataChanged"), [[{ a: 3 }]]);
  world.socket.say({ type: "sessionData", data: { a: 3 } }, { type: "sessionData", data: {} });
  assert.deepEqual(of(events, "sessionDataChanged"), [[{ a: 3 }], [{}]]);
});

test("session data and who waits do not count for a resume as the server counts", async () => {
  const world = new World();
  await enter(world);
  world.socket.say({ type: "sessionData", data: { a: 1 } }, { type: "waitingParticipantJoined", participant: waiter("ann") });
  world.socket.end();
  await world.pass(300);
  assert.equal(world.socket.open().received, 1);
});

test("owners, and the time that somebody has", async () => {
  const world = new World();
  const { room, events } = await enter(world, {
    self: person("ada", { permissions: { ...permissions, owner: true, admin: ["participants"] } }),
    participants: [person("bob", { willEjectAt: joinedAt + 60_000 })],
  });
  const bob = room.remoteParticipants.get("bob");
  assert.deepEqual([room.localParticipant.isOwner, bob.isOwner, room.localParticipant.willEjectAt], [true, false, undefined]);
  assert.deepEqual(bob.willEjectAt, new Date(joinedAt + 60_000));
  world.socket.say({ type: "participantUpdated", seq: 11, changed: ["willEjectAt"], participant: person("bob", { willEjectAt: joinedAt + 90_000 }) });
  world.socket.say({ type: "participantUpdated", seq: 12, changed: ["willEjectAt"], participant: person("bob") });
  world.socket.say({ type: "participantUpdated", seq: 13, changed: ["name"], participant: person("bob", { name: "Bob" }) });
  assert.deepEqual(of(events, "stayLimitChanged").map(([at, who]) => [at?.getTime(), who.identity]), [[joinedAt + 90_000, "bob"], [undefined, "bob"]]);
  world.socket.end(4517, "time_limit");
  assert.equal(of(events, "disconnected")[0][0], DisconnectReason.PARTICIPANT_REMOVED);
  assert.match(of(events, "disconnected")[0][1].message, /time/);
});

test("a session that is lost may have to wait again", async () => {
  const world = new World();
  const { room, names } = await enter(world);
  names();
  world.socket.end();
  await world.pass(300);
  world.socket.open();
  world.socket.end(4010);
  await settled();
  world.socket.open();
  world.socket.say({ type: "waiting", session: "PA_2" });
  assert.equal(room.state, "waiting");
  let outcome = "pending";
  room.connect("https://usher.example", "").then(() => (outcome = "in"), (e) => (outcome = e));
  await settled();
  assert.equal(outcome, "pending", "one is not in");
  world.socket.say(joined({ self: person("ada", { sid: "PA_2" }) }));
  await settled();
  assert.deepEqual([room.state, outcome], ["connected", "in"]);
  assert.deepEqual(names().filter((n) => n !== "connectionStateChanged"), ["signalReconnecting", "reconnecting", "waiting", "reconnected"]);
});

test("whoever waits again and is denied is told so by connect, too", async () => {
  const world = new World();
  const { room, events } = await enter(world);
  world.socket.end();
  await world.pass(300);
  world.socket.open();
  world.socket.end(4010);
  await settled();
  world.socket.open();
  world.socket.say({ type: "waiting", session: "PA_2" });
  const asked = room.connect("https://usher.example", "").catch((e) => e);
  world.socket.end(4519, "not_admitted");
  const error = await asked;
  assert.ok(error instanceof ConnectionError);
  assert.deepEqual([error.reasonName, of(events, "disconnected").length], ["NotAdmitted", 1]);
});

test("a page that waits doubts its connection when the network or the page comes back", async () => {
  const world = new World();
  await knock(world);
  for (const what of ["online", "awake"]) {
    const before = world.socket.of("ping").length;
    world.tell(what);
    assert.equal(world.socket.of("ping").length, before + 1, what);
    world.socket.say({ type: "pong", time: world.time });
  }
  world.tell("online");
  await world.pass(60_000); // and nothing is heard
  assert.ok(world.sockets.length > 1, "it does not knock again");
});

test("nothing of a room is left after its end", async () => {
  const world = new World();
  const { room } = await enter(world, { waiting: [waiter("ann")], sessionData: { a: 1 }, start: { videoOff: true }, tokenIgnored: true });
  assert.deepEqual([room.sessionData, room.start, room.tokenIgnored], [{ a: 1 }, { videoOff: true }, true]);
  world.socket.end(4518, "ejected");
  assert.deepEqual([room.sessionData, room.start, room.tokenIgnored, room.waitingParticipants.size], [{}, {}, false, 0]);
});
