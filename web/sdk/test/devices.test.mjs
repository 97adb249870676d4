// Who speaks, and from which device.

import assert from "node:assert/strict";
import test from "node:test";

import { Room } from "../usher.js";
import { Loudness } from "../media/loudness.js";
import { World, camera, enter, of, person, settled, stub, video } from "./fake.mjs";

const microphone = (sid, handle) => video(sid, handle, { kind: "audio", source: "microphone", codec: { codec: "opus" } });

test("loudness is told ten times a second", () => {
  const told = [];
  const l = new Loudness((level) => told.push(Number(level.toFixed(3))));
  const sound = (amplitude) => new Float32Array(960).fill(amplitude); // 20 ms
  for (let i = 0; i < 10; i++) l.add(sound(0.5), 48000);
  for (let i = 0; i < 3; i++) l.add(sound(1), 48000);
  l.silence();
  l.silence();
  for (let i = 0; i < 5; i++) l.add(sound(0.25), 48000);
  assert.deepEqual(told, [0.5, 0.5, 0, 0.25]);
});

/** listen is a room with bob and eve, whose microphones are received, and one's own. */
async function listen() {
  const world = new World(), media = stub();
  const entered = await enter(world, {
    participants: [person("bob", { tracks: [microphone("TR_b", 1)] }), person("eve", { tracks: [microphone("TR_e", 2)] })],
  }, { media });
  world.socket.say(
    { type: "trackSubscribed", participantSid: "PA_bob", track: microphone("TR_b", 1) },
    { type: "trackSubscribed", participantSid: "PA_eve", track: microphone("TR_e", 2) },
  );
  const on = entered.room.localParticipant.setMicrophoneEnabled(true);
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("publishTrack").id, track: microphone("TR_a", 3) });
  await on;
  const [bob, eve] = media.made.receivers.map((r) => r.options.onLevel);
  const me = media.made.senders[0].options.onLevel;
  entered.events.length = 0;
  return { ...entered, world, media, bob, eve, me, speaking: () => of(entered.events, "activeSpeakersChanged").map(([who]) => who.map((p) => p.identity)) };
}

test("who is loud speaks, through pauses between words", async () => {
  const { room, world, bob, eve, me, speaking } = await listen();
  const heard = [];
  room.remoteParticipants.get("bob").on("isSpeakingChanged", (is) => heard.push(is));
  bob(0.01);
  assert.deepEqual(speaking(), []);
  bob(0.1);
  eve(0.3);
  me(0.2);
  assert.deepEqual(speaking(), [["bob"], ["eve", "bob"], ["eve", "ada", "bob"]]);
  assert.deepEqual(room.activeSpeakers.map((p) => p.audioLevel), [0.3, 0.2, 0.1]);
  for (let i = 0; i < 10; i++) {
    await world.pass(100);
    bob(i % 4 ? 0 : 0.2); // word, pause, word
    eve(0);
  }
  assert.deepEqual([heard, speaking().at(-1)], [[true], ["bob"]]); // nothing was heard of one's own microphone
  await world.pass(1000);
  assert.deepEqual([heard, room.activeSpeakers, room.localParticipant.isSpeaking], [[true, false], [], false]);
});

test("whose track is gone does not speak, and nothing goes on after the end", async () => {
  for (const end of [
    (world) => world.socket.say({ type: "trackUnsubscribed", trackSid: "TR_b", reason: "unsubscribed" }),
    (world) => world.socket.say({ type: "trackUnpublished", seq: 11, participantSid: "PA_bob", identity: "bob", trackSid: "TR_b", reason: "left" }),
    (world) => world.socket.say({ type: "participantLeft", seq: 11, sid: "PA_bob", identity: "bob", reason: "CLIENT_INITIATED" }),
    (_, room) => room.disconnect(),
  ]) {
    const { room, world, bob, me, speaking } = await listen();
    const { localParticipant } = room;
    const them = room.remoteParticipants.get("bob");
    bob(0.5);
    end(world, room);
    assert.deepEqual([speaking(), them.isSpeaking, them.audioLevel], [[["bob"], []], false, 0]);
    bob(0.5); // on its way
    assert.equal(them.isSpeaking, false);
    room.disconnect();
    me(0.5);
    assert.equal(localParticipant.isSpeaking, false);
    world.socket.onclose({ code: 1000 });
    assert.equal(world.timers, 0);
  }
});

/** from is the media module of a page with several cameras. */
function from(media) {
  const { capture } = media;
  media.wishes = [];
  media.capture = async (wish) => {
    const [[name, w]] = Object.entries(wish);
    media.wishes.push({ [name]: w });
    const [track] = await capture(wish);
    const deviceId = w.deviceId?.exact ?? w.deviceId?.ideal ?? "first";
    if (deviceId === "none") {
      track.stop();
      throw Object.assign(new Error("no such device"), { code: "constraints" });
    }
    track.getSettings = () => ({ deviceId });
    return [track];
  };
  return media;
}

const live = (media) => media.made.captured.filter((t) => t.readyState === "live").length;

test("another device goes on in the same publication, and is remembered", async () => {
  const world = new World(), media = from(stub());
  const { room, events } = await camera(world, media);
  const { localParticipant: me } = room;
  assert.equal(room.getActiveDevice("videoinput"), "first");
  assert.equal(await room.switchActiveDevice("videoinput", "second"), true);
  assert.deepEqual(media.wishes.at(-1), { camera: { deviceId: { exact: "second" } } });
  assert.deepEqual([media.made.senders.length, media.made.senders[0].track, live(media)], [1, media.made.captured.at(-1), 1]);
  assert.equal(room.getActiveDevice("videoinput"), "second");
  assert.deepEqual(of(events, "activeDeviceChanged"), [["videoinput", "second"]]);

  // One that does not work changes nothing.
  await assert.rejects(room.switchActiveDevice("videoinput", "none"), { code: "constraints" });
  assert.deepEqual([room.getActiveDevice("videoinput"), live(media), me.isCameraEnabled], ["second", 1, true]);

  // Switched off, it stays off, and comes back from the new one.
  const off = me.setCameraEnabled(false);
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("muteTrack").id });
  await off;
  await room.switchActiveDevice("videoinput", "third", false);
  assert.equal(live(media), 0);
  const on = me.setCameraEnabled(true);
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("muteTrack").id });
  await on;
  assert.deepEqual([room.getActiveDevice("videoinput"), live(media)], ["third", 1]);

  // So does whatever is captured later.
  assert.deepEqual(room.options.videoCaptureDefaults, { deviceId: { ideal: "third" } });
  await assert.rejects(room.switchActiveDevice("audiooutput", "x"), { name: "UnsupportedError" });
});

test("a camera that is switched off while another is asked for stays off", async () => {
  const world = new World(), media = from(stub());
  const { room } = await camera(world, media);
  const publication = room.localParticipant.getTrackPublication("camera");
  let give;
  const { capture } = media;
  media.capture = (wish) => new Promise((resolve) => (give = () => resolve(capture(wish))));
  const switched = room.switchActiveDevice("videoinput", "second");
  await settled();
  const off = publication.mute();
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("muteTrack").id });
  await off;
  give();
  await switched;
  assert.deepEqual([live(media), room.localParticipant.isCameraEnabled], [0, false]);
});

test("a page's own track is left alone, and a device can be chosen before there is a room", async () => {
  const world = new World(), media = from(stub());
  const { room, events } = await enter(world, {}, { media });
  const track = new MediaStreamTrack("audio");
  const publishing = room.localParticipant.publishTrack(track, { source: "microphone" });
  await settled();
  world.socket.say({ type: "ok", id: world.socket.last("publishTrack").id, track: microphone("TR_a", 3) });
  await publishing;
  track.getSettings = () => ({ deviceId: "the page's" });
  assert.equal(await room.switchActiveDevice("audioinput", "second"), false);
  assert.deepEqual([track.readyState, media.wishes.length, of(events, "activeDeviceChanged")], ["live", 0, []]);
  const early = new Room({ environment: world.environment });
  assert.equal(await early.switchActiveDevice("audioinput", "second"), true);
  assert.equal(early.getActiveDevice("audioinput"), "second");
});
