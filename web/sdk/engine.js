// What the room knows and how it changes: snapshots, events in order, tracks on
// their way. room.js is its face.

import { Connection } from "./connection.js";
import { kindOf, unpackData } from "./data.js";
import { environment } from "./environment.js";
import { UnexpectedConnectionState, permissionError } from "./errors.js";
import { ConnectionState, ParticipantEvent, RoomEvent, reasonNamed } from "./events.js";
import { Handles } from "./handles.js";
import { LocalParticipant } from "./local.js";
import { loadMedia } from "./media.js";
import { Meeting } from "./meeting.js";
import { News } from "./news.js";
import { RemoteParticipant } from "./participant.js";
import { closeMessage, connectionError, disconnectReason } from "./policy.js";
import { Methods } from "./rpc.js";
import { Speakers } from "./speakers.js";
import { Tokens } from "./token.js";

export class Engine {
  state = ConnectionState.Disconnected;
  entered = false; // since connect
  info = { sid: "", name: "", metadata: "", numParticipants: 0, maxParticipants: 0, createdAt: 0 };
  local;
  remotes = new Map(); // identity → participant; of several, later ones under their sid
  methods = new Methods();
  meeting = new Meeting((event, ...args) => this.emitRoom(event, ...args));
  speakers;
  tokens = null;
  options;
  autoSubscribe = true;
  media;
  playback = null; // the media module, once it is loaded

  #room;
  #env;
  #connection = null;
  #bySid = new Map(); // remote participants
  #handles = new Handles();
  #partial = false; // some people are only counted
  #news = new News();
  #whenJoined = []; // who waits for a session: {resolve, reject, connecting}
  #explained = new Map(); // request → {permission, layer}: the server says it once
  #stopTracks = true;
  #unwatch = null; // ends being told whether sound may be played

  constructor(room, options) {
    this.#room = room;
    this.options = options;
    this.#env = options.environment ?? environment;
    const load = options.media ? async () => options.media : loadMedia;
    this.media = async () => {
      const media = await load();
      this.#watchPlayback(media);
      return media;
    };
    this.speakers = new Speakers(this.#env, (participant) => {
      this.emit(participant, ParticipantEvent.IsSpeakingChanged, [participant.isSpeaking]);
      this.emitRoom(RoomEvent.ActiveSpeakersChanged, this.speakers.active);
    });
    this.local = new LocalParticipant(this);
  }

  // --- what participants and tracks need

  /** era grows when a connection ends; what was begun in an earlier one is over. */
  get era() {
    return this.#news.era;
  }

  emit(target, event, args) {
    this.#news.tell(target, event, args);
  }

  emitRoom(event, ...args) {
    this.emit(this.#room, event, args);
  }

  request(message) {
    if (!this.#connection) return Promise.reject(new UnexpectedConnectionState(`"${message.type}" needs a room that is connected.`));
    return this.#connection.request(message);
  }

  get canSend() {
    return this.#connection?.joined === true;
  }

  get backlog() {
    return this.#connection?.backlog ?? 0;
  }

  sendFrame(bytes) {
    this.#connection?.sendFrame(bytes);
  }

  named(name) {
    this.#connection?.named(name);
  }

  mustBeJoined(what) {
    const { Disconnected, Connecting, Waiting } = ConnectionState;
    if ([Disconnected, Connecting, Waiting].includes(this.state)) {
      throw new UnexpectedConnectionState(`"${what}" needs a room that is connected.`);
    }
  }

  /**
   * whenJoined resolves when there is a session, and rejects when there is going
   * to be none of the connection that counted when era was read.
   */
  whenJoined(era = this.era) {
    if (!this.#connection || era !== this.era) return Promise.reject(new UnexpectedConnectionState("The room is not connected any more."));
    if (this.canSend) return Promise.resolve();
    return new Promise((resolve, reject) => this.#whenJoined.push({ resolve, reject }));
  }

  /** readmitted resolves when this page is in again, which waits once more, and rejects as connect does. */
  readmitted() {
    return new Promise((resolve, reject) => this.#whenJoined.push({ resolve, reject, connecting: true }));
  }

  // The browser may forbid sound until somebody clicks; the page is told, as long as
  // there is something to be heard: the media module outlives rooms.
  #watchPlayback(media) {
    this.playback = media;
    if (!this.#connection) return;
    this.#unwatch ??= media.onPlaybackChanged?.((playing) => this.emitRoom(RoomEvent.AudioPlaybackStatusChanged, playing));
  }

  // --- the connection

  connect(url, token, opts) {
    const { tokenProvider, reconnectPolicy } = this.options;
    this.autoSubscribe = opts.autoSubscribe ?? true;
    this.#stopTracks = true;
    this.entered = false;
    this.tokens = new Tokens(token, tokenProvider, this.#env.now);
    const connection = (this.#connection = new Connection({
      url, tokens: this.tokens, env: this.#env, reconnectPolicy,
      timeout: opts.websocketTimeout, maxRetries: opts.maxRetries,
      join: { autoSubscribe: this.autoSubscribe, room: opts.room, project: opts.project, name: opts.name },
      owner: this,
    }));
    if (this.playback) this.#watchPlayback(this.playback);
    this.#news.during(() => this.#setState(ConnectionState.Connecting));
    return connection.connect(); // unless a listener has left already
  }

  async disconnect(stopTracks) {
    this.#stopTracks = stopTracks;
    await this.#connection?.leave();
  }

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.emitRoom(RoomEvent.ConnectionStateChanged, state);
  }

  // waiting is called by the connection: somebody has to let this page in.
  waiting() {
    this.#news.change(() => {
      this.#setState(ConnectionState.Waiting);
      this.emitRoom(RoomEvent.Waiting);
    });
  }

  // unanswered is called by the connection: it was cut while it waited, and knocks again.
  unanswered(first) {
    this.#news.change(() => this.#setState(first ? ConnectionState.Connecting : ConnectionState.Reconnecting));
  }

  // lost is called by the connection: it was cut, and may be resumed or not.
  lost(resumable) {
    this.#news.change(() => {
      this.#setState(resumable ? ConnectionState.SignalReconnecting : ConnectionState.Reconnecting);
      this.emitRoom(resumable ? RoomEvent.SignalReconnecting : RoomEvent.Reconnecting);
    });
  }

  // tokenFailed is called by the connection: it asks the page's provider again later.
  tokenFailed(error) {
    this.emitRoom(RoomEvent.TokenProviderFailed, error);
  }

  // leaving is called by the connection: the page goes away.
  leaving() {
    if (this.options.disconnectOnPageLeave) this.#room.disconnect();
  }

  // ended is called by the connection: it does not come back.
  ended(how, connecting) {
    this.#connection = null;
    this.#news.era++;
    this.#news.during(() => this.#end(how, connecting));
  }

  #end(how, connecting) {
    const reason = how.gaveUp && !connecting ? disconnectReason(0) : disconnectReason(how.code);
    for (const participant of this.remotes.values()) {
      for (const publication of participant.getTrackPublications()) publication._unsubscribed();
    }
    for (const publication of this.local.getTrackPublications()) this.local._withdrawn(publication, this.#stopTracks);
    this.local._endRepublishing(this.#stopTracks);
    this.remotes.clear();
    this.#bySid.clear();
    this.#handles.clear();
    this.#explained.clear();
    this.meeting.end();
    this.#unwatch?.();
    this.#unwatch = null;
    const waiting = this.#whenJoined.splice(0);
    for (const w of waiting) {
      w.reject(w.connecting
        ? connectionError(how.code, how.reason, this.#env.origin, how.cause)
        : new UnexpectedConnectionState("The room is not connected any more."));
    }
    this.#setState(ConnectionState.Disconnected);
    this.emitRoom(RoomEvent.Disconnected, reason, {
      code: how.code, reason: how.reason, message: closeMessage(how.code, how.reason, this.#env.origin, how.cause),
    });
  }

  // refused words an error of the server, with what it said before of the same.
  refused(message, reply) {
    if (reply.code !== "not_allowed") return undefined;
    if (reply.permission) this.#explained.set(message.type, { permission: reply.permission, layer: reply.layer });
    return permissionError(message.type, { ...this.#explained.get(message.type), message: reply.message });
  }

  // --- snapshots

  joined(m, { first, same, recovered }) {
    this.entered = true;
    for (const w of this.#whenJoined.splice(0)) w.resolve();
    if (first) {
      this.#news.unheard(() => { // who is there at the first join is no news
        this.local = this.#freshLocal();
        this.#snapshot(m);
      });
      this.#news.change(() => {
        this.emitRoom(RoomEvent.SignalConnected);
        this.#setState(ConnectionState.Connected);
        this.emitRoom(RoomEvent.Connected);
      });
      return;
    }
    let again = [];
    const back = () => {
      if (recovered) this.#recovered(m);
      else again = this.#rejoined(m, same);
    };
    const goesOn = this.#news.change(back, () => {
      this.#news.change(() => {
        this.#setState(ConnectionState.Connected);
        this.emitRoom(RoomEvent.Reconnected, { recovered: recovered === true });
      });
    });
    if (!goesOn) return;
    if (!recovered) this.#restorePresence(same);
    this.local._publishAgain(again);
  }

  // recovered: the room is as the page has it, until what it missed is told.
  #recovered(m) {
    this.meeting.on_sessionData({ data: m.sessionData });
    const presences = new Map(Object.entries(m.presence ?? {}));
    for (const [sid, p] of this.#bySid) p._present(presences.get(sid) ?? {});
    for (const publication of this.local.getTrackPublications()) publication._keyFrame(); // frames were lost
  }

  // rejoined takes a snapshot over, of a session that goes on or of another one. It
  // returns what is to be published again.
  #rejoined(m, same) {
    // Rooms that a session is in are told apart by sid. A new session may find its
    // room made anew; it is the same to the page as long as it has the same name.
    const moved = same ? m.room.sid !== this.info.sid : m.room.name !== this.info.name;
    const again = !same || moved ? this.local._forgetTracks() : [];
    if (moved) this.#leaveFor(m);
    this.#snapshot(m);
    if (same && !moved) {
      this.local._reconcile(m.self.tracks);
      for (const publication of this.local.getTrackPublications()) publication._keyFrame(); // frames were lost
    }
    this.#doubtSubscriptions(same);
    return again;
  }

  // A room that is connected again is somebody else's as far as the session goes;
  // what the page listens to stays.
  #freshLocal() {
    const { local } = this;
    local.sid = "";
    local.presence = Object.freeze({});
    return local;
  }

  #snapshot(m) {
    this.#explained.clear();
    this.local._info(m.self);
    const there = new Map(m.participants.map((p) => [p.sid, p]));
    for (const participant of [...this.#bySid.values()]) {
      if (!there.has(participant.sid)) this.#left(participant);
    }
    for (const info of m.participants) this.#present(info, info.presence ?? {});
    this.info = m.room;
    this.meeting.snapshot(m);
    const shown = m.participants.length + (m.self.permissions.hidden ? 0 : 1);
    this.#partial = shown < m.room.numParticipants;
    this.#handles.clear();
  }

  // What was received before goes on, if the server says so again. When it has
  // answered what is asked after the join, it has said all.
  #doubtSubscriptions(same) {
    const publications = [...this.#bySid.values()].flatMap((p) => p.getTrackPublications());
    for (const p of publications) p._doubt();
    if (!same) for (const p of publications) p._asWished();
    this.request({ type: "ping" }).then(
      () => publications.forEach((p) => p._settle()),
      () => {}, // cut again; the next join asks again
    );
  }

  #restorePresence(same) {
    const { presence } = this.local;
    if (!same && Object.keys(presence).length) this.request({ type: "updatePresence", presence, full: true }).catch(() => {});
  }

  // --- people

  #present(info, presence) {
    let participant = this.#bySid.get(info.sid);
    const known = participant !== undefined;
    if (!known) {
      participant = new RemoteParticipant(this);
      participant._info(info);
      this.#bySid.set(info.sid, participant);
      this.remotes.set(this.remotes.has(info.identity) ? info.sid : info.identity, participant);
      this.emitRoom(RoomEvent.ParticipantConnected, participant);
    } else {
      participant._info(info);
    }
    participant._tracks(info.tracks);
    if (presence) participant._present(presence);
    return !known;
  }

  #left(participant, reason) {
    this.#bySid.delete(participant.sid);
    const { identity, sid } = participant;
    const key = this.remotes.get(identity) === participant ? identity : sid;
    this.remotes.delete(key);
    if (key === identity) {
      // Another participant of the same person takes the place.
      const other = [...this.#bySid.values()].find((p) => p.identity === identity);
      if (other) {
        this.remotes.delete(other.sid);
        this.remotes.set(identity, other);
      }
    }
    participant.state = "gone";
    for (const publication of participant.getTrackPublications()) {
      this.#handles.close(publication);
      participant._unpublished(publication.trackSid);
    }
    this.emitRoom(RoomEvent.ParticipantDisconnected, participant, reason);
  }

  ofIdentity(identity) {
    return [...this.#bySid.values()].filter((p) => p.identity === identity);
  }

  bySid(sid) {
    return sid === this.local.sid ? this.local : this.#bySid.get(sid);
  }

  #count(n) {
    if (this.info.numParticipants === n) return;
    this.info = { ...this.info, numParticipants: n };
    this.emitRoom(RoomEvent.ParticipantCountChanged, n);
  }

  // --- events: what on_… returns is done when they are told.

  hear(m) {
    if (m.type === "rpc") {
      this.methods.reply(m, this.#env.now() + (this.tokens?.skew ?? 0), (reply) => this.request(reply));
      return;
    }
    let then;
    const name = `on_${m.type}`, target = name in this.meeting ? this.meeting : this;
    const goesOn = this.#news.change(() => (then = target[name]?.(m)));
    if (goesOn) then?.();
  }

  on_participantJoined({ participant }) {
    const self = participant.sid === this.local.sid;
    if (self) this.local._info(participant); // visible again
    const news = self || this.#present(participant, participant.presence);
    if (news && !this.#partial) this.#count(this.info.numParticipants + 1);
  }

  on_participantLeft({ sid, reason }) {
    if (!this.#partial) this.#count(this.info.numParticipants - 1);
    const participant = this.#bySid.get(sid); // not oneself, who was hidden
    if (participant) this.#left(participant, reasonNamed(reason));
  }

  on_participantUpdated({ participant: info }) {
    if (info.sid === this.local.sid) {
      this.#explained.clear();
      this.local._info(info);
    } else {
      this.#bySid.get(info.sid)?._info(info);
    }
  }

  on_counted({ numParticipants }) {
    this.#partial = true;
    this.#count(numParticipants);
  }

  on_trackPublished({ participantSid, track }) {
    this.#bySid.get(participantSid)?._published(track);
  }

  on_trackUnpublished({ participantSid, trackSid }) {
    if (participantSid === this.local.sid) this.local._unpublishedByServer(trackSid);
    else {
      const participant = this.#bySid.get(participantSid);
      this.#handles.close(participant?.trackPublications.get(trackSid));
      participant?._unpublished(trackSid);
    }
  }

  on_trackMuted({ participantSid, trackSid, muted }) {
    if (participantSid === this.local.sid) this.local.trackPublications.get(trackSid)?._toldMuted(muted);
    else this.#bySid.get(participantSid)?.trackPublications.get(trackSid)?._mute(muted);
  }

  on_trackSubscribed({ participantSid, track }) {
    if (track.kind === "data") return;
    const participant = this.#bySid.get(participantSid);
    if (!participant) return;
    this.#handles.close(participant.trackPublications.get(track.sid));
    participant._subscribed(track);
    this.#handles.open(track.handle, participant.trackPublications.get(track.sid));
  }

  on_trackUnsubscribed({ trackSid, reason }) {
    for (const participant of this.#bySid.values()) {
      const publication = participant.trackPublications.get(trackSid);
      if (!publication) continue;
      this.#handles.close(publication);
      publication._unsubscribed();
      if (reason === "not_allowed") publication._allow(false);
    }
  }

  on_keyFrameRequested({ trackSid }) {
    this.local.trackPublications.get(trackSid)?._wanted();
  }

  on_roomUpdated({ room }) {
    const { metadata } = this.info;
    this.info = { ...room, numParticipants: this.info.numParticipants };
    if (metadata !== room.metadata) this.emitRoom(RoomEvent.RoomMetadataChanged, room.metadata);
  }

  on_data(m) {
    const { payload, json } = unpackData(m);
    const participant = m.from && this.#bySid.get(m.from.sid);
    if (participant) this.emit(participant, ParticipantEvent.DataReceived, [payload, kindOf(m)]);
    this.emitRoom(RoomEvent.DataReceived, payload, participant, kindOf(m), m.topic || undefined, undefined, m.from?.identity, json);
  }

  on_presence({ sid, presence }) {
    this.#bySid.get(sid)?._present(presence);
  }

  on_refreshToken({ token, expiresAt }) {
    this.emitRoom(RoomEvent.TokenRefreshed, token, new Date(expiresAt));
  }

  on_moved(m) {
    const again = this.local._forgetTracks();
    this.#leaveFor(m);
    this.#snapshot(m);
    if (m.token) this.on_refreshToken(m);
    return () => this.local._publishAgain(again);
  }

  // leaveFor ends everything of the old room.
  #leaveFor(m) {
    for (const participant of [...this.#bySid.values()]) this.#left(participant);
    this.info = m.room;
    this.local._present({});
    this.local._info(m.self);
    this.emitRoom(RoomEvent.Moved, m.room.name);
  }

  on_error(m) {
    console.warn(`usher: the server refused a message: ${m.code} ${m.message ?? ""}`);
  }

  // frame takes a binary message.
  frame(buffer) {
    this.#handles.take(buffer);
  }
}
