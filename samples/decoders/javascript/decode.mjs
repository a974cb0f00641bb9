#!/usr/bin/env node
// Prints the events of a capture, one line of JSON each (appendix F of SPEC.md).
//
//     node decode.mjs FILE        or        … | node decode.mjs -
//
// A file is read twice: for the late results and the index, then for the events. A pipe is read once, so its
// unfinished events stay unfinished. What is wrong, and what was lost, goes to standard error.
// Exit status: 0 all is well, 1 refused, 3 damaged but read.

import { closeSync, openSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { readEnd, readFooter, readGaps, readHeader, readResults } from './bodies.mjs';
import { readChunk } from './chunk.mjs';
import { eventLine } from './event.mjs';
import { CORRUPTION, Fault, LIMIT } from './fault.mjs';
import { readFrames, TYPES } from './frames.mjs';
import { IndexCheck } from './indexcheck.mjs';
import { readMap } from './msgpack.mjs';
import { Source } from './source.mjs';

const RESULTS_LIMIT = 2 ** 20;

/** Late results, by CPU and sequence number: of equal ones the first counts. */
class LateResults {
  #results = new Map();

  /** Takes the results of a frame, but for those of events that an earlier part of the recording has. */
  add(frame, header) {
    const results = readResults(readMap(frame.body)).filter(({ cpu, sequence }) => sequence > (header.after.get(cpu) ?? 0n));
    const room = RESULTS_LIMIT - this.#results.size;
    for (const result of results.slice(0, room)) {
      const key = `${result.cpu} ${result.sequence}`;
      if (!this.#results.has(key)) this.#results.set(key, { ...result, frame: frame.number });
    }
    if (results.length > room) throw new Fault(LIMIT, `more than ${RESULTS_LIMIT} late results`);
  }

  /** Gives an unfinished event its result, where a later frame has it. */
  complete(event, frameNumber) {
    const result = this.#results.get(`${event.cpu} ${event.sequence}`);
    if (!result || result.frame <= frameNumber || !event.flags.delete('UNFINISHED')) return;
    event.returned = result.returned;
    event.duration = result.duration;
  }
}

/** First pass over a file: what an event in front may need from further behind. Refuses what no reader may skip. */
function lookAhead(source) {
  const results = new LateResults();
  const index = new IndexCheck();
  let header;
  for (const frame of readFrames(source, () => {})) {
    header ??= refuseBy(frame, () => readHeader(readMap(frame.body)));
    index.add(frame);
    if (frame.type === TYPES.RESULTS) attempt(frame, () => {}, () => results.add(frame, header));
  }
  return { results, index };
}

/** Does something with a frame; a fault costs this frame, unless it refuses the capture. */
function attempt(frame, report, action) {
  try {
    action();
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    fault.at(frame.offset);
    if (fault.kind !== CORRUPTION && fault.kind !== LIMIT) throw fault;
    report(fault);
  }
}

/** Reads a capture from front to back. `ahead` is what `lookAhead` found, or undefined for a pipe. */
function readCapture(source, ahead, print, report, tell) {
  let header;
  const results = ahead?.results;
  const actions = {
    [TYPES.EVENTS]: (frame) => {
      const { summary, events } = readChunk(readMap(frame.body), header);
      for (const event of events) {
        results?.complete(event, frame.number);
        print(eventLine(event));
      }
      const listed = ahead?.index.entryAt(frame.offset)?.summary;
      if (listed && !isDeepStrictEqual(listed, summary)) throw new Fault(CORRUPTION, 'the index has another summary of this chunk');
    },
    [TYPES.GAPS]: (frame) => {
      for (const gap of readGaps(readMap(frame.body), header)) {
        tell(`gap on CPU ${gap.cpu}: ${gap.count} of the events ${gap.first} to ${gap.last} were lost (${JSON.stringify(gap.cause)})`);
      }
    },
    [TYPES.RESULTS]: (frame) => readResults(readMap(frame.body)),
    [TYPES.END]: (frame) => readEnd(readMap(frame.body)),
    [TYPES.FOOTER]: (frame) => readFooter(readMap(frame.body)),
  };
  for (const frame of readFrames(source, report)) {
    if (frame.type !== TYPES.HEADER) attempt(frame, report, () => {
      ahead?.index.check(frame);
      actions[frame.type]?.(frame); // there is none for INDEX, and for types that may be skipped
    });
    else if (header) report(new Fault(CORRUPTION, 'a second HEADER', frame.offset));
    else header = refuseBy(frame, () => readHeader(readMap(frame.body)));
  }
  if (ahead?.index.fault) report(ahead.index.fault);
}

/** What `action` gives; its faults refuse the capture. */
function refuseBy(frame, action) {
  try {
    return action();
  } catch (fault) {
    throw fault instanceof Fault ? fault.at(frame.offset) : fault;
  }
}

/** Decodes a file, or `-` for standard input, and gives the exit status. `isPipe`: it can be read but once. */
export function decode(path, print, complain, isPipe = path === '-') {
  let status = 0;
  const told = new Set(); // one place is reported once for each class, though it may be found twice
  const report = (fault) => {
    status = 3;
    const place = `${fault.offset} ${fault.kind}`;
    if (!told.has(place)) complain(`${path}: ${fault}`);
    told.add(place);
  };
  try {
    const ahead = isPipe ? undefined : withSource(path, lookAhead);
    withSource(path, (source) => readCapture(source, ahead, print, report, (text) => complain(`${path}: ${text}`)));
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    report(fault);
    status = 1;
  }
  return status;
}

function withSource(path, action) {
  if (path === '-') return action(new Source(0));
  const descriptor = openSync(path);
  try {
    return action(new Source(descriptor));
  } finally {
    closeSync(descriptor);
  }
}

/** Writes lines to a descriptor, together when more than `most` characters wait. */
class Lines {
  #descriptor;
  #most;
  #waiting = '';

  constructor(descriptor, most) {
    this.#descriptor = descriptor;
    this.#most = most;
  }

  add(line) {
    this.#waiting += `${line}\n`;
    if (this.#waiting.length > this.#most) this.flush();
  }

  flush() {
    let bytes = Buffer.from(this.#waiting);
    this.#waiting = '';
    while (bytes.length > 0) bytes = bytes.subarray(writeSync(this.#descriptor, bytes));
  }
}

function main(paths) {
  if (paths.length !== 1) {
    console.error('usage: decode.mjs FILE|-');
    return 2;
  }
  const out = new Lines(1, paths[0] === '-' ? 0 : 1 << 16); // what comes through a pipe is shown as it comes
  try {
    const status = decode(paths[0], (line) => out.add(line), (line) => console.error(line));
    out.flush();
    return status;
  } catch (error) {
    if (error.code === 'EPIPE') return 0; // nobody reads any more
    if (error.syscall === undefined) throw error;
    console.error(`${paths[0]}: ${error.message}`);
    return 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main(process.argv.slice(2));
