// Raw frames out of a MediaStreamTrack: through MediaStreamTrackProcessor where there
// is one, else through a video element, or an AudioWorklet.

import { MediaError } from "./errors.js";

// readVideo calls frame with each VideoFrame, which is then the callee's to close. It
// returns the function that ends it. The track goes on. failed is told, once, when
// there are no more frames of a track that has not ended, or when frame throws: the
// end of a track is told by the track itself.
export function readVideo(track, frame, failed) {
	return typeof MediaStreamTrackProcessor === "function" ? readProcessor(track, frame, failed) : readElement(track, frame, failed);
}

// readAudio does the same with AudioData.
export function readAudio(track, data, failed) {
	return typeof MediaStreamTrackProcessor === "function" ? readProcessor(track, data, failed) : readWorklet(track, data, failed);
}

function readProcessor(track, take, failed) {
	const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
	let over = false;
	const end = () => {
		over = true;
		reader.cancel().catch(() => {});
	};
	(async () => {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			if (over) value.close();
			else take(value);
		}
	})().catch((e) => {
		const wanted = !over && track.readyState !== "ended";
		end();
		if (wanted) failed(e);
	});
	return end;
}

// readElement needs a page that is shown: browsers paint no video in hidden ones.
function readElement(track, take, failed) {
	const video = document.createElement("video");
	if (!video.requestVideoFrameCallback) {
		throw new MediaError("unsupported", "This browser lets pages read no frames from a camera.");
	}
	video.muted = video.playsInline = true;
	video.srcObject = new MediaStream([track]);
	let handle = 0;
	const end = () => {
		video.cancelVideoFrameCallback(handle);
		video.srcObject = null;
	};
	const next = (now, { captureTime }) => {
		handle = video.requestVideoFrameCallback(next);
		if (!video.videoWidth) return;
		try {
			take(new VideoFrame(video, { timestamp: Math.round((captureTime ?? now) * 1000) }));
		} catch (e) {
			end();
			failed(e);
		}
	};
	handle = video.requestVideoFrameCallback(next);
	video.play().catch(() => {}); // interrupted by the end, or there is no frame yet
	return end;
}

function readWorklet(track, take, failed) {
	const context = new AudioContext({ sampleRate: 48000 });
	let node;
	let over = false;
	const end = () => {
		over = true;
		node?.port.close();
		context.close().catch(() => {});
	};
	const fail = (e) => {
		if (over) return; // closed in between
		end();
		failed(e);
	};
	(async () => {
		await context.audioWorklet.addModule(new URL("./audio-worklet.js", import.meta.url));
		if (over) return;
		node = new AudioWorkletNode(context, "usher-capture", { numberOfOutputs: 1, channelCount: 1, channelCountMode: "explicit" });
		node.port.onmessage = ({ data: { samples, time } }) => {
			if (over) return;
			try {
				take(new AudioData({
					format: "f32-planar", sampleRate: 48000, numberOfChannels: 1, numberOfFrames: samples.length,
					timestamp: Math.round(time * 1e6), data: samples,
				}));
			} catch (e) {
				fail(e);
			}
		};
		context.createMediaStreamSource(new MediaStream([track])).connect(node).connect(context.destination);
		await context.resume();
	})().catch(fail);
	return end;
}
