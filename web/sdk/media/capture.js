// Camera, microphone and screen, with refusals in plain words.

import { MediaError } from "./errors.js";

const cameraDefaults = { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 25, max: 30 } };
const microphoneDefaults = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: { ideal: 1 } };
const screenDefaults = { frameRate: { ideal: 10, max: 15 }, width: { max: 1920 }, height: { max: 1080 } };

const asked = (wish, defaults) => (wish === true ? defaults : wish ? { ...defaults, ...wish } : undefined);

// capture resolves with the tracks asked for: camera and microphone by one question
// to the person, the screen by another. true means sensible constraints; given ones are added to
// those. The screen's {audio} asks for its sound too. Tracks of the screen have
// contentHint "detail" (or the one they came with).
export async function capture({ camera, microphone, screen } = {}) {
	const devices = navigator.mediaDevices;
	if (!devices?.getUserMedia) {
		const more = { source: (screen && "screen_share") || sourceOf(camera, microphone) };
		throw globalThis.isSecureContext === false
			? new MediaError("insecure", "The browser gives the camera and microphone only to pages from https:// or from localhost.", more)
			: new MediaError("unsupported", "This browser gives pages no camera or microphone.", more);
	}
	const tracks = [];
	try {
		if (screen) tracks.push(...(await display(devices, screen)));
		const video = asked(camera, cameraDefaults);
		const audio = asked(microphone, microphoneDefaults);
		if (video || audio) {
			const what = [video && "camera", audio && "microphone"].filter(Boolean).join(" and ");
			const stream = await devices.getUserMedia({ video: video ?? false, audio: audio ?? false }).catch((e) => {
				throw inWords(e, what, sourceOf(video, audio));
			});
			tracks.push(...stream.getTracks());
		}
	} catch (e) {
		for (const track of tracks) track.stop();
		throw e;
	}
	return tracks;
}

async function display(devices, screen) {
	if (!devices.getDisplayMedia) throw new MediaError("unsupported", "This browser cannot share the screen.", { source: "screen_share" });
	const { audio = false, ...constraints } = screen === true ? {} : screen;
	const stream = await devices.getDisplayMedia({ video: { ...screenDefaults, ...constraints }, audio }).catch((e) => {
		throw inWords(e, "screen", "screen_share");
	});
	for (const track of stream.getVideoTracks()) track.contentHint ||= "detail";
	return stream.getTracks();
}

// sourceOf is the source that an error concerns, when it is one.
const sourceOf = (camera, microphone) => (camera && microphone ? undefined : camera ? "camera" : "microphone");

function inWords(e, what, source) {
	const more = { cause: e, source };
	switch (e?.name) {
		case "NotAllowedError":
			if (what === "screen") return new MediaError("cancelled", "Nothing was chosen to share, or sharing the screen is not allowed.", more);
			return new MediaError("denied", `The ${what} may not be used: allow it for this page in the browser's (or the system's) settings.`, more);
		case "SecurityError":
			return new MediaError("denied", `The ${what} may not be used: this page's settings or policy forbid it.`, more);
		case "NotFoundError":
			return new MediaError("device_not_found", `No ${what} was found.`, more);
		case "NotReadableError":
		case "AbortError":
			return new MediaError("in_use", `The ${what} does not start; perhaps another program is using it.`, more);
		case "OverconstrainedError":
			return new MediaError("constraints", `No ${what} can do what was asked (${e.constraint || "constraints"}).`, more);
		default:
			return new MediaError("unsupported", `The ${what} cannot be used: ${e?.message ?? e}`, more);
	}
}
