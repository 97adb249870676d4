// The way to the media modules, which are loaded when they are needed: a page
// that only sends data never does.

import { UnsupportedError } from "./errors.js";

let loading = null;

/** loadMedia imports media/index.js, once. */
export function loadMedia() {
  loading ??= import("./media/index.js").catch((cause) => {
    loading = null;
    throw new UnsupportedError("The SDK's media modules could not be loaded. They are beside usher.js, in media/.", { cause });
  });
  return loading;
}

/**
 * capabilities resolves with what this browser can send and play: {video: {send,
 * receive}, audio: {send, receive}, reason}. reason is there when it can not.
 */
export async function capabilities() {
  return (await loadMedia()).capabilities();
}

const value = (v) => (v && typeof v === "object" && "ideal" in v ? v.ideal : v);

/** videoConstraints turns livekit-client's VideoCaptureOptions into what browsers take. */
export function videoConstraints(options) {
  if (!options || options === true) return true;
  const { resolution, frameRate, deviceId, facingMode, ...rest } = options;
  delete rest.processor;
  const constraints = { ...rest };
  if (deviceId !== undefined) constraints.deviceId = deviceId;
  if (facingMode !== undefined) constraints.facingMode = facingMode;
  if (resolution?.width) constraints.width = { ideal: resolution.width };
  if (resolution?.height) constraints.height = { ideal: resolution.height };
  const rate = value(frameRate) ?? resolution?.frameRate;
  if (rate) constraints.frameRate = { ideal: rate };
  return Object.keys(constraints).length ? constraints : true;
}

/** audioConstraints is the same for AudioCaptureOptions. */
export function audioConstraints(options) {
  if (!options || options === true) return true;
  const constraints = { ...options };
  delete constraints.processor;
  return Object.keys(constraints).length ? constraints : true;
}

/** screenConstraints is the same for ScreenShareCaptureOptions. */
export function screenConstraints(options) {
  if (!options || options === true) return true;
  const { audio, resolution } = options;
  const constraints = {};
  if (audio) constraints.audio = audio === true ? true : audioConstraints(audio);
  if (typeof options.video === "object") Object.assign(constraints, options.video);
  if (resolution?.width) constraints.width = { max: resolution.width };
  if (resolution?.height) constraints.height = { max: resolution.height };
  if (resolution?.frameRate) constraints.frameRate = { ideal: resolution.frameRate };
  return Object.keys(constraints).length ? constraints : true;
}
