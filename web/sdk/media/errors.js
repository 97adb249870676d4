// A MediaError says in plain words what stands in the way, source which source it
// concerns (as the protocol calls it), if one does. Its code is one of
//
//	unsupported       the browser cannot do it
//	insecure          the page is not served over https (or from localhost)
//	denied            the person, or the system, said no
//	cancelled         the person closed the chooser
//	device_not_found  no such device
//	in_use            the device is taken, or does not start
//	constraints       no device can do what was asked
//	ended             the track to be sent has ended
//	capture           a track gives no pictures or sound any more, though it has not ended
//	encoder           encoding failed
//	decoder           decoding failed
//	blocked           the browser plays no sound before somebody has clicked or typed
export class MediaError extends Error {
	constructor(code, message, { cause, source } = {}) {
		super(message, cause === undefined ? undefined : { cause });
		this.name = "MediaError";
		this.code = code;
		this.source = source;
	}
}

// called is a source in words.
export const called = (source) => source.replaceAll("_", " ");
