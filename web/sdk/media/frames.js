// Raw frames out of a MediaStreamTrack: through MediaStreamTrackProcessor where there
// is one, else through a video element, or an AudioWorklet.

import { MediaError } from "./errors.js";

// readVideo calls frame with each VideoFrame, which is then the callee's to close. It
// returns the function that ends it. The track goes on.
export function readVideo(track, frame) {
	return typeof MediaStreamTrackProcessor === "function" ? readProcessor(track, frame) : readElement(track, frame);
}

// readAudio does the same with AudioData.
export function readAudio(track, data) {
	return typeof MediaStreamTrackProcessor === "function" ? readProcessor(track, data) : readWorklet(track, data);
}

function readProcessor(track, take) {
	const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
	let over = false;
	(async () => {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			if (over) value.close();
			else take(value);
		}
	})().catch(() => {}); // the track's end, whatever its kind, is told by the track itself
	return () => {
		over = true;
		reader.cancel().catch(() => {});
	};
}

// readElement needs a page that is shown: browsers paint no video in hidden ones.
function readElement(track, take) {
	const video = document.createElement("video");
	if (!video.requestVideoFrameCallback) {
		throw new MediaError("unsupported", "This browser lets pages read no frames from a camera.");
	}
	video.muted = video.playsInline = true;
	video.srcObject = new MediaStream([track]);
	let handle = 0;
	const next = (now, { captureTime }) => {
		handle = video.requestVideoFrameCallback(next);
		if (!video.videoWidth) return;
		take(new VideoFrame(video, { timestamp: Math.round((captureTime ?? now) * 1000) }));
	};
	handle = video.requestVideoFrameCallback(next);
	video.play().catch(() => {}); // interrupted by the end, or there is no frame yet
	return () => {
		video.cancelVideoFrameCallback(handle);
		video.srcObject = null;
	};
}

function readWorklet(track, take) {
	const context = new AudioContext({ sampleRate: 48000 });
	let node;
	let over = false;
	(async () => {
		await context.audioWorklet.addModule(new URL("./audio-worklet.js", import.meta.url));
		if (over) return;
		node = new AudioWorkletNode(context, "usher-capture", { numberOfOutputs: 1, channelCount: 1, channelCountMode: "explicit" });
		node.port.onmessage = ({ data: { samples, time } }) => {
			if (over) return;
			take(new AudioData({
				format: "f32-planar", sampleRate: 48000, numberOfChannels: 1, numberOfFrames: samples.length,
				timestamp: Math.round(time * 1e6), data: samples,
			}));
		};
		context.createMediaStreamSource(new MediaStream([track])).connect(node).connect(context.destination);
		await context.resume();
	})().catch(() => {}); // closed in between
	return () => {
		over = true;
		node?.port.close();
		context.close().catch(() => {});
	};
}
