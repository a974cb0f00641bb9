// Packed bytes (section 7.1): stored as they are, or as one zstd frame whose content size is known before anything
// is unpacked.

import { ZSTDDecoder } from 'zstddec';
import { corruption, limit } from './fault.mjs';
import { bin, int, optional } from './fields.mjs';
import { readMap } from './msgpack.mjs';

const MAGIC = 0xfd2fb528;
const BLOCK_HEADER = 3;
const DESCRIPTOR = 4; // where in the frame its descriptor stands

// With fetch at hand the library would get its code, which it holds already, through a URL: Node 18 warns of that.
delete globalThis.fetch;
const zstd = new ZSTDDecoder();
await zstd.init();

/** The content of a map with `data` and `size`, at most `most` bytes. */
export function unpack(map, most, what) {
  const data = optional(map, 'data', bin) ?? new Uint8Array(0);
  const size = optional(map, 'size', int(0n, 2n ** 63n - 1n));
  const length = size ?? BigInt(data.length);
  if (length > BigInt(most)) throw limit(`${what}: ${length} bytes, where ${most} are the most`);
  return size === undefined ? data : decompress(data, Number(size), what);
}

/** A packed map: `most` bytes of msgpack. */
export function unpackMap(map, most, what) {
  return readMap(unpack(map, most, what));
}

function decompress(data, size, what) {
  const frame = Buffer.from(data.buffer, data.byteOffset, data.length);
  const { contentSize, length, hasContent } = measure(frame, what);
  if (contentSize !== BigInt(size)) throw corruption(`${what}: the zstd frame holds ${contentSize} bytes, not ${size}`);
  if (length !== frame.length) throw corruption(`${what}: bytes after the zstd frame`);
  if (size === 0 && hasContent) throw corruption(`${what}: an empty zstd frame that is not empty`);
  const content = zstd.decode(frame, size);
  if (content.length !== size) throw corruption(`${what}: the zstd frame does not decompress to ${size} bytes`);
  return content;
}

/** What the headers of a zstd frame and of its blocks tell (RFC 8878, section 3.1.1). */
function measure(frame, what) {
  const cut = corruption(`${what}: no whole zstd frame`);
  if (frame.length < DESCRIPTOR + 2 || frame.readUInt32LE(0) !== MAGIC) throw cut;
  const descriptor = frame[DESCRIPTOR];
  const single = (descriptor >> 5) & 1;
  const sizeBytes = [single, 2, 4, 8][descriptor >> 6];
  if (descriptor & 3) throw corruption(`${what}: a zstd frame with a dictionary`);
  if (sizeBytes === 0) throw corruption(`${what}: a zstd frame without its content size`);
  let position = DESCRIPTOR + 1 + (single ? 0 : 1); // behind the window descriptor
  if (position + sizeBytes > frame.length) throw cut;
  const contentSize = sizeBytes === 8
    ? frame.readBigUInt64LE(position)
    : BigInt(frame.readUIntLE(position, sizeBytes) + (sizeBytes === 2 ? 256 : 0));
  position += sizeBytes;
  let hasContent = false;
  for (let isLast = false; !isLast;) {
    if (position + BLOCK_HEADER > frame.length) throw cut;
    const header = frame.readUIntLE(position, BLOCK_HEADER);
    const blockSize = header >> 3;
    const repeated = ((header >> 1) & 3) === 1;
    isLast = (header & 1) === 1;
    hasContent ||= blockSize > 0;
    position += BLOCK_HEADER + (repeated ? 1 : blockSize);
  }
  if (descriptor & 4) position += 4; // zstd's own checksum
  return { contentSize, length: position, hasContent };
}
