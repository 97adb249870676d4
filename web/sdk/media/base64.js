// Bytes as text, for decoder configurations, which travel as JSON.

export function encodeBase64(bytes) {
	const view = ArrayBuffer.isView(bytes)
		? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
		: new Uint8Array(bytes);
	let text = "";
	for (let i = 0; i < view.length; i += 0x2000) text += String.fromCharCode(...view.subarray(i, i + 0x2000));
	return btoa(text);
}

// decodeBase64 throws on what is not base64.
export function decodeBase64(text) {
	return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
