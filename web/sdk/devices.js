// Cameras and microphones of this machine, by the browser's words for them.

import { UnsupportedError } from "./errors.js";
import { Source } from "./events.js";

const kinds = new Map([[Source.Camera, "videoinput"], [Source.Microphone, "audioinput"]]);

/** deviceKindOf is the kind of device that a source comes from, if from one. */
export const deviceKindOf = (source) => kinds.get(source);

/** isInput reports whether a kind of device is one that a source comes from. */
export const isInput = (kind) => sourceOf(kind) !== undefined;

/** sourceOf is the source that a kind of device feeds. */
export const sourceOf = (kind) => [...kinds.keys()].find((source) => kinds.get(source) === kind);

/**
 * localDevices lists the devices of a kind, or all. Browsers name them only to
 * pages that may use one of the kind, so that is asked for first, unless told not to.
 */
export async function localDevices(kind, requestPermissions = true) {
  const devices = globalThis.navigator?.mediaDevices;
  if (!devices) throw new UnsupportedError("This page may not see devices: it has to come from https:// or localhost.");
  if (requestPermissions) {
    const stream = await devices.getUserMedia({ audio: kind !== "videoinput", video: kind === "videoinput" });
    for (const track of stream.getTracks()) track.stop();
  }
  return (await devices.enumerateDevices()).filter((d) => !kind || d.kind === kind);
}
