// Whether the index accounts for every frame (section 4.6). This reader does not need an index, as it reads all frames
// anyway: it only tells where one is not to be trusted.

import { readFooter, readIndex } from './bodies.mjs';
import { CORRUPTION, corruption, Fault } from './fault.mjs';
import { TYPES } from './frames.mjs';
import { readMap } from './msgpack.mjs';

const FIRST_FRAME = 16;

export class IndexCheck {
  #indexes = new Map(); // INDEX frames by offset
  #footer;
  #result;

  /** Notes a frame; the frames are added in order. */
  add(frame) {
    const { type, offset, length, number } = frame;
    this.#footer = undefined; // a footer that is not the last frame is none
    if (type === TYPES.INDEX) this.#indexes.set(offset, this.#keep(frame, { length, number }, () => readIndex(readMap(Uint8Array.from(frame.body)))));
    if (type === TYPES.FOOTER) this.#footer = this.#keep(frame, { offset, number }, () => ({ index: readFooter(readMap(frame.body)) }));
  }

  #keep(frame, known, read) {
    try {
      return { ...known, ...read() };
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      return { ...known, fault: fault.at(frame.offset) };
    }
  }

  /** Why the index is not to be trusted, or undefined; also where there is none. */
  get fault() {
    return this.#checked().fault;
  }

  /** What a trustworthy index has about the frame at an offset. */
  entryAt(offset) {
    return this.#checked().entries?.get(offset);
  }

  /** Throws what keeps a frame from being used that a trustworthy index speaks of (section 5.5, 12.3). */
  check(frame) {
    const entry = this.entryAt(frame.offset);
    if (!entry) return;
    if (entry.type !== frame.type) throw corruption(`a frame of type ${frame.type}, where the index names type ${entry.type}`);
    if (entry.fault) throw entry.fault;
  }

  #checked() {
    this.#result ??= this.#follow();
    return this.#result;
  }

  /** Goes back from the footer: the entries must lead to the first frame and the numbers to 0. */
  #follow() {
    if (!this.#footer || this.#footer.fault) return {};
    const distrust = (offset, what) => ({ fault: new Fault(CORRUPTION, `the index is not to be trusted: ${what}`, offset) });
    const entries = new Map();
    let start = this.#footer.offset; // from here on, and from this number on, the frames are accounted for
    let number = this.#footer.number;
    for (let at = this.#footer.index; at !== undefined;) {
      if (at >= start) return distrust(start, 'it is said to be further behind');
      const index = this.#indexes.get(at);
      if (!index) return distrust(at, 'an INDEX frame should be here');
      if (index.fault) return { fault: index.fault };
      if (at + index.length !== start || index.number + 1 !== number) return distrust(at, `frames before byte ${start} are in no index`);
      start = at;
      for (const entry of [...index.frames].reverse()) {
        if (entry.offset + entry.length !== start) return distrust(at, 'its entries leave a hole');
        entries.set(entry.offset, entry);
        start = entry.offset;
      }
      number = index.number - index.frames.length;
      at = index.previous;
    }
    if (start !== FIRST_FRAME || number !== 0) return distrust(start, 'frames before this byte are in no index');
    return { entries };
  }
}
