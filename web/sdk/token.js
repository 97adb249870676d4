// Tokens, as far as a page may read them. Only the server knows whether one
// holds; what is read here only says when it runs out.

/** decodeToken returns the claims of a JWT, or null. It verifies nothing. */
export function decodeToken(token) {
  try {
    const [, body] = token.split(".");
    const bytes = Uint8Array.from(atob(body.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims !== null && typeof claims === "object" && !Array.isArray(claims) ? claims : null;
  } catch {
    return null;
  }
}

/** expiryOf returns when a token runs out, in ms; Infinity if it does not say. */
export function expiryOf(token) {
  const exp = decodeToken(token)?.exp;
  return typeof exp === "number" ? exp * 1000 : Infinity;
}

/**
 * Tokens are what a session may be joined with: the newest that has not run out
 * and was not refused, in the order refreshed, original, provided. All are for the
 * room that one is in: what was good for another is forgotten.
 */
export class Tokens {
  skew = 0; // server time less this page's, ms

  #now;
  #provider;
  #original; // null after a move
  #refreshed = null;
  #refused = new Set(); // for having run out, by the server's word
  #asked = false; // the provider, since the last join

  constructor(original, provider, now = Date.now) {
    this.#original = { token: original, expiresAt: expiryOf(original) };
    this.#provider = provider;
    this.#now = now;
  }

  /** newest is the token to show, whether it still holds or not. */
  get newest() {
    return (this.#refreshed ?? this.#original)?.token;
  }

  get newestExpiresAt() {
    return (this.#refreshed ?? this.#original)?.expiresAt;
  }

  /** moved forgets the tokens of the room before. The one for the new room may come later. */
  moved() {
    this.#original = this.#refreshed = null;
  }

  refresh(token, expiresAt) {
    this.#refreshed = { token, expiresAt: expiresAt ?? expiryOf(token) };
  }

  /** joined forgets what was refused before. */
  joined() {
    this.#refused.clear();
    this.#asked = false;
  }

  /** expired notes that the server called a token run out, and reports whether there is another. */
  expired(token) {
    this.#refused.add(token);
    return [this.#refreshed, this.#original].some((t) => this.#holds(t)) || (Boolean(this.#provider) && !this.#asked);
  }

  #holds(t) {
    return t !== null && !this.#refused.has(t.token) && t.expiresAt > this.#now() + this.skew;
  }

  /**
   * pick returns the token to join with. When all have run out it asks the
   * provider; without one it returns the newest, and the server has the last word.
   * It is undefined when there is none for this room.
   */
  async pick() {
    for (const t of [this.#refreshed, this.#original]) if (this.#holds(t)) return t.token;
    if (!this.#provider) return this.newest;
    this.#asked = true;
    const token = await this.#provider();
    if (typeof token !== "string" || token === "") throw new TypeError("tokenProvider returned no token.");
    this.#original = { token, expiresAt: expiryOf(token) };
    this.#refreshed = null;
    this.#refused.delete(token);
    return token;
  }
}
