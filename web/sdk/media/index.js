// Camera, microphone and screen over any channel that carries frames, through
// WebCodecs. These modules know nothing of rooms or sockets: a sender hands out
// frames, a receiver is given them.
//
// A frame is {key, layer, timestamp, data}:
//
//	key        boolean; decoding can begin here
//	layer      0..3, the temporal layer; nothing in lower layers depends on higher ones
//	timestamp  whole µs of the publisher's wall clock (performance.timeOrigin + now) when
//	           it was captured; grows within a track, and is the same clock for all tracks of
//	           a page, so that a receiver can keep lips and voice together
//	data       Uint8Array, one encoded frame
//
// A codec is what a receiver needs to know, as JSON: {codec: 'vp8', config: {codec:
// 'vp8', codedWidth, codedHeight}, clockRate: 1000000}. It holds for the whole track:
// what changes later (the size of the picture, say) is in the key frames.
//
// The page's Content-Security-Policy must let these files be scripts and
// worklets (script-src); nothing else is asked of it.

export { capabilities } from "./capabilities.js";
export { capture } from "./capture.js";
export { createVideoSender } from "./video-sender.js";
export { createAudioSender } from "./audio-sender.js";
export { createVideoReceiver } from "./video-receiver.js";
export { createAudioReceiver } from "./audio-receiver.js";
export { canPlayback, startAudio, onPlaybackChanged } from "./playback.js";
export { LipSync } from "./clock.js";
export { MediaError } from "./errors.js";
