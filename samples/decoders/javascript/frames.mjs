// From bytes to frames: preamble, envelopes, checksums, and the way back after damage (sections 3 and 12.2).
//
// Frames are taken one after the other. Where none stands, the next marker that a good checksum belongs to says
// where to go on. What is wrong is reported, and never more than the frame concerned is lost.

import { CORRUPTION, Fault, LIMIT, NOT_A_CAPTURE, TRUNCATION, UNSUPPORTED } from './fault.mjs';

const MAGIC = Buffer.from('c70d776361700d0a1a0a', 'hex');
const MARKER = Buffer.from('f5574346', 'hex');
const MAJOR = 1;
const PREAMBLE = 16;
const ENVELOPE = 18;
const COUNTED = 12; // bytes of the envelope that the length of the ext object counts: marker, checksum, number
const BODY_LIMIT = 64 * 2 ** 20;
const SEARCH_LIMIT = 256 * 2 ** 20; // bytes that may be checked in vain, and four times what was read

export const TYPES = { HEADER: 1, EVENTS: 2, GAPS: 3, RESULTS: 4, END: 5, INDEX: 6, FOOTER: 7 };

const CRC_TABLE = new Uint32Array(256).map((_, byte) => {
  let register = byte;
  for (let bit = 0; bit < 8; bit++) register = register & 1 ? (register >>> 1) ^ 0xedb88320 : register >>> 1;
  return register;
});

/** The checksum of section 3.3 over several pieces, from a salt on. */
export function checksum(salt, ...pieces) {
  let register = ~salt;
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i++) register = (register >>> 8) ^ CRC_TABLE[(register ^ piece[i]) & 0xff];
  }
  return ~register >>> 0;
}

/** Checks the preamble and gives the salt; throws a Fault that refuses the capture. */
function readPreamble(source) {
  const bytes = source.stretch(0, PREAMBLE);
  const magic = bytes.subarray(0, MAGIC.length);
  if (bytes.length === 0) throw new Fault(NOT_A_CAPTURE, 'it is empty', null);
  if (!magic.equals(MAGIC.subarray(0, magic.length))) {
    throw new Fault(NOT_A_CAPTURE, 'it does not start with the magic of a capture', 0);
  }
  if (bytes.length > 10 && bytes[10] !== MAJOR) {
    const version = bytes.length > 11 ? `${bytes[10]}.${bytes[11]}` : `${bytes[10]}`;
    throw new Fault(UNSUPPORTED, `format version ${version}, where only ${MAJOR} is understood`, 10);
  }
  if (bytes.length < PREAMBLE) throw new Fault(TRUNCATION, 'it ends inside the preamble', 0);
  return bytes.readUInt32BE(12);
}

/** What is wrong with an envelope, as a Fault, or null. */
function envelopeFault(envelope, offset) {
  if (envelope.length < ENVELOPE) return new Fault(TRUNCATION, 'the capture ends inside an envelope', offset);
  if (envelope[0] !== 0xc9 || !envelope.subarray(6, 10).equals(MARKER)) {
    return new Fault(CORRUPTION, 'no frame where one should be', offset);
  }
  const length = envelope.readUInt32BE(1);
  if (length < COUNTED) return new Fault(CORRUPTION, `a frame of ${length} bytes, less than its envelope`, offset);
  if (length > COUNTED + BODY_LIMIT) {
    return new Fault(LIMIT, `a frame of ${length - COUNTED} bytes, where ${BODY_LIMIT} are the most`, offset);
  }
  return null;
}

/** The frame at an offset, checked in full: `{frame}`, or `{fault}`. */
function readFrame(source, salt, offset) {
  const envelope = source.stretch(offset, ENVELOPE);
  const fault = envelopeFault(envelope, offset);
  if (fault) return { fault, checked: 0 };
  const size = envelope.readUInt32BE(1) - COUNTED;
  const type = envelope.readInt8(5);
  const whole = source.stretch(offset, ENVELOPE + size); // from here on `envelope` may be overwritten
  if (whole.length < ENVELOPE + size) {
    return { fault: new Fault(TRUNCATION, 'the capture ends inside a frame', offset), checked: 0 };
  }
  const body = whole.subarray(ENVELOPE);
  const sum = checksum(salt, whole.subarray(1, 6), whole.subarray(14, 18), body);
  if (sum !== whole.readUInt32BE(10)) {
    return { fault: new Fault(CORRUPTION, 'the checksum of a frame does not hold', offset), checked: size };
  }
  return { frame: { offset, length: whole.length, type, number: whole.readUInt32BE(14), body } };
}

/** Offset of the next whole frame behind `offset`, or null where the capture has none. */
function findFrame(source, salt, offset, report) {
  let checked = 0;
  let from = offset + 7; // the marker of an envelope at `offset` itself stands one byte before
  for (;;) {
    const bytes = source.stretch(from, 1 << 16);
    const found = bytes.indexOf(MARKER);
    if (found < 0) {
      if (bytes.length < 1 << 16) return null;
      from += bytes.length - (MARKER.length - 1);
      continue;
    }
    const candidate = from + found - 6;
    const result = readFrame(source, salt, candidate);
    if (result.frame) return candidate;
    checked += result.checked;
    if (checked > SEARCH_LIMIT + 4 * source.seen) {
      report(new Fault(LIMIT, 'too many false envelopes; the rest is not searched', candidate));
      return null;
    }
    from += found + 1;
  }
}

/**
 * All frames, in order, also of unknown types that may be skipped. Faults go to `report`; a Fault that refuses
 * the capture is thrown. The body of a frame is valid until the next one is asked for.
 */
export function* readFrames(source, report) {
  const salt = readPreamble(source);
  let offset = PREAMBLE;
  let last = -1; // number of the frame delivered last
  let damaged = false; // since that frame
  let lastType; // of the frame delivered last
  for (;;) {
    source.forget(offset);
    if (source.stretch(offset, 1).length === 0) break;
    const { frame, fault } = readFrame(source, salt, offset);
    if (fault) {
      if (offset === PREAMBLE) throw fault;
      report(fault);
      damaged = true;
      const next = findFrame(source, salt, offset, report);
      if (next === null) break;
      offset = next;
      continue;
    }
    if (offset === PREAMBLE && frame.type !== TYPES.HEADER) {
      throw new Fault(CORRUPTION, `the first frame has the type ${frame.type}, and is no HEADER`, offset);
    }
    if (frame.number <= last) {
      report(new Fault(CORRUPTION, `frame ${frame.number} stands twice, or too late`, offset));
    } else {
      if (frame.number > last + 1 && !damaged) {
        report(new Fault(CORRUPTION, `frames ${last + 1} to ${frame.number - 1} are missing`, offset));
      }
      last = frame.number;
      damaged = false;
      if (frame.type <= 0 || (frame.type > TYPES.FOOTER && frame.type < 64)) {
        throw new Fault(UNSUPPORTED, `a frame of type ${frame.type}, which has to be understood`, offset);
      }
      lastType = frame.type;
      yield frame;
    }
    offset += frame.length;
  }
  if (offset === PREAMBLE) throw new Fault(TRUNCATION, 'it ends after the preamble', offset);
  if (lastType !== TYPES.FOOTER) report(new Fault(TRUNCATION, 'the capture was not closed: no footer', null));
}
