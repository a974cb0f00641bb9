// Whether the index accounts for every frame (section 4.6). This reader does not need an index, as it reads all frames
// anyway: it only tells where one is not to be trusted.

import { readFooter, readIndex } from './bodies.mjs';
import { CORRUPTION, Fault } from './fault.mjs';
import { TYPES } from './frames.mjs';
import { readMap } from './msgpack.mjs';

const FIRST_FRAME = 16;

export class IndexCheck {
  #indexes = new Map(); // INDEX frames by offset
  #frames = []; // type, offset and length of all frames
  #footer;

  /** Notes a frame; the frames are added in order. */
  add(frame) {
    const { type, offset, length, number } = frame;
    this.#frames.push({ type, offset, length });
    this.#footer = undefined; // a footer that is not the last frame is none
    if (type === TYPES.INDEX) this.#indexes.set(offset, this.#keep(frame, { length, number }, () => readIndex(readMap(Uint8Array.from(frame.body)))));
    if (type === TYPES.FOOTER) this.#footer = this.#keep(frame, { offset }, () => ({ index: readFooter(readMap(frame.body)) }));
  }

  #keep(frame, known, read) {
    try {
      return { ...known, ...read() };
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      return { ...known, fault: fault.at(frame.offset) };
    }
  }

  /** What is wrong with the index, or undefined; also where there is none. */
  get fault() {
    return this.#checked().fault;
  }

  /** The summary that a trustworthy index has of the chunk at an offset. */
  summaryAt(offset) {
    return this.#checked().summaries?.get(offset);
  }

  #checked() {
    this.#result ??= this.#check();
    return this.#result;
  }

  #result;

  #check() {
    if (!this.#footer || this.#footer.fault) return {};
    const wrong = (offset, what) => ({ fault: new Fault(CORRUPTION, `the index is not to be trusted: ${what}`, offset) });
    const listed = new Map();
    let end = this.#footer.offset; // where the frames end that are not accounted for yet
    let at = this.#footer.index;
    let count = 0;
    let last;
    while (at !== undefined) {
      const index = this.#indexes.get(at);
      if (!index || at + index.length !== end) return wrong(this.#footer.offset, 'no INDEX frame where one should be');
      if (index.fault) return { fault: index.fault };
      last ??= index.number;
      let next = at;
      for (const entry of [...index.frames].reverse()) {
        if (entry.offset + entry.length !== next) return wrong(at, 'its entries leave a hole');
        listed.set(entry.offset, entry);
        next = entry.offset;
      }
      count += index.frames.length + 1;
      end = next;
      if (index.previous === undefined && end !== FIRST_FRAME) return wrong(at, 'it does not lead to the first frame');
      at = index.previous;
    }
    if (count !== last + 1) return wrong(this.#footer.index, 'it has another number of frames');
    const other = this.#frames.find(({ type, offset, length }) => {
      const entry = listed.get(offset);
      return offset < this.#footer.index && type !== TYPES.INDEX && (entry?.type !== type || entry.length !== length);
    });
    if (other) return wrong(this.#footer.index, `the frame at ${other.offset} is another one`);
    return { summaries: new Map([...listed].map(([offset, entry]) => [offset, entry.summary])) };
  }
}
