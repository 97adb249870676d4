// Publications: that somebody has a track, whether it is received or not.

import { Emitter } from "./emitter.js";
import { LostError, PublishTrackError, UnexpectedConnectionState } from "./errors.js";
import { Kind, ParticipantEvent, PermissionStatus, RoomEvent, Source, SubscriptionStatus, TrackEvent } from "./events.js";
import { Gate, fragment } from "./frames.js";
import { RemoteAudioTrack, RemoteVideoTrack } from "./tracks.js";

/** sourceNamed is Track.Source for the protocol's word: custom ones are "unknown", as in LiveKit. */
export const sourceNamed = (word) => (word === "custom_audio" || word === "custom_video" ? Source.Unknown : word);

/** wordOf is the protocol's word for a source. */
export const wordOf = (source, kind) => (source === Source.Unknown || !source ? `custom_${kind}` : source);

export class TrackPublication extends Emitter {
  static SubscriptionStatus = SubscriptionStatus;
  static PermissionStatus = PermissionStatus;

  constructor(info) {
    super();
    this._update(info);
  }

  _update(info) {
    this.trackInfo = info;
    this.kind = info.kind;
    this.trackSid = info.sid;
    this.trackName = info.name;
    this.source = sourceNamed(info.source);
    this.mimeType = info.codec?.codec ? `${info.kind}/${info.codec.codec}` : undefined;
    const { codedWidth: width, codedHeight: height } = info.codec?.config ?? {};
    this.dimensions = width && height ? { width, height } : undefined;
  }

  get videoTrack() {
    return this.kind === Kind.Video ? this.track : undefined;
  }

  get audioTrack() {
    return this.kind === Kind.Audio ? this.track : undefined;
  }

  get isEncrypted() {
    return false;
  }
}

/** LocalTrackPublication is a track of one's own. */
export class LocalTrackPublication extends TrackPublication {
  isLocal = true;
  isSubscribed = true;

  #engine;
  #participant;
  #sender = null;
  #gate;
  #handle = null; // null while the server does not know the track
  #counter = 0;
  #serverMuted = false;
  #over = false; // it is published no more, and is not going to be
  #turn = Promise.resolve(); // mute and unmute, one after the other

  // codec, once the sender knows, is what others decode by.
  codec = null;

  constructor(engine, participant, track, options) {
    super({ kind: track.kind, sid: "", name: options.name ?? "", source: wordOf(track.source, track.kind) });
    this.#engine = engine;
    this.#participant = participant;
    this.#gate = new Gate(track.kind);
    this.track = track;
    this.options = options;
    track.on(TrackEvent.Ended, this.#ended);
  }

  get isMuted() {
    return this.track.isMuted;
  }

  get isEnabled() {
    return !this.isMuted;
  }

  get isUpstreamPaused() {
    return this.isMuted;
  }

  /** mute stops sending, for all. A camera is switched off, and its light with it. */
  mute() {
    return this.#inTurn(async () => {
      if (!this.isMuted) {
        this._mute();
        await this.#tell(true);
      }
      return this.track;
    });
  }

  /** unmute sends again; a camera that was switched off is asked for again. */
  unmute() {
    return this.#inTurn(async () => {
      if (!this.isMuted) return this.track;
      this._mustGoOn();
      let again = false;
      try {
        again = await this.track._restart();
        this._mustGoOn();
        this.track._mute(false);
        if (again) this._sourceChanged();
        this.#sender.setPaused(false);
        await this.#tell(false);
        this._mustGoOn();
      } catch (error) {
        this.#muteAgain(again, error);
        throw error;
      }
      this.#participant._tell(ParticipantEvent.TrackUnmuted, RoomEvent.TrackUnmuted, this);
      this.emit(TrackEvent.Unmuted);
      return this.track;
    });
  }

  // muteAgain: unmuting has failed. Nothing may be captured that nobody gets.
  #muteAgain(captured, error) {
    this.#sender?.setPaused(true);
    this.track._mute(true, this.#releases);
    if (this.#over && captured) this.track.stop();
    if (error instanceof LostError && !this.#over) this.#tell(true).catch(() => {}); // it may have been done
  }

  get #releases() {
    return this.source === Source.Camera || (this.source === Source.Microphone && this.options.stopMicTrackOnMute);
  }

  // _isOver: it is published no more, and is not going to be.
  get _isOver() {
    return this.#over;
  }

  _mustGoOn() {
    if (this.#over) throw new PublishTrackError("The track is not published any more.");
  }

  /** stats is what the sender counts: usher's. */
  stats() {
    return { ...this.#sender?.stats(), droppedForBacklog: this.#gate.dropped };
  }

  #inTurn(what) {
    const done = this.#turn.then(what);
    this.#turn = done.catch(() => {});
    return done;
  }

  async #tell(muted) {
    if (this.#handle === null) return; // it is published with that state
    await this.#engine.request({ type: "muteTrack", trackSid: this.trackSid, muted });
  }

  // _mute is muting that the server knows of, or will be told of.
  _mute() {
    if (this.isMuted) return;
    this.#sender?.setPaused(true);
    this.track._mute(true, this.#releases);
    this.#participant._tell(ParticipantEvent.TrackMuted, RoomEvent.TrackMuted, this);
    this.emit(TrackEvent.Muted);
  }

  // _toldMuted: the server tells of every muting, of one's own before its reply.
  // So whatever is left over when it is the turn was an admin's.
  _toldMuted(muted) {
    this.#serverMuted = muted;
    if (muted) this.#inTurn(() => this.#serverMuted && !this.#over && this._mute());
  }

  // _encode begins to encode the track.
  async _encode() {
    const media = await this.#engine.media();
    this._mustGoOn();
    const { options, track, kind } = this;
    const common = {
      track: track.mediaStreamTrack,
      source: wordOf(this.source, kind),
      send: (frame) => this.#send(frame),
      bufferedAmount: () => this.#engine.backlog,
      onError: (error) => this.#participant._failed(this, error),
      onLevel: (level) => this.#over || this.#engine.speakers.heard(this.#participant, this, level),
    };
    const sender = kind === Kind.Audio
      ? await media.createAudioSender({ ...common, maxBitrate: options.audioPreset?.maxBitrate })
      : await media.createVideoSender({
          ...common,
          codec: options.videoCodec,
          maxBitrate: (this.source === Source.ScreenShare ? (options.screenShareEncoding ?? options.videoEncoding) : options.videoEncoding)?.maxBitrate,
          maxFramerate: (this.source === Source.ScreenShare ? (options.screenShareEncoding ?? options.videoEncoding) : options.videoEncoding)?.maxFramerate,
          scalabilityMode: options.scalabilityMode,
          simulcast: false,
        });
    if (this.#over) sender.stop();
    this._mustGoOn();
    this.#sender = sender;
    this.codec = sender.codec;
    sender.setPaused(this.isMuted);
    if (track.mediaStreamTrack !== common.track) this._sourceChanged(); // meanwhile
  }

  // _sourceChanged: another MediaStreamTrack is captured. The sender goes on with it,
  // so that what others decode by holds: it is said once, when a track is published.
  _sourceChanged() {
    this.#sender?.replaceTrack(this.track.mediaStreamTrack);
  }

  #send(frame) {
    const engine = this.#engine;
    if (this.#handle === null || this.isMuted || !engine.canSend) return;
    if (!this.#gate.pass(frame, engine.backlog, () => this.#sender?.requestKeyFrame())) return;
    for (const message of fragment(this.#handle, this.#counter, frame)) engine.sendFrame(message);
    this.#counter = (this.#counter + 1) & 0xffff;
  }

  _announcement() {
    return {
      type: "publishTrack", kind: this.kind, source: wordOf(this.source, this.kind), name: this.trackName || undefined,
      codec: this.codec ?? undefined, muted: this.isMuted,
    };
  }

  _published(info) {
    this._update(info);
    this.track.sid = info.sid;
    this.track.publication = this;
    this.#handle = info.handle;
    this.#serverMuted = info.muted;
    this.#counter = 0;
    this._keyFrame();
  }

  // _silence: the server does not know the track any more.
  _silence() {
    this.#handle = null;
  }

  // _keyFrame is wanted by others, or since frames were lost on the way.
  _keyFrame() {
    if (this.kind !== Kind.Video) return;
    this.#gate.need();
    this.#sender?.requestKeyFrame();
  }

  // _wanted is a key frame that somebody asked for: nothing was lost here.
  _wanted() {
    this.#sender?.requestKeyFrame();
  }

  _end(stop) {
    this.#over = true;
    this.track.off(TrackEvent.Ended, this.#ended);
    this.#handle = null;
    this.#sender?.stop();
    this.#sender = null;
    this.#engine.speakers.forget(this);
    if (stop) this.track.stop();
    if (this.track.publication === this) this.track.publication = null;
  }

  // A camera that was unplugged, a screen that is shown no more.
  #ended = () => {
    this.emit(TrackEvent.Ended, this.track);
    this.#participant.unpublishTrack(this.track).catch(() => {});
  };
}

/** RemoteTrackPublication is a track of somebody else's. */
export class RemoteTrackPublication extends TrackPublication {
  isLocal = false;
  track = undefined;

  #engine;
  #participant;
  #muted;
  #wish; // what setSubscribed said; undefined: as the room subscribes
  #allowed = true;
  #stale = false;
  #codec = "";

  constructor(engine, participant, info) {
    super(info);
    this.#engine = engine;
    this.#participant = participant;
    this.#muted = info.muted;
  }

  get isMuted() {
    return this.#muted;
  }

  get isSubscribed() {
    return this.track !== undefined;
  }

  get isEnabled() {
    return this.isSubscribed && !this.#muted;
  }

  get isDesired() {
    return this.#wish ?? this.#engine.autoSubscribe;
  }

  get subscriptionStatus() {
    if (this.isSubscribed) return SubscriptionStatus.Subscribed;
    return this.isDesired ? SubscriptionStatus.Desired : SubscriptionStatus.Unsubscribed;
  }

  get permissionStatus() {
    return this.#allowed ? PermissionStatus.Allowed : PermissionStatus.NotAllowed;
  }

  /** setSubscribed begins or ends receiving. What becomes of it is told by events. */
  setSubscribed(subscribed) {
    const before = this.subscriptionStatus;
    this.#wish = subscribed;
    this.#statusFrom(before);
    const type = subscribed ? "subscribe" : "unsubscribe";
    const { era } = this.#engine;
    this.#engine.request({ type, trackSid: this.trackSid }).catch((error) => {
      if (era !== this.#engine.era) return; // there is nothing to be subscribed any more
      if (error.outcome === "not_done" || error instanceof UnexpectedConnectionState) return; // asked again when the room is joined again
      this._failed(error);
    });
  }

  // _asWished repeats, after a join, what differs from how the room subscribes.
  _asWished() {
    if (this.#wish !== undefined && this.#wish !== this.#engine.autoSubscribe) this.setSubscribed(this.#wish);
  }

  _failed(error) {
    if (error.code === "not_allowed") this._allow(false);
    this.#participant._tell(ParticipantEvent.TrackSubscriptionFailed, RoomEvent.TrackSubscriptionFailed, this.trackSid, error);
    this.#say(TrackEvent.SubscriptionFailed, error);
  }

  _mute(muted) {
    if (this.#muted === muted) return;
    this.#muted = muted;
    this.trackInfo.muted = muted;
    this.track?._mute(muted);
    const name = muted ? "TrackMuted" : "TrackUnmuted";
    this.#participant._tell(ParticipantEvent[name], RoomEvent[name], this);
    this.#say(muted ? TrackEvent.Muted : TrackEvent.Unmuted);
  }

  // _subscribed: frames of the track follow.
  _subscribed(info, sync) {
    const codec = JSON.stringify(info.codec ?? null);
    if (this.track && this.#stale && codec === this.#codec) {
      this.#stale = false;
      this._update(info);
      return; // as if it had never been interrupted
    }
    this._unsubscribed();
    const before = this.subscriptionStatus;
    this._allow(true);
    this._update(info);
    this.#codec = codec;
    this.#stale = false;
    const RemoteKind = this.kind === Kind.Audio ? RemoteAudioTrack : RemoteVideoTrack;
    this.track = new RemoteKind(this.kind, this.source, this.trackSid, {
      codec: info.codec,
      media: this.#engine.media,
      sync,
      requestKeyFrame: () => this._requestKeyFrame(),
      failed: (error) => this._failed(error),
      level: (level) => this.#engine.speakers.heard(this.#participant, this, level),
    });
    this.track._mute(this.#muted);
    this.#participant._tell(ParticipantEvent.TrackSubscribed, RoomEvent.TrackSubscribed, this.track, this);
    this.#say(TrackEvent.Subscribed, this.track);
    this.#statusFrom(before);
  }

  // _unsubscribed: no more frames follow.
  _unsubscribed() {
    const { track } = this;
    if (!track) return;
    const before = this.subscriptionStatus;
    this.track = undefined;
    this.#stale = false;
    track._stop();
    this.#engine.speakers.forget(this);
    this.#participant._tell(ParticipantEvent.TrackUnsubscribed, RoomEvent.TrackUnsubscribed, track, this);
    this.#say(TrackEvent.Unsubscribed, track);
    this.#statusFrom(before);
  }

  // _doubt: whether it is still subscribed will be seen.
  _doubt() {
    this.#stale = this.isSubscribed;
  }

  _settle() {
    if (this.#stale) this._unsubscribed();
  }

  _allow(allowed) {
    if (this.#allowed === allowed) return;
    this.#allowed = allowed;
    this.#participant._tell(ParticipantEvent.TrackSubscriptionPermissionChanged, RoomEvent.TrackSubscriptionPermissionChanged, this, this.permissionStatus);
    this.#say(TrackEvent.SubscriptionPermissionChanged, this.permissionStatus);
  }

  _requestKeyFrame() {
    if (this.kind === Kind.Video && this.isSubscribed) this.#engine.request({ type: "requestKeyFrame", trackSid: this.trackSid }).catch(() => {});
  }

  #say(event, ...args) {
    this.#engine.emit(this, event, args);
  }

  #statusFrom(before) {
    const now = this.subscriptionStatus;
    if (before === now) return;
    this.#participant._tell(ParticipantEvent.TrackSubscriptionStatusChanged, RoomEvent.TrackSubscriptionStatusChanged, this, now);
    this.#say(TrackEvent.SubscriptionStatusChanged, now, before);
  }
}
