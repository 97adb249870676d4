// The participant that this page is.

import { LostError, PublishTrackError, RequestError, UnexpectedConnectionState, UnsupportedError } from "./errors.js";
import { ParticipantEvent, RoomEvent, Source } from "./events.js";
import { deviceKindOf, sourceOf } from "./devices.js";
import { packData } from "./data.js";
import { audioConstraints, screenConstraints, videoConstraints } from "./media.js";
import { Participant } from "./participant.js";
import { LocalTrackPublication, wordOf } from "./publication.js";
import { createLocalScreenTracks, createLocalTracks, localTrack, recapture } from "./tracks.js";

// Lossy data is not worth waiting behind so much.
const lossyBacklog = 64 << 10;

export class LocalParticipant extends Participant {
  lastCameraError = undefined;
  lastMicrophoneError = undefined;

  #publishing = new Map(); // MediaStreamTrack → promise of its publication
  #republishing = new Set(); // publications that are about to be announced anew
  #turns = new Map(); // source → the last of what is done to it
  #presence = null; // {change, full, done}: waits for its turn
  #presenceBusy = false;

  get isLocal() {
    return true;
  }

  // --- what one says of oneself

  async setMetadata(metadata) {
    await this._engine.request({ type: "updateMetadata", metadata });
  }

  async setName(name) {
    await this._engine.request({ type: "updateMetadata", name });
    this._engine.named(name);
  }

  /** setAttributes merges; an attribute set to "" is deleted. */
  async setAttributes(attributes) {
    await this._engine.request({ type: "updateMetadata", attributes });
  }

  /**
   * setPresence changes the keys given, or all with {full: true}: usher's. Calls
   * in quick succession are sent as one.
   */
  setPresence(presence, { full = false } = {}) {
    const next = this.#presence;
    if (next && !full) {
      next.change = { ...next.change, ...presence };
      return next.done;
    }
    let settle;
    const done = new Promise((resolve, reject) => (settle = { resolve, reject }));
    // One that replaces all makes the one before it needless; both succeed or fail.
    if (next) done.then(next.settle.resolve, next.settle.reject);
    this.#presence = { change: { ...presence }, full, done, settle };
    if (!this.#presenceBusy) this.#sendPresence();
    return done;
  }

  async #sendPresence() {
    this.#presenceBusy = true;
    await undefined; // what is said in the same breath goes along
    for (let next; (next = this.#presence); ) {
      this.#presence = null;
      try {
        await this._engine.request({ type: "updatePresence", presence: next.change, full: next.full || undefined });
        this._present(next.full ? next.change : { ...this.presence, ...next.change });
        next.settle.resolve();
      } catch (error) {
        next.settle.reject(error);
      }
    }
    this.#presenceBusy = false;
  }

  // --- data

  /**
   * publishData sends bytes, or a JSON value, to all or to those named. As in
   * LiveKit it may be lost unless {reliable: true} is asked for.
   */
  async publishData(data, { reliable = false, topic, destinationIdentities, destinationSids } = {}) {
    const message = { type: "publishData", ...packData(data), reliable, topic, destinationIdentities, destinationSids };
    if (!reliable && (!this._engine.canSend || this._engine.backlog > lossyBacklog)) {
      this._engine.mustBeJoined(message.type);
      return; // lost, which is what was agreed
    }
    await this._engine.request(message);
  }

  registerRpcMethod(method, handler) {
    this._engine.methods.register(method, handler);
  }

  unregisterRpcMethod(method) {
    this._engine.methods.unregister(method);
  }

  async performRpc() {
    throw new UnsupportedError("Calls from participant to participant are not there yet: have your backend call, or send data.");
  }

  // --- tracks

  /**
   * setCameraEnabled publishes the camera, or mutes it: then it is off, and its
   * light with it.
   */
  setCameraEnabled(enabled, options, publishOptions) {
    return this.#inTurn(Source.Camera, () => this.#enable(Source.Camera, enabled, publishOptions, () => {
      const wish = videoConstraints({ ...this._engine.options.videoCaptureDefaults, ...options });
      return this.#capture({ camera: wish }, Source.Camera);
    }));
  }

  setMicrophoneEnabled(enabled, options, publishOptions) {
    return this.#inTurn(Source.Microphone, () => this.#enable(Source.Microphone, enabled, publishOptions, () => {
      const wish = audioConstraints({ ...this._engine.options.audioCaptureDefaults, ...options });
      return this.#capture({ microphone: wish }, Source.Microphone);
    }));
  }

  /** setScreenShareEnabled lets the person choose what to show, or ends showing it. */
  setScreenShareEnabled(enabled, options, publishOptions) {
    return this.#inTurn(Source.ScreenShare, async () => {
      if (enabled) {
        return this.#enable(Source.ScreenShare, true, publishOptions, () => this.#capture({ screen: screenConstraints(options) }, Source.ScreenShare));
      }
      const shown = [Source.ScreenShare, Source.ScreenShareAudio].map((s) => this.#own(s)).filter(Boolean);
      for (const publication of shown) await this.unpublishTrack(publication.track);
      return shown[0];
    });
  }

  async enableCameraAndMicrophone() {
    await Promise.all([this.setCameraEnabled(true), this.setMicrophoneEnabled(true)]);
  }

  createTracks(options) {
    return createLocalTracks(options, this._engine.media);
  }

  createScreenTracks(options) {
    return createLocalScreenTracks(options, this._engine.media);
  }

  // _switchDevice has a source come from another device, now if it is captured by
  // the SDK, and whenever it is from now on.
  _switchDevice(kind, deviceId) {
    const source = sourceOf(kind);
    return this.#inTurn(source, async () => {
      const track = this.#own(source)?.track;
      if (track && !track.isUserProvided) await track._switchTo(deviceId);
      const { options } = this._engine;
      const name = source === Source.Camera ? "videoCaptureDefaults" : "audioCaptureDefaults";
      options[name] = { ...options[name], deviceId };
    });
  }

  // _device is where a source comes from, as far as is known.
  _device(kind) {
    const track = this.#own(sourceOf(kind))?.track;
    return track && !track.isStopped ? track.mediaStreamTrack.getSettings().deviceId : undefined;
  }

  #inTurn(source, what) {
    const done = (this.#turns.get(source) ?? Promise.resolve()).then(what);
    this.#turns.set(source, done.catch(() => {}));
    return done;
  }

  // own is a publication of a source, also while it is published anew.
  #own(source) {
    return this.getTrackPublication(source) ?? [...this.#republishing].find((p) => p.source === source);
  }

  async #capture(wish, source) {
    const media = await this._engine.media();
    const [name] = Object.keys(wish);
    const again = name === "screen" ? null : recapture(media, name, wish[name]);
    const tracks = await media.capture(wish);
    return tracks.map((track) => localTrack(track, source === Source.ScreenShare && track.kind === "audio" ? Source.ScreenShareAudio : source, again));
  }

  async #enable(source, enabled, publishOptions, capture) {
    const errorField = { [Source.Camera]: "lastCameraError", [Source.Microphone]: "lastMicrophoneError" }[source];
    const publication = this.#own(source);
    const { era } = this._engine;
    try {
      if (publication) {
        await (enabled ? publication.unmute() : publication.mute());
        return publication;
      }
      if (!enabled) return undefined;
      this._engine.mustBeJoined("publishTrack");
      await this.#askFirst(source, source === Source.Microphone ? "audio" : "video");
      const tracks = await capture();
      const published = [];
      try {
        if (era !== this._engine.era) throw new UnexpectedConnectionState("The room is not connected any more.");
        for (const track of tracks) published.push(await this.publishTrack(track, publishOptions));
      } finally {
        for (const track of tracks) if (!track.publication) track.stop();
      }
      if (errorField) this[errorField] = undefined;
      return published.find((p) => p.source === source);
    } catch (error) {
      if (errorField) this[errorField] = error;
      const refused = error instanceof RequestError || error instanceof UnexpectedConnectionState; // no device's fault
      if (!refused && era === this._engine.era) this.#deviceFailed(error, source);
      throw error;
    }
  }

  // askFirst has the server refuse, and say why, before somebody is asked for the
  // camera in vain.
  async #askFirst(source, kind) {
    const { canPublish, canPublishSources, hidden } = this.permissions ?? {};
    const may = canPublish && !hidden && (canPublishSources.length === 0 || canPublishSources.includes(source));
    if (may) return;
    const { track } = await this._engine.request({ type: "publishTrack", kind, source: wordOf(source, kind), muted: true });
    await this._engine.request({ type: "unpublishTrack", trackSid: track.sid }); // it is allowed since a moment ago
  }

  /** publishTrack shows a track to the others. It resolves when they have been told. */
  async publishTrack(track, options = {}) {
    const media = track.mediaStreamTrack ?? track;
    const known = [...this.getTrackPublications(), ...this.#republishing].find((p) => p.track === track || p.track.mediaStreamTrack === media);
    if (known) return known;
    if (this.#publishing.has(media)) return this.#publishing.get(media);
    const publishing = this.#publish(track, media, { ...this._engine.options.publishDefaults, ...options });
    this.#publishing.set(media, publishing);
    try {
      return await publishing;
    } finally {
      this.#publishing.delete(media);
    }
  }

  async #publish(track, media, options) {
    this._engine.mustBeJoined("publishTrack");
    if (track === media) track = localTrack(media, options.source ?? Source.Unknown);
    else if (options.source) track.source = options.source;
    const { era } = this._engine;
    const publication = new LocalTrackPublication(this._engine, this, track, options);
    try {
      await publication._encode();
      await this.#announce(publication, era);
    } catch (error) {
      publication._end(false);
      if (error.code !== undefined) throw error;
      throw new PublishTrackError(`The track could not be published: ${error.message}`, { cause: error });
    }
    return publication;
  }

  // announce gives up when the connection has ended, or the publication.
  async #announce(publication, era) {
    for (let tries = 0; ; tries++) {
      if (era !== this._engine.era) throw new UnexpectedConnectionState("The room is not connected any more.");
      publication._mustGoOn();
      try {
        const { track } = await this._engine.request(publication._announcement());
        if (publication._isOver) this._engine.request({ type: "unpublishTrack", trackSid: track.sid }).catch(() => {});
        publication._mustGoOn();
        this.#published(publication, track);
        return;
      } catch (error) {
        // Whatever became of it, it is not in the session that is there now.
        if (!(error instanceof LostError) || tries === 3) throw error;
        await this._engine.whenJoined(era);
      }
    }
  }

  #published(publication, info) {
    publication._published(info);
    this._add(publication);
    this._tell(ParticipantEvent.LocalTrackPublished, RoomEvent.LocalTrackPublished, publication);
    const muted = publication.isMuted;
    if (info.muted !== muted) this._engine.request({ type: "muteTrack", trackSid: info.sid, muted }).catch(() => {});
  }

  /** unpublishTrack takes a track away from the others, and stops it unless told not to. */
  async unpublishTrack(track, stopOnUnpublish = this._engine.options.stopLocalTrackOnUnpublish) {
    const is = (p) => p.track === track || p.track.mediaStreamTrack === track;
    const publishing = this.#publishing.get(track.mediaStreamTrack ?? track);
    if (publishing) await publishing.catch(() => {}); // as in LiveKit
    const publication = this.getTrackPublications().find(is);
    if (!publication) {
      const coming = [...this.#republishing].find(is);
      if (coming) this.#endComing(coming, stopOnUnpublish);
      return coming;
    }
    this._withdrawn(publication, stopOnUnpublish);
    await this._engine.request({ type: "unpublishTrack", trackSid: publication.trackSid }).catch((error) => {
      if (!(error instanceof LostError) && error.code !== "not_found") throw error; // gone already, or with the session
    });
    return publication;
  }

  async unpublishTracks(tracks) {
    return (await Promise.all(tracks.map((track) => this.unpublishTrack(track)))).filter(Boolean);
  }

  // endComing: the server does not know it at the moment, and others were told so.
  #endComing(publication, stop) {
    this.#republishing.delete(publication);
    publication._end(stop);
  }

  _endRepublishing(stop) {
    for (const publication of [...this.#republishing]) this.#endComing(publication, stop);
  }

  // _withdrawn: a track is published no more.
  _withdrawn(publication, stop) {
    this._drop(publication);
    publication._end(stop);
    this._tell(ParticipantEvent.LocalTrackUnpublished, RoomEvent.LocalTrackUnpublished, publication);
  }

  // _unpublishedByServer: the right was taken away, or the participant hidden.
  _unpublishedByServer(sid) {
    const publication = this.trackPublications.get(sid);
    if (publication) this._withdrawn(publication, this._engine.options.stopLocalTrackOnUnpublish);
  }

  // _failed: capturing or encoding has ended for good.
  _failed(publication, error) {
    this.#deviceFailed(error, publication.source);
    this.unpublishTrack(publication.track).catch(() => {});
  }

  #deviceFailed(error, source) {
    this._tell(ParticipantEvent.MediaDevicesError, RoomEvent.MediaDevicesError, error, deviceKindOf(source), source);
  }

  // _forgetTracks: the server knows none of the tracks any more. It returns those
  // to be published again.
  _forgetTracks() {
    const publications = this.getTrackPublications();
    for (const publication of publications) {
      this._drop(publication);
      publication._silence();
      this._tell(ParticipantEvent.LocalTrackUnpublished, RoomEvent.LocalTrackUnpublished, publication);
    }
    return publications;
  }

  // _publishAgain announces them anew. What is refused has ended, as after a
  // demotion: that it is unpublished was told before.
  async _publishAgain(publications) {
    const audioFirst = publications.toSorted((a, b) => (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0));
    const { era } = this._engine;
    for (const publication of audioFirst) this.#republishing.add(publication);
    for (const publication of audioFirst) {
      try {
        await this.#announce(publication, era);
      } catch (error) {
        if (publication._isOver) continue;
        publication._end(this._engine.options.stopLocalTrackOnUnpublish);
        if (era === this._engine.era && error.code !== "not_allowed") this.#deviceFailed(error, publication.source);
      } finally {
        this.#republishing.delete(publication);
      }
    }
  }

  // _reconcile compares with what the server has of the session that goes on.
  _reconcile(tracks) {
    const theirs = new Map(tracks.map((t) => [t.sid, t]));
    for (const publication of this.getTrackPublications()) {
      const track = theirs.get(publication.trackSid);
      if (!track) this._unpublishedByServer(publication.trackSid);
      else if (track.muted && !publication.isMuted) publication._mute();
      else if (!track.muted && publication.isMuted) this._engine.request({ type: "muteTrack", trackSid: track.sid, muted: true }).catch(() => {});
    }
    for (const sid of theirs.keys()) {
      // Published by a request whose reply was lost, which was told to fail.
      if (!this.trackPublications.has(sid)) this._engine.request({ type: "unpublishTrack", trackSid: sid }).catch(() => {});
    }
  }
}
