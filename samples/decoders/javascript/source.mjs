// The bytes of a file or of a pipe, from front to back, with no more in memory than what is looked at.
//
// Whoever reads asks for a stretch by its offset, and says from which offset on bytes are still of use.

import { readSync } from 'node:fs';

const PIECE = 1 << 18; // bytes asked for at a time

export class Source {
  #descriptor;
  #held = Buffer.alloc(0); // bytes from #start on: the first #length of the buffer
  #length = 0;
  #start = 0;
  #ended = false;

  constructor(descriptor) {
    this.#descriptor = descriptor;
  }

  /** How many bytes have been read so far; all of the file once a stretch came back short. */
  get seen() {
    return this.#start + this.#length;
  }

  /** The bytes from the offset on, fewer than asked for where the file ends. Valid until the next call. */
  stretch(offset, length) {
    while (!this.#ended && this.seen < offset + length) this.#more(offset + length - this.seen);
    const from = Math.min(offset - this.#start, this.#length);
    return this.#held.subarray(from, Math.min(from + length, this.#length));
  }

  /** Bytes before the offset are not needed any more. */
  forget(offset) {
    const count = Math.min(offset - this.#start, this.#length);
    if (count < PIECE && count < this.#length) return; // moving the rest each time would take longer than reading it
    this.#held.copyWithin(0, count, this.#length);
    this.#start += count;
    this.#length -= count;
  }

  #more(wanted) {
    // A length in the file is a promise only: memory grows with what is there, not with what is promised.
    const size = Math.min(Math.max(PIECE, wanted), Math.max(PIECE, this.#length));
    if (this.#length + size > this.#held.length) {
      const larger = Buffer.alloc(Math.max(2 * this.#held.length, this.#length + size));
      this.#held.copy(larger, 0, 0, this.#length);
      this.#held = larger;
    }
    const count = readSync(this.#descriptor, this.#held, this.#length, size, null);
    this.#length += count;
    this.#ended = count === 0;
  }
}
