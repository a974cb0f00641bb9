// What can be wrong with a capture: the classes of section 11, each fault with the offset that it has there.

export const NOT_A_CAPTURE = 'not a capture';
export const UNSUPPORTED = 'unsupported';
export const CORRUPTION = 'corruption';
export const TRUNCATION = 'truncation';
export const LIMIT = 'limit';

/** A fault. `offset` is undefined until who knows where the frame stands fills it in, and null for what has no place. */
export class Fault extends Error {
  constructor(kind, message, offset = undefined) {
    super(message);
    this.kind = kind;
    this.offset = offset;
  }

  /** This fault, at the offset unless it has one. */
  at(offset) {
    if (this.offset === undefined) this.offset = offset;
    return this;
  }

  toString() {
    return `${this.offset === null ? '' : `offset ${this.offset}: `}${this.kind}: ${this.message}`;
  }
}

export function corruption(message) {
  return new Fault(CORRUPTION, message);
}

export function limit(message) {
  return new Fault(LIMIT, message);
}
