// Room: what a page has in its hands.

import { isInput, localDevices } from "./devices.js";
import { Emitter } from "./emitter.js";
import { Engine } from "./engine.js";
import { UnsupportedError } from "./errors.js";
import { ConnectionState, RoomEvent } from "./events.js";
import { sessionURL } from "./policy.js";

const defaults = { stopLocalTrackOnUnpublish: true, disconnectOnPageLeave: true };

// oneOrAll: a sid that is missing by mistake does not stand for everybody.
function oneOrAll(args) {
  if (args.length === 0) return { all: true };
  if (typeof args[0] !== "string" || args[0] === "") throw new TypeError("Name who waits by sid, or call this without an argument for all of them.");
  return { sid: args[0] };
}

/** Room is a room that one is in, or is going to be in. */
export class Room extends Emitter {
  #engine;
  #connecting = null; // what connect promised last
  #devices = new Map(); // kind → id of the device that was switched to

  constructor(options = {}) {
    super();
    this.options = { ...defaults, ...options };
    this.#engine = new Engine(this, this.options);
  }

  get state() {
    return this.#engine.state;
  }

  get name() {
    return this.#engine.info.name;
  }

  get sid() {
    return this.#engine.info.sid;
  }

  async getSid() {
    return this.sid;
  }

  get metadata() {
    return this.#engine.info.metadata;
  }

  get maxParticipants() {
    return this.#engine.info.maxParticipants;
  }

  get createdAt() {
    return new Date(this.#engine.info.createdAt);
  }

  get numParticipants() {
    return this.#engine.info.numParticipants;
  }

  get localParticipant() {
    return this.#engine.local;
  }

  /**
   * remoteParticipants is the others, by identity. When a person is here more than
   * once, the first is under the identity and the others under their sids.
   */
  get remoteParticipants() {
    return this.#engine.remotes;
  }

  /** activeSpeakers is whoever speaks, of those who are heard here; the loudest first. */
  get activeSpeakers() {
    return this.#engine.speakers.active;
  }

  getParticipantByIdentity(identity) {
    return identity === this.localParticipant.identity ? this.localParticipant : this.remoteParticipants.get(identity);
  }

  getParticipantBySid(sid) {
    return this.#engine.bySid(sid);
  }

  /** getParticipantsByIdentity returns all participants of a person: usher's. */
  getParticipantsByIdentity(identity) {
    const others = this.#engine.ofIdentity(identity);
    return identity === this.localParticipant.identity ? [this.localParticipant, ...others] : others;
  }

  /**
   * listParticipants asks the server for people, a page at a time: usher's, for
   * rooms of so many that remoteParticipants has only those who publish.
   */
  async listParticipants({ after, limit } = {}) {
    const { participants, next, numParticipants } = await this.#engine.request({ type: "listParticipants", after, limit });
    return { participants, next, numParticipants };
  }

  /** token is the newest that the server gave, else the one that connect was given: usher's. */
  get token() {
    return this.#engine.tokens?.newest || undefined; // whoever came without has none
  }

  get tokenExpiresAt() {
    const at = this.#engine.tokens?.newestExpiresAt;
    return at === undefined || at === Infinity ? undefined : new Date(at);
  }

  /** prepareConnection has the browser look the server up and greet it, so that connect is quick. */
  async prepareConnection(url) {
    const at = sessionURL(url).replace(/^ws/, "http").replace(/session$/, "healthz");
    try {
      await fetch(at, { method: "HEAD", mode: "no-cors", credentials: "omit", cache: "no-store" });
    } catch {
      // connect will tell
    }
  }

  /**
   * connect joins the room that the token names, or opts.room when it names none or
   * there is none. It resolves when one is in, and rejects with a ConnectionError.
   * Where somebody has to let one in the state is "waiting" until then.
   */
  connect(url, token, opts = {}) {
    const { Connecting, Disconnected, Waiting } = ConnectionState;
    if (this.state === Waiting && this.#engine.entered) return this.#engine.readmitted();
    if (this.state === Connecting || this.state === Waiting) return this.#connecting;
    if (this.state !== Disconnected) return Promise.resolve();
    let become;
    const connecting = (this.#connecting = new Promise((resolve) => (become = resolve))); // there is one before a listener asks
    become(this.#connect(url, token, opts));
    return connecting;
  }

  async #connect(url, token, opts) {
    if (token !== undefined && typeof token !== "string") throw new TypeError("The token is a string, from your backend.");
    await this.#engine.connect(sessionURL(url), token ?? "", opts);
  }

  /** start is how the room, or the token, would like the page to begin: usher's. */
  get start() {
    return this.#engine.meeting.start;
  }

  /** tokenIgnored says that the token did not hold, and that one is in as without: usher's. */
  get tokenIgnored() {
    return this.#engine.meeting.tokenIgnored;
  }

  /** disconnect leaves the room. Local tracks are stopped unless told not to be. */
  async disconnect(stopTracks = true) {
    await this.#engine.disconnect(stopTracks);
  }

  registerRpcMethod(method, handler) {
    this.#engine.methods.register(method, handler);
  }

  unregisterRpcMethod(method) {
    this.#engine.methods.unregister(method);
  }

  get canPlaybackAudio() {
    return this.#engine.playback?.canPlayback?.() ?? true;
  }

  /** startAudio is to be called from a click when the browser plays no sound by itself. */
  async startAudio() {
    const media = await this.#engine.media();
    await media.startAudio?.();
  }

  /** updateParticipant changes a person by identity or sid: usher's, for admins. */
  async updateParticipant(target, changes) {
    if (!target?.identity === !target?.sid) throw new TypeError("Name the participant by identity or by sid.");
    const { name, metadata, attributes, permission } = changes;
    const reply = await this.#engine.request({
      type: "updateParticipant", identity: target.identity, sid: target.sid, name, metadata, attributes, permission,
    });
    return reply.participant;
  }

  // --- the lobby and the session data: usher's

  /** waitingParticipants is who waits to be let in, by sid; empty for those who may not do that. */
  get waitingParticipants() {
    return this.#engine.meeting.waiting;
  }

  /** admit lets somebody in who waits, by sid, or without an argument all of them. */
  async admit(...sid) {
    await this.#engine.request({ type: "admitParticipant", ...oneOrAll(sid) });
  }

  /** deny sends somebody away who waits, by sid, or without an argument all of them. */
  async deny(...sid) {
    await this.#engine.request({ type: "denyParticipant", ...oneOrAll(sid) });
  }

  /** sessionData is what the people in the room share while its meeting goes on. */
  get sessionData() {
    return this.#engine.meeting.sessionData;
  }

  /** updateSessionData replaces it, or with {merge: true} the keys given, after deleting others. */
  async updateSessionData(data, { merge = false, keysToDelete } = {}) {
    await this.#engine.request({ type: "updateSessionData", data, mergeStrategy: merge ? "shallow-merge" : undefined, keysToDelete });
  }

  /**
   * updatePermissions changes what participants may do, by their sids, and under "*" what
   * everybody else may who is no owner: in Daily's words, for admins.
   */
  async updatePermissions(data) {
    await this.#engine.request({ type: "updatePermissions", data });
  }

  /** ejectParticipant disconnects a person or a participant, whose tokens stay good: for admins. */
  async ejectParticipant(target, { ban = false } = {}) {
    if (!target?.identity === !target?.sid) throw new TypeError("Name the participant by identity or by sid.");
    await this.#engine.request({ type: "ejectParticipant", identity: target.identity, sid: target.sid, ban: ban || undefined });
  }

  /** removeParticipant disconnects a person or a participant: usher's, for admins. */
  async removeParticipant(target) {
    if (!target?.identity === !target?.sid) throw new TypeError("Name the participant by identity or by sid.");
    await this.#engine.request({ type: "removeParticipant", identity: target.identity, sid: target.sid });
  }

  /**
   * switchActiveDevice has camera or microphone ("videoinput", "audioinput") come
   * from another device, now and later. It rejects when that device cannot be used;
   * then all stays as it is.
   */
  async switchActiveDevice(kind, deviceId, exact = true) {
    if (!isInput(kind)) throw new UnsupportedError(`The device of "${kind}" cannot be switched, only "videoinput" and "audioinput".`);
    const before = this.getActiveDevice(kind);
    await this.localParticipant._switchDevice(kind, exact ? { exact: deviceId } : { ideal: deviceId });
    this.#devices.set(kind, deviceId);
    const now = this.getActiveDevice(kind);
    if (now !== before) this.emit(RoomEvent.ActiveDeviceChanged, kind, now);
    return now === deviceId;
  }

  /** getActiveDevice is the id of the device that is captured, or is going to be, if it is known. */
  getActiveDevice(kind) {
    return isInput(kind) ? (this.localParticipant._device(kind) ?? this.#devices.get(kind)) : undefined;
  }

  static async getLocalDevices(kind, requestPermissions = true) {
    return localDevices(kind, requestPermissions);
  }
}
