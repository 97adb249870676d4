// Remote calls: the application's backend calls a method of the page.

import { RpcError } from "./errors.js";

const { ErrorCode } = RpcError;

const bytes = (text) => new TextEncoder().encode(text).length;

// cut shortens a text to so many bytes, between characters.
function cut(text, most) {
  const encoded = new TextEncoder().encode(text);
  return encoded.length <= most ? text : new TextDecoder().decode(encoded.subarray(0, most)).replace(/\ufffd+$/, "");
}

/** Methods is what may be called. */
export class Methods {
  #handlers = new Map();

  register(method, handler) {
    if (typeof handler !== "function") throw new TypeError(`the handler of ${method} is not a function`);
    if (this.#handlers.has(method)) throw new Error(`A handler of "${method}" is registered already. Call unregisterRpcMethod first.`);
    this.#handlers.set(method, handler);
  }

  unregister(method) {
    this.#handlers.delete(method);
  }

  /** reply answers a call with a request. */
  async reply(call, now, request) {
    const answer = await this.answer(call, now);
    await request({ type: "rpcReply", rpc: call.rpc, ...answer }).catch(() => {}); // nobody waits any more
  }

  /** answer runs the handler of a call and resolves with the fields of rpcReply. */
  async answer(call, now) {
    const handler = this.#handlers.get(call.method);
    if (!handler) return failed(new RpcError(ErrorCode.UNSUPPORTED_METHOD, "Method not supported at destination"));
    try {
      const payload = await handler({
        requestId: call.rpc,
        callerIdentity: "", // the backend has none
        payload: call.payload,
        responseTimeout: Math.max(0, call.deadline - now),
      });
      if (typeof payload !== "string") throw new TypeError(`the handler of "${call.method}" returned no string`);
      if (bytes(payload) > RpcError.MAX_DATA_BYTES) throw new RpcError(ErrorCode.RESPONSE_PAYLOAD_TOO_LARGE, "Response payload too large");
      return { payload };
    } catch (error) {
      if (error instanceof RpcError) return failed(error);
      console.warn(`usher: the handler of "${call.method}" failed`, error);
      return failed(new RpcError(ErrorCode.APPLICATION_ERROR, "Application error in method handler"));
    }
  }
}

function failed({ code, message, data }) {
  return { error: { code, message: cut(message, RpcError.MAX_MESSAGE_BYTES), data: cut(data ?? "", RpcError.MAX_DATA_BYTES) } };
}
