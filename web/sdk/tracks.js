// Tracks: what is captured here, and what arrives from others.

import { Emitter } from "./emitter.js";
import { Kind, Source, TrackEvent } from "./events.js";
import { audioConstraints, loadMedia, screenConstraints, videoConstraints } from "./media.js";

/** Track is something to see or hear. */
export class Track extends Emitter {
  static Kind = Kind;
  static Source = Source;

  sid = undefined;
  isMuted = false;
  attachedElements = [];

  constructor(kind, source) {
    super();
    this.kind = kind;
    this.source = source;
  }

  /** attach shows or plays the track in an element, a new one unless one is given. */
  attach(element = document.createElement(this.kind)) {
    if (!this.attachedElements.includes(element)) {
      this.attachedElements.push(element);
      if ("autoplay" in element) element.autoplay = true;
      if ("playsInline" in element) element.playsInline = true;
      this._attach(element);
      this.emit(TrackEvent.ElementAttached, element);
    }
    return element;
  }

  /** detach takes the track out of an element and returns it, or out of all and returns them. */
  detach(element) {
    const elements = element ? this.attachedElements.filter((e) => e === element) : this.attachedElements;
    this.attachedElements = this.attachedElements.filter((e) => !elements.includes(e));
    for (const e of elements) {
      this._detach(e);
      this.emit(TrackEvent.ElementDetached, e);
    }
    return element ?? elements;
  }
}

/** LocalTrack is captured here: a camera, a microphone, a screen, or a MediaStreamTrack of the page's. */
export class LocalTrack extends Track {
  isLocal = true;
  isUpstreamPaused = false;
  publication = null;

  #track;
  #recapture; // gets another MediaStreamTrack of the same source; null when the page's
  #deviceId; // to get it from; undefined: as at first

  constructor(mediaStreamTrack, source = Source.Unknown, recapture = null) {
    super(mediaStreamTrack.kind, source);
    this.#recapture = recapture;
    this.#adopt(mediaStreamTrack);
  }

  get mediaStreamTrack() {
    return this.#track;
  }

  get mediaStream() {
    return new MediaStream([this.#track]);
  }

  get id() {
    return this.#track.id;
  }

  get isUserProvided() {
    return this.#recapture === null;
  }

  get isStopped() {
    return this.#track.readyState === "ended";
  }

  get dimensions() {
    const { width, height } = this.kind === Kind.Video ? this.#track.getSettings() : {};
    return width && height ? { width, height } : undefined;
  }

  /** mute stops sending; a camera is switched off. */
  async mute() {
    if (this.publication) await this.publication.mute();
    else this._mute(true);
    return this;
  }

  async unmute() {
    if (this.publication) await this.publication.unmute();
    else {
      await this._restart();
      this._mute(false);
    }
    return this;
  }

  /** replaceTrack goes on with another MediaStreamTrack of the same kind. */
  async replaceTrack(track) {
    if (track.kind !== this.kind) throw new TypeError(`an ${this.kind} track cannot be replaced by one of ${track.kind}`);
    const before = this.#track;
    this.#adopt(track);
    if (!this.isUserProvided) before.stop();
    this.publication?._sourceChanged();
    return this;
  }

  /** _switchTo goes on with another device, or does when it is switched on again. */
  async _switchTo(deviceId) {
    if (!this.isStopped) {
      const track = await this.#recapture(deviceId);
      if (this.isStopped) track.stop(); // switched off or ended meanwhile
      else await this.replaceTrack(track);
    }
    this.#deviceId = deviceId;
  }

  /** stop ends the capture for good. */
  stop() {
    this.#track.onended = null;
    this.#track.stop();
  }

  // _mute is the part of muting that the server has nothing to do with.
  _mute(muted, release = false) {
    if (this.isMuted === muted) return;
    this.isMuted = muted;
    if (muted && release && !this.isUserProvided) this.stop();
    else this.#track.enabled = !muted;
    this.emit(muted ? TrackEvent.Muted : TrackEvent.Unmuted, this);
  }

  // _restart captures again what was stopped, and reports whether it did.
  async _restart() {
    if (!this.isStopped || this.isUserProvided) return false;
    this.#adopt(await this.#recapture(this.#deviceId));
    this.emit(TrackEvent.Restarted, this);
    return true;
  }

  #adopt(track) {
    if (this.#track) this.#track.onended = null;
    this.#track = track;
    if (this.isMuted) track.enabled = false;
    track.onended = () => this.emit(TrackEvent.Ended, this); // unplugged, or "stop sharing"
    for (const element of this.attachedElements) this._attach(element);
  }

  _attach(element) {
    if (this.kind === Kind.Video) element.muted = true;
    element.srcObject = new MediaStream([this.#track]);
    element.play?.()?.catch(() => {}); // refused until somebody has clicked; autoplay tries again
  }

  _detach(element) {
    element.srcObject = null;
  }
}

export class LocalVideoTrack extends LocalTrack {}
export class LocalAudioTrack extends LocalTrack {}

/** localTrack wraps a MediaStreamTrack. */
export function localTrack(track, source, recapture) {
  return track.kind === Kind.Audio ? new LocalAudioTrack(track, source, recapture) : new LocalVideoTrack(track, source, recapture);
}

/** recapture is what captures a source again, from the device given or as before. */
export function recapture(module, name, wish) {
  return async (deviceId) => {
    const from = deviceId === undefined ? wish : { ...(wish === true ? {} : wish), deviceId };
    return (await module.capture({ [name]: from }))[0];
  };
}

/** createLocalTracks captures camera and microphone, each unless it is false. */
export async function createLocalTracks({ audio = true, video = true } = {}, media = loadMedia) {
  const module = await media();
  const wish = { camera: video && videoConstraints(video), microphone: audio && audioConstraints(audio) };
  const tracks = await module.capture(wish);
  return tracks.map((track) => {
    const name = track.kind === Kind.Audio ? "microphone" : "camera";
    return localTrack(track, name, recapture(module, name, wish[name]));
  });
}

export async function createLocalVideoTrack(options) {
  return (await createLocalTracks({ audio: false, video: options ?? true }))[0];
}

export async function createLocalAudioTrack(options) {
  return (await createLocalTracks({ video: false, audio: options ?? true }))[0];
}

/** createLocalScreenTracks lets the person choose what of the screen to show. */
export async function createLocalScreenTracks(options, media = loadMedia) {
  const module = await media();
  const tracks = await module.capture({ screen: screenConstraints(options) });
  return tracks.map((track) => localTrack(track, track.kind === Kind.Audio ? Source.ScreenShareAudio : Source.ScreenShare));
}

/** RemoteTrack arrives from somebody else, while it is subscribed. */
export class RemoteTrack extends Track {
  isLocal = false;

  #receiver = null;
  #stopped = false;
  #options;

  // options: {codec, media, sync, requestKeyFrame, failed, level}
  constructor(kind, source, sid, options) {
    super(kind, source);
    this.sid = sid;
    this.#options = options;
    this.#begin();
  }

  async #begin() {
    const { codec, media, sync, requestKeyFrame, failed, level } = this.#options;
    const onLevel = (l) => this.#stopped || level(l);
    const onError = (error) => {
      if (this.#stopped) return;
      this.emit(TrackEvent.Error, error);
      failed(error);
    };
    try {
      const module = await media();
      if (this.#stopped) return;
      const more = sync && module.LipSync ? { sync: sync(module.LipSync) } : {};
      this.#receiver = this.kind === Kind.Audio
        ? await module.createAudioReceiver({ codec, onError, onLevel, ...more })
        : await module.createVideoReceiver({ codec, requestKeyFrame, onError, ...more });
      if (this.#stopped) {
        this.#receiver.stop();
        return;
      }
      this.#receiver.setMuted(this.isMuted);
      for (const element of this.attachedElements) this.#receiver.attach(element);
      requestKeyFrame(); // what came before could not be decoded
    } catch (error) {
      onError(error);
    }
  }

  get mediaStreamTrack() {
    return this.#receiver?.mediaStreamTrack;
  }

  get mediaStream() {
    const track = this.mediaStreamTrack;
    return track ? new MediaStream([track]) : undefined;
  }

  /** stats is what the receiver counts: usher's. */
  stats() {
    return this.#receiver?.stats();
  }

  _push(frame) {
    this.#receiver?.push(frame);
  }

  // _lost: a frame of that layer is missing, which others may be built on.
  _lost(layer) {
    this.#receiver?.lost?.(layer);
  }

  _mute(muted) {
    if (this.isMuted === muted) return;
    this.isMuted = muted;
    this.#receiver?.setMuted(muted);
    this.emit(muted ? TrackEvent.Muted : TrackEvent.Unmuted, this);
  }

  _attach(element) {
    this.#receiver?.attach(element);
  }

  _detach(element) {
    this.#receiver?.detach(element);
  }

  // _stop leaves the elements to be had from detach, for the page to remove.
  _stop() {
    this.#stopped = true;
    this.#receiver?.stop();
    this.#receiver = null;
    this.emit(TrackEvent.Ended, this);
  }
}

export class RemoteVideoTrack extends RemoteTrack {}

export class RemoteAudioTrack extends RemoteTrack {
  #volume = 1;

  setVolume(volume) {
    this.#volume = volume;
    for (const element of this.attachedElements) element.volume = volume;
  }

  getVolume() {
    return this.#volume;
  }

  _attach(element) {
    if ("volume" in element) element.volume = this.#volume;
    super._attach(element);
  }
}
