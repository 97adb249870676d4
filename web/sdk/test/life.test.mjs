// Rooms that are joined and left in haste, again and again: nothing is mixed up,
// and nothing stays behind.

import assert from "node:assert/strict";
import test from "node:test";

import { Room, RoomEvent } from "../usher.js";
import { World, camera, enter, joined, of, person, settled, stub, token, video } from "./fake.mjs";

const address = "https://usher.example";

/** outcome is what became of a connect. */
const outcome = (promise) => promise.then(() => "joined", (error) => error.reasonName ?? error.name);

test("who leaves while connecting, and connects again in the same breath, is joined", async () => {
  const world = new World();
  const room = new Room({ environment: world.environment });
  const first = outcome(room.connect("https://one.example", token(world.time + 3_600_000)));
  room.disconnect();
  const second = outcome(room.connect("https://two.example", token(world.time + 3_600_000)));
  assert.equal(await first, "Cancelled");
  await settled();
  assert.deepEqual(world.sockets.map((s) => s.url), ["wss://two.example/session"]);
  world.socket.open();
  world.socket.say(joined());
  assert.equal(await second, "joined");
  assert.equal(room.state, "connected");
});

test("connect while connecting is the same connect, also for who is told of it", async () => {
  const world = new World();
  const room = new Room({ environment: world.environment });
  let told, early;
  room.once(RoomEvent.ConnectionStateChanged, () => {
    told = room.connect(address, "");
    early = outcome(room.localParticipant.setName("x"));
  });
  const first = room.connect(address, token(world.time + 3_600_000));
  assert.equal(told, first);
  assert.equal(await early, "UnexpectedConnectionState");
  assert.equal(room.connect(address, ""), first);
  await settled();
  world.socket.open();
  world.socket.say(joined());
  await first;
  await room.connect(address, ""); // connected already
  assert.equal(world.sockets.length, 1);
});

test("disconnect at any moment ends it, and nothing goes on", async () => {
  const moments = {
    told: (_, room) => void room.once(RoomEvent.ConnectionStateChanged, () => room.disconnect()),
    asked: () => {},
    "for a token": async (_, room) => {
      room.options.tokenProvider = () => new Promise(() => {});
      await settled();
    },
    opening: () => settled(),
    joining: async (world) => {
      await settled();
      world.socket.open();
    },
    joined: async (world) => {
      await moments.joining(world);
      world.socket.say(joined());
      await settled();
    },
    cut: async (world) => {
      await moments.joined(world);
      world.socket.end();
    },
    "opening again": async (world) => {
      await moments.cut(world);
      await world.pass(300);
    },
    resuming: async (world) => {
      await moments["opening again"](world);
      world.socket.open();
    },
  };
  for (const [moment, reach] of Object.entries(moments)) {
    const world = new World();
    const room = new Room({ environment: world.environment });
    if (moment === "told" || moment === "for a token") reach(world, room);
    const connected = outcome(room.connect(address, token(world.time + (moment === "for a token" ? -1 : 1) * 3_600_000)));
    await reach(world, room);
    if (moment === "told") assert.equal(room.state, "disconnected");
    const left = room.disconnect();
    assert.equal(room.state, "disconnected", moment);
    await world.pass(2000); // the server says nothing
    await left;
    const was = ["joined", "cut", "opening again", "resuming"].includes(moment);
    assert.equal(await connected, was ? "joined" : "Cancelled", moment);
    const sockets = world.sockets.length;
    await world.pass(60_000);
    assert.deepEqual([world.timers, world.sockets.length, room.state], [0, sockets, "disconnected"], moment);
    assert.ok(world.sockets.every((s) => s.closedWith || s.readyState === 3), moment);
  }
});

test("fifty joins leave nothing behind", async () => {
  const world = new World();
  const listeners = new Set();
  const media = stub();
  media.startAudio = () => {};
  media.onPlaybackChanged = (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  let watchers = 0;
  const { watch } = world.environment;
  const environment = Object.assign(Object.create(world.environment), {
    watch: (tell) => {
      const end = watch(tell);
      watchers++;
      return () => {
        watchers--;
        end();
      };
    },
  });
  const room = new Room({ environment, media });
  const bob = person("bob", { tracks: [video("TR_9", 3)] });
  for (let i = 0; i < 50; i++) {
    const connected = room.connect(address, token(world.time + 3_600_000));
    await settled();
    world.socket.open();
    world.socket.say(joined({ participants: [bob] }));
    await connected;
    world.socket.say({ type: "trackSubscribed", seq: 11, participantSid: bob.sid, track: video("TR_9", 3) });
    const on = room.localParticipant.setCameraEnabled(true);
    await settled();
    world.socket.say({ type: "ok", id: world.socket.last("publishTrack").id, track: video("TR_1", 7) });
    await on;
    assert.equal(listeners.size, 1);
    const left = room.disconnect();
    world.socket.end(1000);
    await left;
  }
  const { senders, receivers, captured } = media.made;
  assert.deepEqual([senders.length, receivers.length, captured.length], [50, 50, 50]);
  assert.ok(senders.every((s) => s.stopped) && receivers.every((r) => r.stopped) && captured.every((t) => t.readyState === "ended"));
  assert.deepEqual([world.timers, watchers, listeners.size, room.remoteParticipants.size], [0, 0, 0, 0]);

  // The media module outlives rooms; it keeps none that is not joined.
  await new Room({ environment, media }).startAudio();
  assert.equal(listeners.size, 0);
});

test("no camera is asked for where there is no room, and none is blamed", async () => {
  const world = new World(), media = stub();
  const { room, events } = await camera(world, media);
  room.disconnect();
  events.length = 0;
  for (const lonely of [room, new Room({ environment: world.environment, media })]) {
    lonely.on(RoomEvent.MediaDevicesError, (error) => assert.fail(error));
    await assert.rejects(lonely.localParticipant.setCameraEnabled(true), { name: "UnexpectedConnectionState" });
  }
  assert.equal(media.made.captured.length, 1);
  assert.deepEqual(events, []);
});

test("what the server refuses is no fault of a device's", async () => {
  const world = new World(), media = stub();
  const { room, events } = await enter(world, {}, { media });
  const on = room.localParticipant.setCameraEnabled(true);
  await settled();
  world.socket.say({ type: "error", id: world.socket.last("publishTrack").id, code: "limit_exceeded", message: "tracks" });
  await assert.rejects(on, { name: "LimitError" });
  assert.deepEqual(of(events, "mediaDevicesError"), []);
  assert.equal(media.made.captured[0].readyState, "ended");
});

test("switched on twice and off again in one breath, it is one camera, and off", async () => {
  const world = new World(), media = stub();
  const { room } = await enter(world, {}, { media });
  const me = room.localParticipant;
  const all = [me.setCameraEnabled(true), me.setCameraEnabled(true), me.setCameraEnabled(false)];
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("publishTrack").id, track: video("TR_1", 7) });
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("muteTrack").id });
  const [one, two, three] = await Promise.all(all);
  assert.ok(one === two && two === three && one.isMuted);
  assert.deepEqual([world.socket.of("publishTrack").length, media.made.captured.map((t) => t.readyState)], [1, ["ended"]]);
});

test("what is being published can be unpublished, and ends if its source does", async () => {
  const ends = {
    unpublished: (room, track) => room.localParticipant.unpublishTrack(track),
    ended: (_, track) => track.onended(),
  };
  for (const [how, end] of Object.entries(ends)) {
    const world = new World(), media = stub();
    const { room, events } = await enter(world, {}, { media });
    const track = new MediaStreamTrack("video");
    const publishing = room.localParticipant.publishTrack(track, { source: "camera" });
    await settled();
    const over = end(room, track);
    await settled();
    world.socket.say({ type: "ok", id: world.socket.last("publishTrack").id, track: video("TR_1", 7) });
    await publishing;
    await settled();
    assert.equal(world.socket.last("unpublishTrack")?.trackSid, "TR_1", how);
    world.socket.say({ type: "ok", id: world.socket.last("unpublishTrack").id });
    await over;
    assert.equal(room.localParticipant.trackPublications.size, 0, how);
    assert.deepEqual(events.map((e) => e.event).slice(-2), ["localTrackPublished", "localTrackUnpublished"], how);
    assert.ok(media.made.senders[0].stopped, how);
  }
});

test("a server that lets in and cuts off is not asked ever so often", async () => {
  const world = new World();
  await enter(world);
  const waits = [];
  const flap = async (after) => {
    await world.pass(after);
    const { sockets: { length }, time } = world;
    world.socket.end();
    while (world.sockets.length === length) await world.pass(100);
    waits.push(world.time - time);
    world.socket.open();
    world.socket.say(joined({ recovered: true }));
  };
  for (let i = 0; i < 7; i++) await flap(50);
  assert.deepEqual(waits.map((ms) => Math.round(ms / 100)), [3, 6, 12, 24, 48, 96, 100]);
  await flap(10_000); // it held
  assert.equal(waits.at(-1), 300);
});

test("a hint that says no time does not make the wait none", async () => {
  const world = new World();
  await enter(world);
  const { setTimeout } = world.environment;
  const waits = [];
  world.environment.setTimeout = (f, ms) => waits.push(ms) && setTimeout(f, ms);
  world.socket.say({ type: "reconnect" });
  world.socket.end(1012);
  assert.deepEqual(waits, [300]);
});
