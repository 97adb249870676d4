// The demo page: it joins a room with the SDK and hands what happens there to
// the parts of the page.

import { ConnectionState, DisconnectReason, Room, RoomEvent, decodeToken } from "/sdk/usher.js";
import { chatArrived, otherData, reactionArrived, showChat, startChat } from "./chat.js";
import { asked, forgetAsking, isBusy, mine, offer, setHand, showControls, startControls, startSources } from "./controls.js";
import { $, theirs } from "./dom.js";
import { arrive, closing, startDoor, state } from "./door.js";
import { forgetLeft, showLeft, stayWords } from "./left.js";
import { gone, knocked, showWaiting, startLobby, wait } from "./lobby.js";
import { handIsUp, isHost, keyOf, me, nameOf, note, page, refused, say, sourcesOf } from "./page.js";
import { dropPerson, forget, raised, showCount, showPeople, showPerson, startPeople } from "./people.js";
import { clearStage, dropTiles, hear, hush, quiet, showTiles } from "./stage.js";
import { begin, permissionsChanged, refreshed, showToken, startToken } from "./token.js";
import { leaveWords } from "./words.js";

let hands = new Set(); // keys of those whose hand is up, so that raising one is news
let given = null; // {token, room, name}: what the page was given to join with

function show(p) {
  if (p.sid === "" || p.state === "gone") return;
  const up = handIsUp(p), key = keyOf(p);
  if (up && !hands.has(key)) raised(p);
  if (p.isLocal && !up && hands.has(key)) forgetAsking();
  up ? hands.add(key) : hands.delete(key);
  showPerson(p);
  showTiles(p);
  if (p.isLocal) {
    showControls();
    showChat();
  }
}

// enter draws the room from what the SDK knows of it.
function enter() {
  hands = new Set([me(), ...page.room.remoteParticipants.values()].filter(handIsUp).map(keyOf));
  clearStage();
  showPeople();
  for (const p of [me(), ...page.room.remoteParticipants.values()]) {
    showTiles(p);
    for (const { track } of p.getTrackPublications()) if (track && !p.isLocal) hear(track);
  }
  showControls();
  showChat();
  showToken();
  showWaiting();
  showLeft();
  inRoom();
}

function inRoom() {
  $("room").textContent = page.room.name;
  document.title = `${page.room.name} · usher`;
}

const inWords = (list) => list.filter((s) => s !== "screen_share_audio").map((s) => (s === "screen_share" ? "screen" : s)).join(", ");

function myPermissions(before) {
  permissionsChanged(before);
  const was = sourcesOf(before), is = sourcesOf(me().permissions);
  const gained = is.filter((s) => !was.includes(s)), lost = was.filter((s) => !is.includes(s));
  const mayStart = asked(); // before the hand is lowered
  note(`Your permissions were changed: you may now ${mayWords(me().permissions)}.`);
  if (gained.length) {
    say(`You are on stage: you may use your ${inWords(is)}.`);
    // Whoever asked for it is live at once; the browser asks for the camera anyway.
    // A hand that somebody else raised says nothing of what the visitor wants.
    const lowered = handIsUp(me()) ? setHand(false, true) : Promise.resolve();
    if (mayStart) lowered.then(() => startSources(gained));
    else offer(gained);
  } else if (lost.length) {
    say(is.length ? `A host took your ${inWords(lost)} off the stage.` : "A host took you off the stage. You can raise your hand to come back.");
  } else {
    say(`Your permissions were changed: you may now ${mayWords(me().permissions)}.`);
  }
  if (isHost({ permissions: before }) !== isHost(me())) showPeople();
}

function mayWords(may, whose = "your") {
  const from = sourcesOf(may);
  const list = [];
  if (from.length) list.push(from.length >= 4 ? "be on stage" : `be on stage with ${inWords(from)}`);
  if (may.canPublishData) list.push("send messages");
  if (may.canSubscribe) list.push("see and hear the stage");
  if (may.canUpdateOwnMetadata) list.push(`change ${whose} own name and data`);
  return list.length ? list.join(", ") : "do nothing but be here";
}

const named = { camera: "camera", microphone: "microphone", screen_share: "screen", screen_share_audio: "sound of the screen" };
const what = (publication) => named[publication.source] ?? publication.kind;

function muted(publication, p, on) {
  show(p);
  note([nameOf(p), `'s ${what(publication)} is ${on ? "off" : "on"}.`]);
  if (p.isLocal && on && !mine(publication.source)) say(`A host turned your ${what(publication)} off. You can turn it on again.`);
}

function published(publication, p) {
  show(p);
  if (publication.kind !== "data") note([nameOf(p), `'s ${what(publication)} is ${publication.isMuted ? "off" : "on"}.`]);
}

let anew = false; // the session is gone, the room is joined again

/** listen hands the room's events to the page, for as long as it is the one that counts. */
function listen(room) {
  const on = (event, f) => room.on(event, (...args) => page.room === room && f(...args));
  on(RoomEvent.ConnectionStateChanged, (s) => state(s));
  on(RoomEvent.Connected, () => {
    note(["You are in ", theirs(room.name), " as ", theirs(me().identity), "."]);
    if (room.tokenIgnored) note("The token does not hold. You are in as somebody without one.", true);
    enter();
    arrive();
  });
  on(RoomEvent.Waiting, wait);
  on(RoomEvent.WaitingParticipantJoined, knocked);
  on(RoomEvent.WaitingParticipantLeft, gone);
  on(RoomEvent.StayLimitChanged, (at, p) => {
    note([nameOf(p), ` ${stayWords(at)}.`]);
    if (!p.isLocal) return;
    say(`You ${stayWords(at)}.`);
    showLeft();
  });
  on(RoomEvent.SignalReconnecting, () => note("The connection was cut. The session is resumed as soon as possible.", true));
  on(RoomEvent.Reconnecting, () => {
    anew = true;
    note("The session is gone. The page joins again.", true);
  });
  on(RoomEvent.Reconnected, ({ recovered }) => {
    note(anew ? "Joined again." : recovered ? "The session goes on; nothing was lost." : "The session goes on; messages sent meanwhile may be missing.");
    anew = false;
    inRoom();
    permissionsChanged();
    showWaiting();
    showLeft();
    queueMicrotask(() => page.room === room && room.state === ConnectionState.Connected && show(me()));
  });
  on(RoomEvent.Disconnected, (reason, detail) => {
    forgetLeft();
    closing(detail);
  });
  on(RoomEvent.Moved, (name) => {
    note(["You were moved to ", theirs(name), "."]);
    say(["You were moved to ", theirs(name), "."]);
    forget();
    forgetAsking();
    hands.clear();
    permissionsChanged();
    inRoom();
    showPeople();
    show(me());
  });

  on(RoomEvent.ParticipantConnected, (p) => {
    if (handIsUp(p)) hands.add(keyOf(p));
    show(p);
    note([nameOf(p), " joined."]);
  });
  on(RoomEvent.ParticipantDisconnected, (p, reason) => {
    hands.delete(keyOf(p));
    dropPerson(p);
    dropTiles(p);
    note([nameOf(p), ` ${leaveWords(DisconnectReason[reason] ?? "UNKNOWN_REASON")}.`]);
  });
  on(RoomEvent.ParticipantNameChanged, (name, p) => {
    show(p);
    note([theirs(p.identity), " is now called ", nameOf(p), "."]);
  });
  on(RoomEvent.ParticipantMetadataChanged, (_, p) => show(p));
  on(RoomEvent.ParticipantAttributesChanged, (_, p) => show(p));
  on(RoomEvent.PresenceChanged, (_, p) => show(p));
  on(RoomEvent.ParticipantPermissionsChanged, (before, p) => {
    if (p.isLocal) myPermissions(before);
    else note([nameOf(p), ` may now ${mayWords(p.permissions, "their")}.`]);
    show(p);
  });
  on(RoomEvent.ParticipantStateChanged, (s, p) => {
    show(p);
    if (!p.isLocal && s === "reconnecting") note([nameOf(p), " lost the connection and may come back."]);
    if (!p.isLocal && s === "active") note([nameOf(p), " is back."]);
  });
  on(RoomEvent.ParticipantCountChanged, showCount);

  on(RoomEvent.TrackPublished, published);
  on(RoomEvent.LocalTrackPublished, published);
  on(RoomEvent.TrackUnpublished, (publication, p) => {
    show(p);
    if (publication.kind !== "data") note([nameOf(p), `'s ${what(publication)} is off.`]);
  });
  on(RoomEvent.LocalTrackUnpublished, (_, p) => show(p));
  on(RoomEvent.TrackSubscribed, (track, _, p) => {
    hear(track);
    show(p);
  });
  on(RoomEvent.TrackUnsubscribed, (track, _, p) => {
    hush(track);
    show(p);
  });
  on(RoomEvent.TrackSubscriptionFailed, (_, error) => refused("Something on stage cannot be seen or heard", error));
  on(RoomEvent.TrackMuted, (publication, p) => muted(publication, p, true));
  on(RoomEvent.TrackUnmuted, (publication, p) => muted(publication, p, false));
  on(RoomEvent.AudioPlaybackStatusChanged, quiet);
  on(RoomEvent.MediaDevicesError, (error) => isBusy() || refused("Your camera, microphone or screen has failed", error));

  on(RoomEvent.DataReceived, (payload, from, kind, topic, _, identity, json) => {
    if (topic === "chat") chatArrived(from, payload, json);
    else if (topic === "reaction") reactionArrived(from, json);
    else note(otherData(from, payload, topic, json));
  });
  on(RoomEvent.TokenRefreshed, refreshed);
}

/**
 * join enters with the token; room counts for tokens that name none, and with the
 * name where there is no token.
 */
async function join(token, room, name = "") {
  const before = page.room;
  page.room = null;
  before?.disconnect();
  given = { token, room, name };
  $("own-name").value = name;
  forget();
  forgetAsking();
  $("messages").replaceChildren();
  say("");
  page.room = new Room({ videoCaptureDefaults: { resolution: { width: 640, height: 360 } } });
  listen(page.room);
  await open(token);
}

async function open(token) {
  anew = false;
  forgetAsking();
  begin(token);
  const { room } = given, name = $("own-name").value; // which may be another by now
  await page.room.connect(location.origin, token, { room: room || undefined, name: name || undefined }).catch(() => {}); // Disconnected has said why
}

// again comes back after an end, with the newest token that has not run out.
function again() {
  const runsOut = (token) => (decodeToken(token)?.exp ?? Infinity) * 1000;
  const newest = page.room?.token;
  open(newest && runsOut(newest) > Date.now() ? newest : given.token);
}

startDoor({ join, again });
startControls();
startChat();
startPeople();
startLobby();
startToken();
