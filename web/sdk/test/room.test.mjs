import assert from "node:assert/strict";
import test from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { Room, RoomEvent, Track, decodeToken } from "../usher.js";
import { fragment, parseFragment } from "../frames.js";
import { packData, unpackData } from "../data.js";
import { World, camera, enter, joined, of, permissions, person, rejoin, settled, stub, video } from "./fake.mjs";

test("who is there at the first join is no news; who comes later is", async () => {
  const world = new World();
  const { room, events } = await enter(world, { participants: [person("bob", { tracks: [video("TR_1", 1)] })] });
  assert.equal(of(events, "participantConnected").length, 0);
  assert.deepEqual([...room.remoteParticipants.keys()], ["bob"]);
  assert.equal(room.remoteParticipants.get("bob").getTrackPublication(Track.Source.Camera).trackSid, "TR_1");
  assert.equal(room.numParticipants, 2);
  world.socket.say({ type: "participantJoined", seq: 11, participant: person("eve") });
  assert.equal(of(events, "participantConnected")[0][0].identity, "eve");
  assert.equal(room.numParticipants, 3);
  world.socket.say({ type: "participantJoined", seq: 11, participant: person("eve") }); // had it
  world.socket.say({ type: "participantLeft", seq: 12, sid: "PA_bob", identity: "bob", reason: "CLIENT_INITIATED" });
  assert.deepEqual(events.slice(-3).map((e) => e.event), ["participantCountChanged", "trackUnpublished", "participantDisconnected"]);
  assert.deepEqual([...room.remoteParticipants.keys()], ["eve"]);
  assert.equal(room.numParticipants, 2);
});

test("a snapshot is compared with what the page has, and the difference told after Reconnected", async () => {
  const world = new World();
  const { room, events } = await enter(world, { participants: [person("bob", { tracks: [video("TR_1", 1), video("TR_2", 2)] }), person("eve"), person("joe")] });
  world.socket.end();
  await world.pass(300);
  world.socket.open();
  events.length = 0;
  world.socket.say(joined({
    seq: 50,
    participants: [
      person("bob", { name: "Bob", tracks: [video("TR_1", 1, { muted: true }), video("TR_3", 3)], presence: { x: 1 } }),
      person("eve", { permissions: { ...permissions, canPublish: false } }),
      person("sue", { tracks: [video("TR_4", 4)] }),
    ],
  }));
  assert.deepEqual(events.map((e) => e.event), [
    "connectionStateChanged", "reconnected",
    "participantDisconnected", // joe
    "participantNameChanged", "trackUnpublished", "trackMuted", "trackPublished", "presenceChanged", // bob
    "participantPermissionsChanged", // eve
    "participantConnected", "trackPublished", // sue
  ]);
  assert.deepEqual(of(events, "participantPermissionsChanged")[0][0].canPublish, true, "the permissions before");
  assert.deepEqual([...room.remoteParticipants.keys()].toSorted(), ["bob", "eve", "sue"]);
  world.socket.say({ type: "participantLeft", seq: 50, sid: "PA_bob", identity: "bob", reason: "UNKNOWN_REASON" });
  assert.ok(room.remoteParticipants.has("bob"), "the snapshot has it");
});

test("several participants of one person are all there", async () => {
  const world = new World();
  const { room } = await enter(world, { participants: [person("bob"), person("bob", { sid: "PA_bob2" })] });
  assert.deepEqual([...room.remoteParticipants.keys()], ["bob", "PA_bob2"]);
  assert.equal(room.getParticipantsByIdentity("bob").length, 2);
  world.socket.say({ type: "participantLeft", seq: 11, sid: "PA_bob", identity: "bob", reason: "CLIENT_INITIATED" });
  assert.deepEqual([...room.remoteParticipants].map(([k, p]) => [k, p.sid]), [["bob", "PA_bob2"]]);
});

test("big rooms: who is only counted is counted", async () => {
  const world = new World();
  const first = joined({ participants: [person("bob")] });
  const { room, events } = await enter(world, { ...first, room: { ...first.room, numParticipants: 5000 } });
  assert.equal(room.numParticipants, 5000);
  world.socket.say({
    type: "participants", seq: 12, numParticipants: 5001,
    changes: [{ type: "participantJoined", seq: 11, participant: person("eve") }, { type: "participantLeft", seq: 12, sid: "PA_x", identity: "x", reason: "CLIENT_INITIATED" }],
  });
  assert.equal(room.numParticipants, 5001);
  assert.equal(of(events, "participantConnected").length, 1);
  const page = room.listParticipants({ limit: 2 });
  const asked = world.socket.last("listParticipants");
  assert.deepEqual(asked, { type: "listParticipants", limit: 2, id: asked.id });
  world.socket.say({ type: "ok", id: asked.id, participants: [person("a"), person("b")], next: "n", numParticipants: 5001 });
  assert.equal((await page).next, "n");
});

test("data: bytes come as bytes, JSON as both", async () => {
  assert.deepEqual(packData(Uint8Array.of(1, 2, 255)), { payload: "AQL/", encoding: "base64" });
  assert.deepEqual(packData(new Uint16Array([1]).buffer), { payload: "AQA=", encoding: "base64" });
  assert.deepEqual(packData({ a: 1 }), { payload: { a: 1 } });
  assert.throws(() => packData(undefined), TypeError);
  assert.deepEqual(unpackData({ payload: "AQL/", encoding: "base64" }).payload, Uint8Array.of(1, 2, 255));
  const large = new Uint8Array(200_000).map((_, i) => i);
  assert.deepEqual(unpackData(packData(large)).payload, large);

  const world = new World();
  const { room, events } = await enter(world, { participants: [person("bob")] });
  world.socket.say(
    { type: "data", from: { sid: "PA_bob", identity: "bob" }, topic: "chat", payload: "hé", reliable: true },
    { type: "data", topic: "", payload: { n: [1] }, reliable: false },
  );
  const [one, two] = of(events, "dataReceived");
  assert.equal(new TextDecoder().decode(one[0]), "hé");
  assert.deepEqual(one.slice(2), [0, "chat", undefined, "bob", "hé"]);
  assert.equal(one[1], room.remoteParticipants.get("bob"));
  assert.deepEqual([JSON.parse(new TextDecoder().decode(two[0])), two[1], two[2], two[6]], [{ n: [1] }, undefined, 1, { n: [1] }]);
});

test("moved: acknowledged at once; everything of the old room ends before Moved, the new one begins after", async () => {
  const world = new World();
  const { room, events } = await enter(world, { participants: [person("bob", { tracks: [video("TR_1", 1)] })] });
  world.socket.say({ type: "trackSubscribed", participantSid: "PA_bob", track: video("TR_1", 1) });
  events.length = 0;
  world.socket.say({
    ...joined({ participants: [person("eve", { tracks: [video("TR_9", 9)] })], seq: 3 }), type: "moved", session: "PA_ada", secret: "s1",
    room: { sid: "RM_2", name: "stage", metadata: "m", numParticipants: 2 }, token: "t.t.t", expiresAt: world.time + 1000,
  });
  assert.deepEqual(world.socket.last("ack"), { type: "ack", received: 2 });
  assert.deepEqual(events.map((e) => e.event), [
    "trackUnsubscribed", "trackSubscriptionStatusChanged", "trackUnpublished", "participantDisconnected",
    "moved", "participantConnected", "trackPublished", "tokenRefreshed",
  ]);
  assert.deepEqual([room.name, room.sid, room.metadata, room.token], ["stage", "RM_2", "m", "t.t.t"]);
  world.socket.say({ type: "roomUpdated", seq: 4, room: { sid: "RM_2", name: "stage", metadata: "n", numParticipants: 2 } });
  assert.deepEqual(of(events, "roomMetadataChanged"), [["n"]]);
});

test("what was missed is told once: a recovery does not run ahead of it", async () => {
  const world = new World();
  const { room, events } = await enter(world);
  world.socket.end();
  await world.pass(300);
  world.socket.open();
  const now = { sid: "RM_1", name: "lobby", metadata: "new", numParticipants: 2 };
  world.socket.say(
    { ...joined({ recovered: true, seq: 12 }), participants: undefined, presence: {}, room: now },
    { type: "participantJoined", seq: 11, participant: person("bob") },
    { type: "roomUpdated", seq: 12, room: now },
  );
  assert.deepEqual(of(events, "roomMetadataChanged"), [["new"]]);
  assert.equal(of(events, "participantConnected").length, 1);
  assert.deepEqual([room.metadata, room.numParticipants], ["new", 2]);
});

test("moved during a cut: the snapshot of another room is a move", async () => {
  const world = new World();
  const { room, events } = await enter(world, { participants: [person("bob")] });
  world.socket.end();
  await world.pass(300);
  world.socket.open();
  events.length = 0;
  const first = joined({ participants: [person("eve")] });
  world.socket.say({ ...first, room: { ...first.room, sid: "RM_2", name: "stage" } });
  assert.deepEqual(events.map((e) => e.event), ["connectionStateChanged", "reconnected", "participantDisconnected", "moved", "participantConnected"]);
  assert.deepEqual([room.name, [...room.remoteParticipants.keys()]], ["stage", ["eve"]]);
});

test("presence said in one breath is one message, and comes back after a fresh join", async () => {
  const world = new World();
  const { room, events } = await enter(world);
  const me = room.localParticipant;
  const all = [me.setPresence({ x: 1 }), me.setPresence({ y: null })];
  await settled();
  assert.deepEqual(world.socket.of("updatePresence").map((m) => m.presence), [{ x: 1, y: null }]);
  const next = [me.setPresence({ x: 2 }), me.setPresence({ z: 3 }, { full: true })];
  world.socket.say({ type: "ok", id: world.socket.last("updatePresence").id });
  await Promise.all(all);
  assert.deepEqual(me.presence, { x: 1, y: null });
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("updatePresence").id });
  await Promise.all(next);
  assert.deepEqual(me.presence, { z: 3 });
  assert.equal(of(events, RoomEvent.PresenceChanged).length, 2);
  world.socket.end(4000);
  await world.pass(300);
  world.socket.open();
  world.socket.end(4010);
  await settled();
  world.socket.open();
  world.socket.say(joined({ self: person("ada", { sid: "PA_ada2" }) }));
  assert.deepEqual([world.socket.last("updatePresence").presence, world.socket.last("updatePresence").full], [{ z: 3 }, true]);
});

async function enterWithCamera(world, media) {
  const entered = await enter(world, {}, { media });
  const enabling = entered.room.localParticipant.setCameraEnabled(true);
  await settled();
  const asked = world.socket.last("publishTrack");
  assert.deepEqual(asked, { type: "publishTrack", kind: "video", source: "camera", codec: { codec: "vp8" }, muted: false, id: asked.id });
  world.socket.say({ type: "ok", id: asked.id, track: video("TR_me", 77) });
  return { ...entered, publication: await enabling };
}

test("the camera: published, framed, muted, demoted", async () => {
  const world = new World();
  const media = stub();
  const { room, events, publication } = await enterWithCamera(world, media);
  const [sender] = media.made.senders;
  assert.ok(room.localParticipant.isCameraEnabled);
  assert.equal(of(events, "localTrackPublished").length, 1);
  assert.equal(sender.keys, 1);
  world.socket.say({ type: "keyFrameRequested", trackSid: "TR_me" });
  assert.equal(sender.keys, 2);
  sender.options.send({ key: false, layer: 0, timestamp: 1, data: new Uint8Array(5) });
  assert.equal(world.socket.frames.length, 0, "nothing before a key frame");
  sender.options.send({ key: true, layer: 0, timestamp: 2, data: new Uint8Array(20_000) });
  assert.equal(world.socket.frames.length, 2);
  assert.equal(parseFragment(world.socket.frames[0].buffer).handle, 77);

  const muting = room.localParticipant.setCameraEnabled(false);
  await settled();
  assert.deepEqual([sender.paused, media.made.captured[0].readyState], [true, "ended"], "the camera's light is off");
  const mute = world.socket.last("muteTrack");
  world.socket.say({ type: "trackMuted", seq: 11, participantSid: "PA_ada", trackSid: "TR_me", muted: true }, { type: "ok", id: mute.id });
  await muting;
  assert.equal(of(events, "trackMuted").length, 1);
  const unmuting = room.localParticipant.setCameraEnabled(true);
  await settled();
  assert.equal(media.made.captured.length, 2);
  world.socket.say({ type: "trackMuted", seq: 12, participantSid: "PA_ada", trackSid: "TR_me", muted: false }, { type: "ok", id: world.socket.last("muteTrack").id });
  assert.equal(await unmuting, publication);
  assert.equal(of(events, "trackUnmuted").length, 1);
  world.socket.say({ type: "trackMuted", seq: 13, participantSid: "PA_ada", trackSid: "TR_me", muted: true }); // an admin
  await settled();
  assert.ok(publication.isMuted);

  world.socket.say({ type: "trackUnpublished", seq: 14, participantSid: "PA_ada", identity: "ada", trackSid: "TR_me", reason: "not_allowed" });
  assert.equal(of(events, "localTrackUnpublished").length, 1);
  assert.ok(media.made.senders.every((s) => s.stopped));
  assert.ok(media.made.captured.every((t) => t.readyState === "ended"));
  assert.equal(room.localParticipant.getTrackPublications().length, 0);
});

test("who may not publish is refused by the server, before a camera is asked for", async () => {
  const world = new World();
  const media = stub();
  const { room } = await enter(world, { self: person("ada", { permissions: { ...permissions, canPublishSources: ["microphone"] } }) }, { media });
  const refused = room.localParticipant.setCameraEnabled(true).catch((e) => e);
  await settled();
  world.socket.say({ type: "error", id: world.socket.last("publishTrack").id, code: "not_allowed", permission: "canPublishSources", layer: "token" });
  assert.deepEqual([(await refused).permission, (await refused).layer], ["canPublishSources", "token"]);
  assert.equal(media.made.captured.length, 0);
  assert.equal(room.localParticipant.lastCameraError, await refused);
});

test("published tracks are published again after a fresh join, and kept by a resume", async () => {
  const world = new World();
  const media = stub();
  const { room, events, publication } = await enterWithCamera(world, media);
  world.socket.end();
  await world.pass(300);
  world.socket.open();
  const { keys } = media.made.senders[0];
  world.socket.say({ ...joined({ recovered: true, lastRequest: 99 }), participants: undefined, presence: {} });
  assert.equal(world.socket.of("publishTrack").length, 0);
  assert.equal(media.made.senders[0].keys, keys + 1, "frames were lost");
  world.socket.end(4000);
  await world.pass(600);
  world.socket.open();
  world.socket.end(4010);
  await settled();
  world.socket.open();
  events.length = 0;
  world.socket.say(joined({ self: person("ada", { sid: "PA_ada2" }) }));
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("publishTrack").id, track: video("TR_new", 78) });
  await settled();
  assert.deepEqual(events.map((e) => e.event), ["connectionStateChanged", "reconnected", "localTrackUnpublished", "localTrackPublished"]);
  assert.equal(room.localParticipant.getTrackPublication("camera"), publication);
  assert.equal(publication.trackSid, "TR_new");
  media.made.senders[0].options.send({ key: true, layer: 0, timestamp: 1, data: new Uint8Array(5) });
  assert.equal(parseFragment(world.socket.frames[0].buffer).handle, 78);
});

test("what others send is put together and played, and goes on after a join if the server says so", async () => {
  const world = new World();
  const media = stub();
  const bob = person("bob", { tracks: [video("TR_1", 5)] });
  const { room, events } = await enter(world, { participants: [bob] }, { media });
  world.socket.say({ type: "trackSubscribed", participantSid: "PA_bob", track: video("TR_1", 5) });
  await settled();
  const [receiver] = media.made.receivers;
  assert.deepEqual(receiver.options.codec, { codec: "vp8" });
  assert.equal(world.socket.last("requestKeyFrame").trackSid, "TR_1");
  const frame = { key: true, layer: 0, timestamp: 7, data: new Uint8Array(40_000).fill(3) };
  world.socket.say(...fragment(5, 1, frame));
  assert.deepEqual(receiver.frames, [frame]);
  world.socket.say({ type: "trackMuted", seq: 11, participantSid: "PA_bob", trackSid: "TR_1", muted: true });
  assert.ok(receiver.muted);

  for (const goesOn of [true, false]) {
    world.socket.end(4000);
    await world.pass(600);
    world.socket.open();
    events.length = 0;
    world.socket.say(joined({ participants: [bob] }));
    if (goesOn) world.socket.say({ type: "trackSubscribed", participantSid: "PA_bob", track: video("TR_1", 6) });
    world.socket.say({ type: "pong", id: world.socket.of("ping").findLast((m) => m.id).id, time: world.time });
    await settled();
    assert.deepEqual(of(events, "trackUnsubscribed").length, goesOn ? 0 : 1);
    assert.equal(receiver.stopped, !goesOn);
    if (goesOn) {
      world.socket.say(...fragment(6, 1, frame));
      assert.equal(receiver.frames.length, 2);
    }
  }
  const publication = room.remoteParticipants.get("bob").getTrackPublication("camera");
  publication.setSubscribed(true);
  world.socket.say({ type: "error", id: world.socket.last("subscribe").id, code: "not_allowed", permission: "canSubscribe", layer: "live" });
  await settled();
  assert.equal(of(events, "trackSubscriptionFailed")[0][1].layer, "live");
  assert.equal(publication.permissionStatus, "not_allowed");
});

async function switchOff(world, room) {
  const off = room.localParticipant.setCameraEnabled(false);
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("muteTrack").id });
  await off;
}

const live = (media) => media.made.captured.filter((t) => t.readyState === "live").length;

test("a camera that is being published when all ends is off, and in no other room", async () => {
  for (const end of [(room) => room.disconnect(), (_, world) => world.socket.end(4508, "removed")]) {
    const world = new World(), media = stub();
    const { room } = await enter(world, {}, { media });
    const refused = assert.rejects(room.localParticipant.setCameraEnabled(true), { name: "UnexpectedConnectionState" });
    await settled();
    assert.ok(world.socket.last("publishTrack"));
    end(room, world);
    const again = room.connect("https://usher.example", ""); // in the same breath
    await refused;
    assert.equal(live(media), 0);
    assert.ok(media.made.senders[0].stopped);
    await settled();
    world.socket.open();
    world.socket.say(joined({ self: person("ada", { sid: "PA_new" }) }));
    await again;
    await settled();
    assert.equal(world.socket.last("publishTrack"), undefined);
  }
});

test("a camera that is asked for is not published in another room", async () => {
  const world = new World(), media = stub();
  const { room } = await enter(world, {}, { media });
  let give;
  const { capture } = media;
  media.capture = (wish) => new Promise((resolve) => (give = () => resolve(capture(wish))));
  const refused = assert.rejects(room.localParticipant.setCameraEnabled(true), { name: "UnexpectedConnectionState" });
  await settled();
  room.disconnect();
  const again = room.connect("https://usher.example", "");
  await settled();
  world.socket.open();
  world.socket.say(joined());
  await again;
  give();
  await refused;
  assert.equal(live(media), 0);
  assert.equal(world.socket.last("publishTrack"), undefined);
});

test("who is demoted or leaves while the camera is asked for again has it off", async () => {
  const ends = [
    (world) => world.socket.say({ type: "trackUnpublished", seq: 11, participantSid: "PA_ada", identity: "ada", trackSid: "TR_1", reason: "not_allowed" }),
    (_, room) => room.disconnect(),
    (_, room) => room.disconnect(false),
  ];
  for (const end of ends) {
    const world = new World(), media = stub();
    const { room } = await camera(world, media);
    await switchOff(world, room);
    assert.equal(live(media), 0);
    let give;
    const { capture } = media;
    media.capture = (wish) => new Promise((resolve) => (give = () => resolve(capture(wish))));
    const refused = assert.rejects(room.localParticipant.setCameraEnabled(true), /not published any more/);
    await settled();
    end(world, room);
    give();
    await refused;
    assert.equal(live(media), 0);
    assert.ok(media.made.senders.every((s) => s.stopped));
    assert.equal(room.localParticipant.isCameraEnabled, false);
  }
});

test("a camera that may not be unmuted, or cannot be read, is off again", async () => {
  const world = new World(), media = stub();
  const { room } = await camera(world, media);
  const { localParticipant: me } = room;
  await switchOff(world, room);
  let refused = assert.rejects(me.setCameraEnabled(true), { code: "rate_limited" });
  await settled();
  world.socket.say({ type: "error", id: world.socket.last("muteTrack").id, code: "rate_limited", message: "x" });
  await refused;
  assert.deepEqual([live(media), me.isCameraEnabled, media.made.senders.at(-1).paused], [0, false, true]);

  const [sender] = media.made.senders;
  const { replaceTrack } = sender;
  sender.replaceTrack = () => {
    throw new Error("no reader");
  };
  await assert.rejects(me.setCameraEnabled(true), /no reader/);
  assert.deepEqual([live(media), me.isCameraEnabled], [0, false]);

  sender.replaceTrack = replaceTrack;
  const on = me.setCameraEnabled(true);
  await settled();
  assert.equal(world.socket.last("muteTrack").muted, false);
  world.socket.say({ type: "ok", id: world.socket.last("muteTrack").id });
  await on;
  assert.deepEqual([live(media), me.isCameraEnabled], [1, true]);
  assert.equal(media.made.senders.length, 1, "what others decode by holds");
  assert.equal(sender.track, media.made.captured.at(-1));
});

test("a track that is being published again can be switched off and unpublished", async () => {
  for (const how of ["mute", "unpublish", "leave"]) {
    const world = new World(), media = stub();
    const { room } = await camera(world, media);
    const { localParticipant: me } = room;
    const { track } = me.getTrackPublication("camera");
    await rejoin(world);
    const { id } = world.socket.last("publishTrack");
    if (how === "mute") await me.setCameraEnabled(false);
    else if (how === "unpublish") assert.equal((await me.unpublishTrack(track)).track, track);
    else room.disconnect();
    assert.equal(live(media), 0, how);
    if (how === "leave") continue;
    world.socket.say({ type: "ok", id, track: video("TR_2", 8) });
    await settled();
    assert.equal(me.isCameraEnabled, false);
    const said = world.socket.last(how === "mute" ? "muteTrack" : "unpublishTrack");
    assert.equal(said.trackSid, "TR_2");
    assert.equal(me.trackPublications.size, how === "mute" ? 1 : 0);
  }
});

test("a session that goes on without what was missed wants key frames, and says so", async () => {
  for (const recovered of [false, true]) {
    const world = new World(), media = stub();
    const { events } = await camera(world, media);
    const [sender] = media.made.senders;
    const send = (key) => sender.options.send({ key, layer: 0, timestamp: 1, data: new Uint8Array(10) });
    send(true);
    world.socket.end();
    send(false);
    await world.pass(300);
    world.socket.open();
    const before = sender.keys;
    const again = joined({ recovered, self: person("ada", { tracks: [video("TR_1", 7)] }) });
    world.socket.say(recovered ? { ...again, participants: undefined, presence: {} } : again);
    assert.deepEqual(of(events, "reconnected"), [[{ recovered }]]);
    send(false);
    assert.equal(world.socket.frames.length, 0, "what cannot be decoded is not sent");
    assert.ok(sender.keys > before);
    send(true);
    assert.equal(world.socket.frames.length, 1);
  }
});

test("what is gone is not kept for its frames", async () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc");
  const world = new World(), media = stub();
  const room = new Room({ environment: world.environment, media });
  const done = room.connect("https://usher.example", "");
  await settled();
  world.socket.open();
  world.socket.say(joined({ participants: [person("bob"), person("eve")] }));
  await done;
  const gone = [];
  let seq = 10;
  for (const who of ["bob", "eve"]) {
    for (let i = 0; i < 10; i++) {
      const track = video(`TR_${who}_${i}`, ++seq);
      const of = { seq, participantSid: `PA_${who}`, identity: who };
      world.socket.say({ ...of, type: "trackPublished", track }, { ...of, seq: undefined, type: "trackSubscribed", track });
      gone.push(new WeakRef(room.remoteParticipants.get(who).getTrackPublications().at(-1)));
      await settled();
      if (who === "bob") world.socket.say({ ...of, seq: ++seq, type: "trackUnpublished", trackSid: track.sid, reason: "unpublished" });
    }
  }
  world.socket.say({ type: "participantLeft", seq: ++seq, sid: "PA_eve", identity: "eve", reason: "CLIENT_INITIATED" });
  media.made.receivers.length = 0;
  for (let i = 0; i < 5; i++) {
    await settled();
    gc();
  }
  assert.ok(gone.filter((r) => r.deref()).length <= 2, `${gone.filter((r) => r.deref()).length} of 20 are kept`);
});

test("a listener that fails stops nobody", async () => {
  const shown = [];
  globalThis.reportError = (e) => shown.push(e.message);
  const world = new World();
  const { room } = await enter(world);
  const heard = [];
  room.on(RoomEvent.ParticipantConnected, () => {
    throw new Error("the page's");
  });
  room.once(RoomEvent.ParticipantConnected, (p) => heard.push(p.identity));
  world.socket.say({ type: "participantJoined", seq: 11, participant: person("bob") }, { type: "participantJoined", seq: 12, participant: person("eve") });
  assert.deepEqual([heard, shown], [["bob"], ["the page's", "the page's"]]);
});

test("tokens that are none decode to nothing", () => {
  for (const bad of ["", "a", "a.b.c", "..", "a.bnVsbA.c"]) assert.equal(decodeToken(bad), null);
  const text = Buffer.from(JSON.stringify({ name: "Zoë", sub: "z" })).toString("base64url");
  assert.deepEqual(decodeToken(`x.${text}.y`), { name: "Zoë", sub: "z" });
});

test("a room does nothing before it is connected but say so", async () => {
  const room = new Room({ environment: new World().environment });
  await assert.rejects(room.localParticipant.setName("x"), /connected/);
  await assert.rejects(room.localParticipant.publishData("x"), /connected/);
  assert.equal(room.token, undefined);
  await room.disconnect();
});
