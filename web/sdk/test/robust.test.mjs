// What goes wrong: tokens for another room, listeners that end it all, messages
// that cannot be read, pages that wake and go, capture that breaks.

import assert from "node:assert/strict";
import test from "node:test";

import { DisconnectReason, MediaDeviceFailure, MediaError, RequestError, Room, RoomEvent } from "../usher.js";
import { environment } from "../environment.js";
import { fragment } from "../frames.js";
import { readAudio, readVideo } from "../media/frames.js";
import { World, camera, enter, joined, of, permissions, person, rejoin, settled, stub, token, video } from "./fake.mjs";

const stage = { sid: "RM_2", name: "stage", metadata: "", numParticipants: 1, maxParticipants: 0, createdAt: 0 };

/** lose cuts the connection, and has the server not know the session any more. */
async function lose(world) {
  world.socket.end();
  await world.pass(600);
  world.socket.open();
  world.socket.end(4010, "session_not_found");
  await settled();
}

test("after a move the original token is good for nothing: refreshed, else the provider's", async () => {
  const world = new World();
  const fresh = token(world.time + 600_000, { fresh: true });
  const provided = token(world.time + 9e6, { provided: true });
  const { events } = await enter(world, {}, { tokenProvider: () => provided });
  world.socket.say({ ...joined({ seq: 1, room: stage }), type: "moved", token: fresh, expiresAt: world.time + 600_000 });
  await lose(world);
  assert.equal(world.socket.protocols[1], `bearer.${fresh}`);
  world.socket.open();
  world.socket.end(4501, "token_expired");
  await settled();
  assert.equal(world.socket.protocols[1], `bearer.${provided}`, "not the original, which has not run out");
  assert.equal(world.socket.open().room, "stage");
  world.socket.say(joined({ room: { ...stage, sid: "RM_3" } })); // made anew
  assert.equal(of(events, "moved").length, 1);
});

test("after a move without a token there is none, and that is said", async () => {
  const moves = [
    (world) => world.socket.say({ ...joined({ seq: 1, room: stage }), type: "moved" }),
    async (world) => { // nobody could tell
      world.socket.end();
      await world.pass(300);
      world.socket.open();
      world.socket.say(joined({ room: stage }));
    },
  ];
  for (const move of moves) {
    const world = new World();
    const { room, events } = await enter(world);
    world.socket.say({ type: "refreshToken", token: token(world.time + 600_000), expiresAt: world.time + 600_000 });
    await move(world);
    assert.equal(room.token, undefined);
    await lose(world);
    assert.equal(room.state, "disconnected");
    const [[reason, detail]] = of(events, "disconnected");
    assert.deepEqual([reason, detail.reason], [DisconnectReason.JOIN_FAILURE, "no_token"]);
    assert.match(detail.message, /no token for the room that the server moved/);
    assert.equal(world.timers, 0);
  }
});

test("after a move a refreshed token that has run out is the last, and the server's word final", async () => {
  const world = new World();
  const { room, events } = await enter(world);
  const fresh = token(world.time + 600_000, { fresh: true });
  world.socket.say({ ...joined({ seq: 1, room: stage }), type: "moved", token: fresh, expiresAt: world.time + 600_000 });
  world.socket.say({ type: "pong", time: world.time + 700_000 }); // the page's clock is behind
  await lose(world);
  assert.equal(world.socket.protocols[1], `bearer.${fresh}`);
  world.socket.open();
  world.socket.end(4501, "token_expired");
  assert.equal(room.state, "disconnected");
  assert.match(of(events, "disconnected")[0][1].message, /run out/);
});

test("a join that leads to another room is a move", async () => {
  const world = new World(), media = stub();
  const { room, events } = await camera(world, media);
  world.socket.say({ type: "participantJoined", seq: 11, participant: person("bob") });
  await lose(world);
  world.socket.open();
  events.length = 0;
  world.socket.say(joined({ self: person("ada", { sid: "PA_2" }), room: stage, participants: [person("eve")] }));
  assert.deepEqual(events.map((e) => e.event), [
    "connectionStateChanged", "reconnected", "localTrackUnpublished", "participantDisconnected", "moved", "participantConnected",
  ]);
  assert.deepEqual([of(events, "moved"), room.name], [[["stage"]], "stage"]);
});

test("who disconnects in a listener is the last to hear", async () => {
  const moved = { ...joined({ seq: 20, room: stage, participants: [person("eve")] }), type: "moved" };
  const cut = async (world) => {
    world.socket.end();
    await world.pass(300);
    world.socket.open();
  };
  const last = ["connectionStateChanged", "disconnected"];
  for (const [on, what, want] of [
    ["reconnected", async (w) => (await cut(w), w.socket.say(joined({ participants: [person("eve")] }))), ["reconnected", ...last]],
    ["participantConnected", async (w) => (await cut(w), w.socket.say(joined({ participants: [person("eve"), person("joe")] }))),
      ["reconnected", "participantDisconnected", "participantConnected", ...last]],
    ["signalReconnecting", cut, ["signalReconnecting", ...last]],
    ["participantDisconnected", (w) => w.socket.say(moved), ["participantDisconnected", ...last]],
    ["participantConnected", (w) => w.socket.say({
      type: "participants", seq: 13, numParticipants: 4,
      changes: [11, 12, 13].map((seq) => ({ type: "participantJoined", seq, participant: person(`p${seq}`, { tracks: [video("TR_1", 1)] }) })),
    }), ["participantConnected", ...last]],
  ]) {
    const world = new World();
    const { room, events } = await enter(world, { participants: [person("bob")] });
    room.on(on, () => room.disconnect());
    events.length = 0;
    await Promise.resolve(what(world)).catch((e) => assert.match(e.message, /onopen/)); // there is no socket to open
    await settled();
    assert.deepEqual(events.map((e) => e.event).slice(-want.length), want, on);
    assert.equal(of(events, "disconnected").length, 1);
    assert.deepEqual([room.state, room.remoteParticipants.size], ["disconnected", 0], on);
    const sockets = world.sockets.length;
    await world.pass(60_000);
    assert.deepEqual([world.sockets.length, world.timers], [sockets, 0], on);
  }
});

test("who disconnects and connects again in a listener hears of the new connection alone", async () => {
  const world = new World();
  const { room, events } = await enter(world, { participants: [person("bob")] });
  world.socket.end();
  await world.pass(300);
  world.socket.open();
  let again;
  room.once(RoomEvent.Reconnected, () => {
    room.disconnect();
    events.length = 0;
    again = room.connect("https://usher.example", "");
  });
  world.socket.say(joined({ participants: [person("eve")] }));
  await settled();
  world.socket.open();
  world.socket.say(joined({ participants: [person("joe")] }));
  await again;
  assert.deepEqual(events.map((e) => e.event), ["connectionStateChanged", "signalConnected", "connectionStateChanged", "connected"]);
  assert.deepEqual([...room.remoteParticipants.keys()], ["joe"]);
});

test("a track that may not be published again has ended, and is told of once", async () => {
  for (const [code, told] of [["not_allowed", 0], ["limit_exceeded", 1]]) {
    const world = new World(), media = stub();
    const { room, events } = await camera(world, media);
    events.length = 0;
    await rejoin(world);
    world.socket.say({ type: "error", id: world.socket.last("publishTrack").id, code, message: "x" });
    await settled();
    const { localParticipant: me } = room;
    assert.equal(of(events, "localTrackUnpublished").length, 1);
    assert.deepEqual(of(events, "mediaDevicesError").map(([error, ...of]) => [error.code, ...of]), told ? [[code, "videoinput", "camera", me]] : []);
    assert.ok(media.made.senders[0].stopped);
    assert.equal(media.made.captured[0].readyState, "ended");
    assert.equal(me.getTrackPublication("camera"), undefined);
    const on = me.setCameraEnabled(true); // from the beginning
    await settled();
    world.socket.say({ type: "ok", id: world.socket.last("publishTrack").id, track: video("TR_3", 9) });
    assert.ok(await on);
    assert.equal(media.made.senders.length, 2);
  }
});

test("a message that cannot be read is passed over, and counts", async (t) => {
  const shown = t.mock.method(console, "error", () => {});
  const world = new World();
  const { events } = await enter(world);
  world.socket.say({ type: "data", payload: "%%%", encoding: "base64", reliable: true }, { type: "participantJoined", seq: 11 });
  world.socket.onmessage({ data: "no JSON" });
  world.socket.say({ type: "data", payload: "AQL/", encoding: "base64", reliable: true });
  assert.deepEqual(of(events, "dataReceived").map(([bytes]) => [...bytes]), [[1, 2, 255]]);
  assert.equal(shown.mock.callCount(), 2 + 1);
  await world.pass(6000);
  assert.deepEqual(world.socket.last("ack"), { type: "ack", received: 4 });
});

test("what could be read of a message is told", async (t) => {
  t.mock.method(console, "error", () => {});
  const world = new World();
  const { room, events } = await enter(world);
  world.socket.say({ type: "participantJoined", seq: 11, participant: person("bob", { tracks: 7 }) });
  assert.deepEqual(of(events, "participantConnected").map(([p]) => p.identity), ["bob"]);
  assert.ok(room.remoteParticipants.has("bob"));
});

test("a snapshot that cannot be read ends it", async (t) => {
  t.mock.method(console, "error", () => {});
  const world = new World();
  const { room, events } = await enter(world);
  const { socket } = world;
  socket.say({ ...joined(), type: "moved", room: undefined });
  assert.equal(room.state, "disconnected");
  assert.deepEqual(of(events, "disconnected")[0][1].code, 4520);
  assert.equal(socket.closedWith.code, 1000);
});

test("a message counts when it has been handled, whatever a listener does", async () => {
  const shown = [];
  globalThis.reportError = (e) => shown.push(e.message);
  const world = new World();
  const { room } = await enter(world);
  const acks = [];
  room.on(RoomEvent.DataReceived, () => {
    acks.push(world.socket.of("ack").length);
    throw new Error("the page's");
  });
  for (let i = 0; i < 32; i++) world.socket.say({ type: "data", payload: i, reliable: true });
  assert.equal(shown.length, 32);
  assert.deepEqual([acks.at(-1), world.socket.of("ack")], [0, [{ type: "ack", received: 32 }]]);
  assert.equal(room.state, "connected");
});

test("a page that goes away leaves, and rooms that have ended are not kept for it", async () => {
  const page = new EventTarget();
  const before = ["document", "addEventListener", "removeEventListener"].map((name) => [name, globalThis[name]]);
  const heard = [];
  Object.assign(globalThis, {
    document: page,
    addEventListener: (event, f) => (heard.push([event, f]), page.addEventListener(event, f)),
    removeEventListener: (event, f) => (heard.splice(heard.findIndex((h) => h[0] === event && h[1] === f), 1), page.removeEventListener(event, f)),
  });
  try {
    for (const end of [(w) => w.socket.end(4508), (_, room) => room.disconnect(), () => page.dispatchEvent(new Event("pagehide"))]) {
      const world = new World();
      world.environment.watch = environment.watch;
      const { room } = await enter(world);
      const { socket } = world;
      assert.equal(heard.filter(([event]) => event === "pagehide").length, 1);
      end(world, room);
      assert.deepEqual([room.state, heard], ["disconnected", []]);
      if (socket.readyState !== 3) assert.equal(socket.sent.at(-1).type, "leave");
    }
    const world = new World();
    world.environment.watch = environment.watch;
    const { room } = await enter(world, {}, { disconnectOnPageLeave: false });
    page.dispatchEvent(new Event("pagehide"));
    assert.equal(room.state, "connected");
    room.disconnect();
  } finally {
    for (const [name, value] of before) globalThis[name] = value;
  }
});

test("attributes may be called like what every object has", async () => {
  const world = new World();
  const { room, events } = await enter(world, { participants: [person("bob")] });
  const say = (seq, json) => {
    const text = JSON.stringify({ type: "participantUpdated", seq, participant: person("bob") });
    world.socket.onmessage({ data: text.replace('"attributes":{}', `"attributes":${json}`) });
  };
  say(11, '{"constructor":"a","__proto__":"b","toString":"c"}');
  say(12, '{"toString":"d"}');
  const changes = of(events, "participantAttributesChanged").map(([changed]) => Object.entries(changed));
  assert.deepEqual(changes, [
    [["constructor", "a"], ["__proto__", "b"], ["toString", "c"]],
    [["constructor", ""], ["__proto__", ""], ["toString", "d"]],
  ]);
  assert.deepEqual(Object.entries(room.remoteParticipants.get("bob").attributes), [["toString", "d"]]);
});

test("words of the server's that every object knows are words", async () => {
  const world = new World();
  const odd = { sid: "TR_1", handle: 1, kind: "constructor", source: "constructor", name: "", muted: false };
  const { room } = await enter(world, { participants: [person("bob", { tracks: [odd] })] });
  assert.equal(room.remoteParticipants.get("bob").getTrackPublications()[0].source, "constructor");
  const refused = room.localParticipant.setName("x").catch((e) => e);
  world.socket.say({ type: "error", id: world.socket.last("updateMetadata").id, code: "not_allowed", permission: "p", layer: "constructor" });
  assert.match((await refused).message, /the layer "constructor" denies it/);
});

test("setPermissions keeps every permission that it knows of, and passes on what is named", async () => {
  const world = new World();
  const bob = { ...permissions, canUpdateOwnMetadata: true, canSubscribeMetrics: true, canManageAgentSession: true, recorder: true };
  const { room } = await enter(world, { participants: [person("bob", { permissions: bob }), person("eve")] });
  const sent = (identity, changes) => {
    room.remoteParticipants.get(identity).setPermissions(changes).catch(() => {});
    return world.socket.last("updateParticipant").permission;
  };
  const rest = { canSubscribe: true, canPublish: true, canPublishData: true, canPublishSources: [], hidden: false };
  assert.deepEqual(sent("bob", { canPublish: false }), { ...rest, canPublish: false, canUpdateMetadata: true, canSubscribeMetrics: true, canManageAgentSession: true });
  assert.deepEqual(sent("bob", { canSubscribeMetrics: false, canUpdateOwnMetadata: false }),
    { ...rest, canUpdateMetadata: false, canSubscribeMetrics: false, canManageAgentSession: true });
  assert.deepEqual(sent("eve", { canManageAgentSession: true }), { ...rest, canUpdateMetadata: false, canManageAgentSession: true });
  assert.equal(sent("eve", { canPublsh: true }).canPublsh, true, "the server says that there is no such name");
});

test("a wake hurries once, however often it is told of", async () => {
  const world = new World();
  await enter(world);
  const fail = async () => {
    world.socket.end();
    await settled();
  };
  await fail();
  for (let i = 0; i < 8; i++) {
    await world.pass(10_000);
    await fail();
  }
  const before = world.sockets.length;
  for (const what of ["online", "awake", "awake", "online", "awake"]) {
    world.tell(what);
    await settled();
    if (world.socket.readyState === 0) await fail();
  }
  assert.equal(world.sockets.length, before + 1);
  await world.pass(9999);
  assert.equal(world.sockets.length, before + 1, "the back-off goes on as it was");
  await world.pass(1);
  assert.equal(world.sockets.length, before + 2);
  await fail();
  world.tell("awake"); // another one
  await settled();
  assert.equal(world.sockets.length, before + 3);
});

test("a tokenProvider that fails or does not answer is told of, and asked again", async () => {
  for (const [provider, words] of [
    [() => new Promise(() => {}), /tokenProvider did not answer within 15 s/],
    [() => Promise.reject(new Error("no network")), /tokenProvider has failed: no network/],
    [() => "", /tokenProvider has failed: .*no token/],
  ]) {
    const world = new World();
    let give = provider;
    const { room, events } = await enter(world, {}, { token: token(world.time + 1000), tokenProvider: () => give() });
    world.socket.say({ type: "pong", time: world.time + 2000 });
    await lose(world);
    await world.pass(15_000);
    assert.equal(room.state, "reconnecting");
    const [[error]] = of(events, "tokenProviderFailed");
    assert.match(error.message, words);
    assert.deepEqual([error.name, error.code], ["TokenProviderError", "token_provider"]);
    const good = token(world.time + 9e6);
    give = () => good;
    const n = world.sockets.length;
    while (world.sockets.length === n) await world.pass(1000);
    assert.equal(world.socket.protocols[1], `bearer.${good}`);
    room.disconnect();
  }
});

test("errors of devices are told apart from the server's, and name the source", async () => {
  const world = new World(), media = stub();
  const { room, events } = await enter(world, {}, { media });
  const navigator = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  const { capture } = await import("../media/capture.js");
  media.capture = capture;
  try {
    for (const [browser, code, failure] of [
      ["NotFoundError", "device_not_found", "NotFound"], ["NotAllowedError", "denied", "PermissionDenied"],
      ["NotReadableError", "in_use", "DeviceInUse"], ["OverconstrainedError", "constraints", "Other"],
    ]) {
      const mediaDevices = { getUserMedia: async () => { throw new DOMException("x", browser); } };
      Object.defineProperty(globalThis, "navigator", { value: { mediaDevices }, configurable: true });
      for (const [on, source, kind] of [["setCameraEnabled", "camera", "videoinput"], ["setMicrophoneEnabled", "microphone", "audioinput"]]) {
        events.length = 0;
        const error = await room.localParticipant[on](true).catch((e) => e);
        assert.ok(error instanceof MediaError && !(error instanceof RequestError));
        assert.deepEqual([error.code, error.source, MediaDeviceFailure.getFailure(error)], [code, source, failure]);
        assert.deepEqual(of(events, "mediaDevicesError"), [[error, kind, source, room.localParticipant]]);
      }
    }
  } finally {
    Object.defineProperty(globalThis, "navigator", navigator ?? { value: undefined, configurable: true });
  }
});

test("a capture that breaks ends the publication, and the page is told", async () => {
  const world = new World(), media = stub();
  const { room, events } = await camera(world, media);
  const error = new MediaError("capture", "broken", { source: "camera" });
  media.made.senders[0].options.onError(error);
  assert.deepEqual(of(events, "mediaDevicesError"), [[error, "videoinput", "camera", room.localParticipant]]);
  assert.equal(of(events, "localTrackUnpublished").length, 1);
  assert.equal(world.socket.last("unpublishTrack").trackSid, "TR_1");
  assert.equal(media.made.captured[0].readyState, "ended");
});

/** processor has tracks give what is in their frames, and then nothing, or an error. */
function processor() {
  globalThis.MediaStreamTrackProcessor = class {
    constructor({ track }) {
      this.readable = new ReadableStream({
        pull: (c) => (track.frames.length ? c.enqueue(track.frames.shift()) : track.error ? c.error(track.error) : undefined),
        cancel: () => (track.cancelled = true),
      });
    }
  };
}

test("a reader that cannot go on says so; the end of a track, and of reading, is none of its business", async () => {
  processor();
  const frame = () => ({ close() {} });
  for (const read of [readVideo, readAudio]) {
    const run = async (track, take, after = () => {}) => {
      const failures = [];
      after(read(track, take, (e) => failures.push(e.message)));
      await settled();
      return failures;
    };
    const broken = { frames: [frame(), frame()] };
    assert.deepEqual(await run(broken, () => { throw new Error("taken badly"); }), ["taken badly"]);
    assert.equal(broken.frames.length <= 1 && broken.cancelled, true);
    assert.deepEqual(await run({ frames: [frame()], error: new Error("lost") }, () => {}), ["lost"]);
    assert.deepEqual(await run({ frames: [], error: new Error("x"), readyState: "ended" }, () => {}), []);
    assert.deepEqual(await run({ frames: [frame()] }, () => { throw new Error("x"); }, (end) => end()), []);
  }
});

test("a sender whose track cannot be read any more says so", async () => {
  processor();
  globalThis.AudioEncoder = class {
    static isConfigSupported = async () => ({ supported: true });
    state = "configured";
    constructor({ output }) {
      this.output = output;
    }
    configure() {}
    encode({ timestamp }) {
      this.output({ timestamp, byteLength: 1, copyTo() {} }, { decoderConfig: { codec: "opus", sampleRate: 48000, numberOfChannels: 1 } });
    }
    close() {
      this.state = "closed";
    }
  };
  const { createAudioSender } = await import("../media/audio-sender.js");
  const sound = (timestamp) => ({ timestamp, sampleRate: 48000, numberOfChannels: 1, numberOfFrames: 1, copyTo() {}, close() {} });
  const track = { readyState: "live", frames: [sound(0)] };
  const errors = [];
  const make = () => createAudioSender({ track, source: "microphone", send() {}, onError: (e) => errors.push(e) });
  await make(); // it gives one sound, and then nothing more
  assert.deepEqual(errors, []);
  Object.assign(track, { frames: [sound(0), null] });
  await make();
  await settled();
  assert.deepEqual(errors.map((e) => [e.code, e.source]), [["capture", "microphone"]]);
  Object.assign(track, { frames: [null] });
  await assert.rejects(make(), { code: "capture" });
});

test("another track of the same kind goes through the same sender", async () => {
  const world = new World(), media = stub();
  const { room } = await camera(world, media);
  const { track } = room.localParticipant.getTrackPublication("camera");
  const [sender] = media.made.senders;
  const other = new MediaStreamTrack("video");
  await track.replaceTrack(other);
  assert.deepEqual([sender.track, sender.stopped, media.made.senders.length], [other, false, 1]);
  assert.equal(media.made.captured[0].readyState, "ended");
  assert.equal(world.socket.of("unpublishTrack").length, 0);
});

test("a receiver is told of frames that were begun and not completed", async () => {
  const world = new World(), media = stub();
  await enter(world, { participants: [person("bob", { tracks: [video("TR_1", 5)] })] }, { media });
  world.socket.say({ type: "trackSubscribed", participantSid: "PA_bob", track: video("TR_1", 5) });
  await settled();
  const [receiver] = media.made.receivers;
  const frame = (key, layer, size = 40_000) => ({ key, layer, timestamp: 7, data: new Uint8Array(size) });
  let n = 0;
  const begin = (f) => world.socket.say(fragment(5, ++n, f)[0]);
  const whole = (f) => world.socket.say(...fragment(5, ++n, f));
  whole(frame(true, 0));
  begin(frame(false, 2));
  whole(frame(false, 0, 10));
  assert.deepEqual(receiver.losses, [2]);
  begin(frame(false, 0));
  whole(frame(false, 1, 10));
  assert.deepEqual(receiver.losses, [2, 0]);
  begin(frame(false, 0));
  whole(frame(true, 0, 10));
  assert.deepEqual(receiver.losses, [2, 0], "a key frame makes up for it");
  assert.equal(receiver.frames.length, 4);
});
