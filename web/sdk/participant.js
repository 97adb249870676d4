// Participants, as the room knows them.

import { Emitter } from "./emitter.js";
import { Kind, ParticipantEvent, ParticipantKind, RoomEvent, Source } from "./events.js";
import { RemoteTrackPublication } from "./publication.js";

// changesOf lists what differs, what is gone as "".
function changesOf(before, after) {
  // As maps, since people may call an attribute "constructor".
  const [had, has] = [before, after].map((attributes) => new Map(Object.entries(attributes)));
  const keys = new Set([...had.keys(), ...has.keys()]);
  return Object.fromEntries([...keys].filter((k) => had.get(k) !== has.get(k)).map((k) => [k, has.get(k) ?? ""]));
}

// What of the permissions can be changed, and what follows from those or from the token.
const changeable = [
  "canSubscribe", "canPublish", "canPublishData", "canPublishSources", "hidden", "canUpdateMetadata",
  "canSubscribeMetrics", "canManageAgentSession",
];
const derived = ["canUpdatePresence", "admin", "recorder", "owner"];

// permissionsOf adds LiveKit's name for canUpdateOwnMetadata.
const permissionsOf = (p) => Object.freeze({ ...p, canUpdateMetadata: p.canUpdateOwnMetadata });

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Participant is one presence of a person in the room. */
export class Participant extends Emitter {
  sid = "";
  identity = "";
  name = "";
  metadata = "";
  attributes = Object.freeze({});
  permissions = undefined;
  presence = Object.freeze({}); // usher's
  state = "joining"; // usher's: joining, active, reconnecting or gone
  kind = ParticipantKind.STANDARD;
  joinedAt = undefined;
  willEjectAt = undefined; // usher's: when it is put out
  version = 0; // usher's
  trackPublications = new Map();
  audioTrackPublications = new Map();
  videoTrackPublications = new Map();
  isSpeaking = false;
  audioLevel = 0;
  lastSpokeAt = undefined;

  // Not an own field that would be seen when a participant is printed.
  #engine;

  constructor(engine) {
    super();
    this.#engine = engine;
  }

  get _engine() {
    return this.#engine;
  }

  get isLocal() {
    return false;
  }

  get isActive() {
    return this.state === "active" || this.state === "reconnecting";
  }

  get isAgent() {
    return this.kind === ParticipantKind.AGENT;
  }

  /** isOwner says that only owners may touch this participant: usher's. */
  get isOwner() {
    return this.permissions?.owner === true;
  }

  get isEncrypted() {
    return false;
  }

  get isCameraEnabled() {
    return this.#enabled(Source.Camera);
  }

  get isMicrophoneEnabled() {
    return this.#enabled(Source.Microphone);
  }

  get isScreenShareEnabled() {
    return this.#enabled(Source.ScreenShare);
  }

  getTrackPublications() {
    return [...this.trackPublications.values()];
  }

  getTrackPublication(source) {
    return this.getTrackPublications().find((p) => p.source === source);
  }

  getTrackPublicationByName(name) {
    return this.getTrackPublications().find((p) => p.trackName === name);
  }

  #enabled(source) {
    const publication = this.getTrackPublication(source);
    return publication !== undefined && !publication.isMuted;
  }

  // --- moderation: usher's, for those whose permissions.admin allows it.

  /**
   * setPermissions changes what this person may do; what is not named stays as it
   * is. It resolves when the change is in force.
   */
  async setPermissions(changes) {
    const { canUpdateOwnMetadata, ...named } = changes;
    if (canUpdateOwnMetadata !== undefined) named.canUpdateMetadata = canUpdateOwnMetadata; // the token's word for it
    for (const name of derived) delete named[name];
    const permission = { ...named }; // the server refuses a name that is misspelt
    for (const name of changeable) permission[name] ??= this.permissions[name];
    await this.#engine.request({ type: "updateParticipant", identity: this.identity, permission });
  }

  /** remove disconnects the person and revokes the tokens used so far. */
  async remove() {
    await this.#engine.request({ type: "removeParticipant", identity: this.identity });
  }

  // _info takes over what the server says; what changed is told.
  _info(info) {
    const before = { name: this.name, metadata: this.metadata, attributes: this.attributes, permissions: this.permissions, state: this.state, willEjectAt: this.willEjectAt };
    const first = this.sid === "";
    this.sid = info.sid;
    this.identity = info.identity;
    this.name = info.name;
    this.metadata = info.metadata;
    this.attributes = Object.freeze({ ...info.attributes });
    this.permissions = permissionsOf(info.permissions);
    this.state = info.state;
    this.kind = info.kind;
    this.joinedAt = new Date(info.joinedAt);
    this.willEjectAt = info.willEjectAt === undefined ? undefined : new Date(info.willEjectAt);
    this.version = info.version;
    if (first) return;
    const tell = (own, rooms, ...args) => this._tell(ParticipantEvent[own], RoomEvent[rooms], ...args);
    if (before.name !== this.name) tell("ParticipantNameChanged", "ParticipantNameChanged", this.name);
    if (before.metadata !== this.metadata) tell("ParticipantMetadataChanged", "ParticipantMetadataChanged", before.metadata);
    const changed = changesOf(before.attributes, this.attributes);
    if (Object.keys(changed).length) tell("AttributesChanged", "ParticipantAttributesChanged", changed);
    if (!same(before.permissions, this.permissions)) tell("ParticipantPermissionsChanged", "ParticipantPermissionsChanged", before.permissions);
    if (before.willEjectAt?.getTime() !== this.willEjectAt?.getTime()) tell("StayLimitChanged", "StayLimitChanged", this.willEjectAt);
    if (before.state !== this.state) {
      tell("StateChanged", "ParticipantStateChanged", this.state);
      if (before.state === "joining" && this.state === "active") tell("Active", "ParticipantActive");
    }
  }

  _present(presence) {
    if (same(this.presence, presence)) return;
    this.presence = Object.freeze({ ...presence });
    this._tell(ParticipantEvent.PresenceChanged, RoomEvent.PresenceChanged, this.presence);
  }

  _add(publication) {
    this.trackPublications.set(publication.trackSid, publication);
    this.#ofKind(publication)?.set(publication.trackSid, publication);
  }

  _drop(publication) {
    for (const map of [this.trackPublications, this.#ofKind(publication)]) {
      if (map?.get(publication.trackSid) === publication) map.delete(publication.trackSid);
    }
  }

  #ofKind({ kind }) {
    if (kind === Kind.Audio) return this.audioTrackPublications;
    return kind === Kind.Video ? this.videoTrackPublications : undefined;
  }

  // _tell is an event of the participant's and the room's.
  _tell(own, rooms, ...args) {
    this.#engine.emit(this, own, args);
    this.#engine.emitRoom(rooms, ...args, this);
  }
}

/** RemoteParticipant is somebody else. */
export class RemoteParticipant extends Participant {
  #sync = null; // keeps lips and voice together, made by the first track

  /** setVolume is of what is heard of this person: the microphone, or the source named. */
  setVolume(volume, source = Source.Microphone) {
    this.getTrackPublication(source)?.track?.setVolume(volume);
  }

  getVolume(source = Source.Microphone) {
    return this.getTrackPublication(source)?.track?.getVolume();
  }

  getTrackPublicationBySid(sid) {
    return this.trackPublications.get(sid);
  }

  /** mute mutes a track of somebody else's: usher's, for admins. Only its owner can unmute it. */
  async mute(source) {
    const publication = this.getTrackPublication(source);
    if (publication && !publication.isMuted) await this._engine.request({ type: "muteTrack", trackSid: publication.trackSid, muted: true });
  }

  // _tracks takes over a list of tracks; what came and went is told.
  _tracks(list) {
    const there = new Set(list.map((t) => t.sid));
    for (const publication of this.getTrackPublications()) {
      if (!there.has(publication.trackSid)) this._unpublished(publication.trackSid);
    }
    for (const info of list) this._published(info);
  }

  _published(info) {
    if (info.kind === "data") return; // data tracks are not for this SDK yet
    const known = this.trackPublications.get(info.sid);
    if (known) {
      known._mute(info.muted);
      return;
    }
    const publication = new RemoteTrackPublication(this._engine, this, info);
    this._add(publication);
    this._tell(ParticipantEvent.TrackPublished, RoomEvent.TrackPublished, publication);
  }

  _unpublished(sid) {
    const publication = this.trackPublications.get(sid);
    if (!publication) return;
    this._drop(publication);
    publication._unsubscribed();
    this._tell(ParticipantEvent.TrackUnpublished, RoomEvent.TrackUnpublished, publication);
  }

  _subscribed(info) {
    this._published(info);
    this.trackPublications.get(info.sid)?._subscribed(info, (LipSync) => (this.#sync ??= new LipSync()));
  }
}
