// One msgpack map out of bytes, as strictly as section 3.4 asks.
//
// The bytes are walked over once before the library sees them, adding up what each list and map promises (section
// 9), and refusing what is never valid. The library then makes objects of them. It is more generous than SPEC.md
// in three ways, so the walk notes places in which a copy of the bytes is changed first:
//   - JavaScript has one type for ints and floats: a float is turned into an ext object, which decodes to FLOAT;
//   - the library refuses the key "__proto__", which is one more unknown key here: it gets another first letter;
//   - it takes numbers for keys and refuses the rest: every key that is not str becomes OTHER_KEY.

import { Decoder, ExtensionCodec } from '@msgpack/msgpack';
import { corruption, limit } from './fault.mjs';

const OBJECT_LIMIT = 2 ** 20;
const DEPTH_LIMIT = 64; // nothing in a capture nests a tenth as deep

/** What stands for a float. No key has one as its value. */
export const FLOAT = Symbol('float');

/** What stands for keys that are not str. */
export const OTHER_KEY = '\u0000 not str';

const FLOAT_TYPE = 1;
const codec = new ExtensionCodec();
codec.register({ type: FLOAT_TYPE, encode: () => null, decode: () => FLOAT });

const strict = new TextDecoder('utf-8', { fatal: true });

/** The map that the bytes are, as an object: str, bin (Uint8Array), number or BigInt, boolean, null, array, object, FLOAT. */
export function readMap(bytes) {
  const walk = new Walk(bytes);
  walk.whole();
  const decoder = new Decoder({
    extensionCodec: codec,
    useBigInt64: true,
    mapKeyConverter: (key) => (typeof key === 'string' ? key : OTHER_KEY),
  });
  try {
    return decoder.decode(walk.changed());
  } catch (error) {
    throw corruption(`not valid msgpack: ${error.message}`);
  }
}

class Walk {
  #bytes;
  #view;
  #position = 0;
  #objects = 0;
  #floats = [];
  #protos = [];

  constructor(bytes) {
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length); // so that no bin is a Buffer
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  whole() {
    const first = this.#bytes[0];
    if (!((first >= 0x80 && first <= 0x8f) || first === 0xde || first === 0xdf)) throw corruption('no msgpack map');
    this.#count(1);
    this.#object(0, false);
    if (this.#position < this.#bytes.length) throw corruption('bytes after a msgpack map');
  }

  /** The bytes for the library: with floats as ext objects, and no key "__proto__". */
  changed() {
    if (this.#floats.length === 0 && this.#protos.length === 0) return this.#bytes;
    const copy = Uint8Array.from(this.#bytes);
    for (const at of this.#floats) copy.set([0xc7, copy[at] === 0xca ? 2 : 6, FLOAT_TYPE], at); // as long as the float
    for (const at of this.#protos) copy[at] = 0x2e;
    return copy;
  }

  #count(objects) {
    this.#objects += objects;
    if (this.#objects > OBJECT_LIMIT) throw limit(`more than ${OBJECT_LIMIT} msgpack objects in a map`);
  }

  #object(depth, isKey) {
    if (depth > DEPTH_LIMIT) throw corruption('msgpack nested too deep');
    const at = this.#position;
    const head = this.#number(1);
    if (head <= 0x7f || head >= 0xe0) return; // small ints
    if (head <= 0x8f) return this.#map(head & 0x0f, depth, isKey);
    if (head <= 0x9f) return this.#list(head & 0x0f, depth, isKey);
    if (head <= 0xbf) return this.#text(head & 0x1f, isKey);
    switch (head) {
      case 0xc0: case 0xc2: case 0xc3: return; // nil, false, true
      case 0xc4: case 0xc5: case 0xc6: return this.#skip(this.#number(1 << (head - 0xc4))); // bin
      case 0xca: case 0xcb:
        this.#floats.push(at);
        return this.#skip(head === 0xca ? 4 : 8);
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.#skip(1 << (head - 0xcc)); // uint
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: return this.#skip(1 << (head - 0xd0)); // int
      case 0xd9: case 0xda: case 0xdb: return this.#text(this.#number(1 << (head - 0xd9)), isKey);
      case 0xdc: case 0xdd: return this.#list(this.#number(2 << (head - 0xdc)), depth, isKey);
      case 0xde: case 0xdf: return this.#map(this.#number(2 << (head - 0xde)), depth, isKey);
      default: throw corruption('an ext object, or a byte that msgpack does not use');
    }
  }

  #map(pairs, depth, isKey) {
    if (isKey) throw corruption('a map as a key');
    this.#count(2 * pairs);
    for (let i = 0; i < pairs; i++) {
      this.#object(depth + 1, true);
      this.#object(depth + 1, false);
    }
  }

  #list(elements, depth, isKey) {
    if (isKey) throw corruption('a list as a key');
    this.#count(elements);
    for (let i = 0; i < elements; i++) this.#object(depth + 1, false);
  }

  #text(length, isKey) {
    const from = this.#position;
    this.#skip(length);
    let text;
    try {
      text = strict.decode(this.#bytes.subarray(from, from + length));
    } catch {
      throw corruption('str that is not UTF-8');
    }
    if (isKey && text === '__proto__') this.#protos.push(from);
  }

  #skip(length) {
    this.#position += length;
    if (this.#position > this.#bytes.length) throw corruption('msgpack that ends too early');
  }

  #number(size) {
    const at = this.#position;
    this.#skip(size);
    return size === 1 ? this.#view.getUint8(at) : size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }
}
