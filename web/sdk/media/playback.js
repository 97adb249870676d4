// The page's one AudioContext for playing, and the browser's leave to make a sound:
// most browsers give it only after the person has clicked or typed.

import { MediaError } from "./errors.js";

const patience = 500; // ms that a context gets to start before it counts as blocked

let context = null;
let ready = null; // the context's worklet
let users = 0;
let allowed = true;
const waiting = new Set(); // elements that were not allowed to play
const listeners = new Set();

// canPlayback is false when there is something to be heard and the browser forbids it.
export const canPlayback = () => allowed;

// onPlaybackChanged calls listener whenever canPlayback changes, with its value, and
// returns the function that ends that.
export function onPlaybackChanged(listener) {
	listeners.add(listener);
	return () => listeners.delete(listener);
}

// startAudio is to be called from a click or a key press after canPlayback was false.
export async function startAudio() {
	open();
	const started = resume();
	const elements = [...waiting].map((element) => play(element));
	await Promise.all([started, ...elements]);
	if (!allowed) throw new MediaError("blocked", "The browser plays no sound yet: call startAudio from a click or a key press.");
}

// useContext is for receivers: it resolves with the running context, to be given back
// by releaseContext.
export function useContext() {
	users++;
	open();
	resume();
	const used = context;
	return ready.then(() => used);
}

export function releaseContext() {
	if (--users > 0 || !context) return;
	context.suspend().catch(() => {}); // costs nothing then
	check();
}

// play starts an element; if it may not, startAudio will.
export async function play(element) {
	try {
		await element.play();
		waiting.delete(element);
	} catch (e) {
		if (e.name === "NotAllowedError") waiting.add(element);
		// Anything else was interrupted by another attempt or by the end.
	}
	check();
}

export function forget(element) {
	waiting.delete(element);
	check();
}

function open() {
	if (context) return;
	if (typeof globalThis.AudioWorkletNode !== "function") {
		throw new MediaError("unsupported", "This browser cannot play sound here: it lacks AudioWorklet.");
	}
	context = new AudioContext({ sampleRate: 48000, latencyHint: "interactive" });
	context.addEventListener("statechange", check);
	ready = context.audioWorklet.addModule(new URL("./audio-worklet.js", import.meta.url));
	const opened = context;
	ready.catch(() => { // told to those who wait for it; the next one tries again
		if (context === opened) context = ready = null;
		opened.close?.().catch(() => {});
		check();
	});
}

async function resume() {
	if (context.state !== "running") {
		for (const kind of gestures) document.addEventListener(kind, gesture, { capture: true });
	}
	// Also when it is running: it may be about to be suspended, since nobody used it.
	const running = context.resume().catch(() => {});
	let timer;
	await Promise.race([running, new Promise((resolve) => { timer = setTimeout(resolve, patience); })]);
	clearTimeout(timer);
	check(true);
}

const gestures = ["pointerup", "keydown"];

// gesture uses whatever the person does in the page, called startAudio or not.
function gesture() {
	if (users === 0 || !context) return;
	context.resume().catch(() => {});
	for (const element of waiting) play(element);
}

// check tells the listeners of a change. A context is blocked only after it had time
// to start.
function check(late) {
	if (context?.state === "running" && waiting.size === 0) {
		for (const kind of gestures) document.removeEventListener(kind, gesture, { capture: true });
	}
	const silent = context && users > 0 && context.state !== "running";
	if (silent && late !== true && allowed) return; // starting, or about to be told of by resume
	const now = !silent && waiting.size === 0;
	if (now === allowed) return;
	allowed = now;
	for (const listener of listeners) listener(allowed);
}
