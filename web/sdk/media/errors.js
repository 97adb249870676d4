// A MediaError says in plain words what stands in the way. Its code is one of
//
//	unsupported   the browser cannot do it
//	insecure      the page is not served over https (or from localhost)
//	denied        the person, or the system, said no
//	cancelled     the person closed the chooser
//	not_found     no such device
//	in_use        the device is taken, or does not start
//	constraints   no device can do what was asked
//	encoder       encoding failed
//	decoder       decoding failed
//	blocked       the browser plays no sound before somebody has clicked or typed
export class MediaError extends Error {
	constructor(code, message, cause) {
		super(message, cause ? { cause } : undefined);
		this.name = "MediaError";
		this.code = code;
	}
}
