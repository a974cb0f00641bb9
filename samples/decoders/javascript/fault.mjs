// What can be wrong with a capture: the classes of section 11, each fault with the offset it belongs to.

export const NOT_A_CAPTURE = 'not a capture';
export const UNSUPPORTED = 'unsupported';
export const CORRUPTION = 'corruption';
export const TRUNCATION = 'truncation';
export const LIMIT = 'limit';

/** A fault. `offset` is filled in by who knows where the frame stands. */
export class Fault extends Error {
  constructor(kind, message, offset = undefined) {
    super(message);
    this.kind = kind;
    this.offset = offset;
  }

  /** This fault, at the offset unless it has one. */
  at(offset) {
    this.offset ??= offset;
    return this;
  }
}

export function corruption(message) {
  return new Fault(CORRUPTION, message);
}

export function limit(message) {
  return new Fault(LIMIT, message);
}
