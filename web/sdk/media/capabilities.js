// What this browser can encode and decode.

const names = { vp8: ["vp8"], vp9: ["vp09.00.31.08", "vp09.00.10.08"], av1: ["av01.0.05M.08", "av01.0.08M.08"] };
// Constrained baseline, which everything decodes. A level is a promise about sizes, which
// change in mid-track: levels above the one needed are no harm.
const h264 = ["42e028", "42e01f", "42001f", "4d0028", "640028"].map((profile) => "avc1." + profile);
const h264Large = ["42e033", "4d0033", "640033"].map((profile) => "avc1." + profile);

export const videoCodecs = ["vp8", "vp9", "h264", "av1"];

// codecStrings are the names that WebCodecs may know a codec by, the best first.
export function codecStrings(codec, width = 0, height = 0) {
	if (codec === "h264") return width * height > 1920 * 1088 ? h264Large : h264;
	return names[codec] ?? [];
}

// supported says whether one of the WebCodecs classes takes the configuration.
export async function supported(kind, config) {
	try {
		return (await globalThis[kind].isConfigSupported(config)).supported === true;
	} catch {
		return false; // no such class, or a configuration that it does not even understand
	}
}

// videoEncoderConfig finds what a codec can be encoded with: the temporal layers asked
// for, else fewer. It is null when the codec cannot be encoded at all.
export async function videoEncoderConfig(codec, { width, height, bitrate, framerate, scalabilityMode = "L1T3" }) {
	const modes = [...new Set([scalabilityMode, "L1T3", "L1T2", "L1T1"])].filter((mode) => mode <= scalabilityMode);
	for (const mode of modes) {
		for (const name of codecStrings(codec, width, height)) {
			const config = {
				codec: name, width, height, bitrate, framerate,
				latencyMode: "realtime", bitrateMode: "constant",
				...(mode !== "L1T1" && { scalabilityMode: mode }),
				// With parameter sets in the stream, whoever comes later can begin at any key frame.
				...(codec === "h264" && { avc: { format: "annexb" } }),
			};
			if (await supported("VideoEncoder", config)) return config;
		}
	}
	return null;
}

export const opus = { codec: "opus", sampleRate: 48000, numberOfChannels: 1 };

const hasProcessor = typeof MediaStreamTrackProcessor === "function";

// whyNot tells in plain words why there can be no media at all, if so.
function whyNot() {
	if (globalThis.isSecureContext === false) {
		return "Browsers give cameras, microphones and WebCodecs only to pages from https:// or from localhost.";
	}
	const missing = ["VideoEncoder", "VideoDecoder", "AudioEncoder", "AudioDecoder", "VideoFrame", "AudioData"].filter(
		(name) => typeof globalThis[name] !== "function",
	);
	if (missing.length) {
		return `This browser cannot send or play all media here: it lacks WebCodecs (${missing.join(", ")}). A current Chrome or Edge has it.`;
	}
	if (typeof AudioWorkletNode !== "function") return "This browser cannot play sound here: it lacks AudioWorklet.";
	return undefined;
}

// capabilities resolves with what can be sent and received, and with the reason, in
// plain words, when something essential is missing.
export async function capabilities() {
	const answer = { video: { send: [], receive: [] }, audio: { send: [], receive: [] } };
	const canCaptureVideo = hasProcessor || typeof globalThis.HTMLVideoElement?.prototype?.requestVideoFrameCallback === "function";
	await Promise.all(
		videoCodecs.map(async (codec) => {
			const [send, receive] = await Promise.all([
				canCaptureVideo && videoEncoderConfig(codec, { width: 640, height: 360, bitrate: 500_000, framerate: 30 }),
				Promise.any(
					codecStrings(codec).map(async (name) => (await supported("VideoDecoder", { codec: name })) || Promise.reject()),
				).catch(() => false),
			]);
			if (send) answer.video.send.push(codec);
			if (receive) answer.video.receive.push(codec);
		}),
	);
	for (const list of [answer.video.send, answer.video.receive]) {
		list.sort((a, b) => videoCodecs.indexOf(a) - videoCodecs.indexOf(b));
	}
	const [send, receive] = await Promise.all([supported("AudioEncoder", { ...opus, bitrate: 32000 }), supported("AudioDecoder", opus)]);
	const canProcess = typeof AudioWorkletNode === "function";
	if (send && (hasProcessor || canProcess)) answer.audio.send.push("opus");
	if (receive && canProcess) answer.audio.receive.push("opus");
	const reason = whyNot() ?? (answer.video.send.length && answer.video.receive.length && send && receive
		? undefined
		: "This browser has WebCodecs, but no codec that is needed here works for both sending and playing.");
	return reason ? { ...answer, reason } : answer;
}
