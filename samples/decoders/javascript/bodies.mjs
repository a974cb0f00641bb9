// The bodies of all frames but EVENTS, as section 4 says, each a function from the map to what is of use.

import { decodeColumns, RESULT_COLUMNS } from './columns.mjs';
import { corruption, limit } from './fault.mjs';
import { bin, free, int, list, mapOf, object, optional, required, str, tuple, uint32 } from './fields.mjs';
import { TYPES } from './frames.mjs';
import { unpackMap } from './packed.mjs';
import { readSummary } from './summary.mjs';

const POSITIVE = 2n ** 63n - 1n;
const ROWS = 2n ** 20n;
const ENTRIES_LIMIT = 8 * 2 ** 20;

const natural = int(0n, POSITIVE);
const anchor = tuple(natural, natural);
const lasts = list(tuple(uint32, natural)); // [cpu, last]
const totals = list(tuple(natural, natural)); // the same of END: whatever is not negative

/** A time of a capture on the wall clock (section 6); refuses what int64 does not hold. */
export function wallTime(header, time) {
  const wall = time + header.shift;
  if (BigInt.asIntN(64, wall) !== wall) throw corruption(`a wall time of ${wall} ns`);
  return wall;
}

export function readHeader(map) {
  const recording = readRecording(map);
  let end = 0n;
  const origins = (optional(map, 'origins', list(object)) ?? []).map((origin) => {
    const first = required(origin, 'first_cpu', int(end, 2n ** 32n - 1n));
    end = first + required(origin, 'cpus', int(1n, 2n ** 32n - first));
    return { first, end, host: readRecording(origin).host };
  });
  return { ...recording, origins };
}

/** The host of the recording that a CPU number belongs to; undefined when unknown. */
export function hostOf(header, cpu) {
  if (header.origins.length === 0) return header.host;
  return header.origins.find(({ first, end }) => cpu >= first && cpu < end)?.host;
}

function readRecording(map) {
  const clock = required(map, 'clock', object);
  required(clock, 'name', str);
  const [c, w] = required(clock, 'anchor', anchor);
  required(map, 'snaplen', uint32);
  required(map, 'syscalls', list(str));
  for (const key of ['transport', 'host', 'boot_id', 'at']) optional(map, key, str);
  for (const key of ['kernel', 'versions']) optional(map, key, mapOf(str));
  optional(map, 'filters', free);
  optional(map, 'command', list(bin));
  optional(map, 'warnings', list(str));
  optional(map, 'part', int(1n));
  const after = new Map(optional(map, 'after', lasts));
  for (const done of optional(map, 'rewritten', list(object)) ?? []) {
    required(done, 'what', str);
    for (const key of ['tool', 'version']) optional(done, key, str);
    optional(done, 'asked', free);
  }
  return { shift: w - c, after, host: optional(map, 'host', str) };
}

export function readGaps(map, header) {
  return required(map, 'gaps', list(object)).map((gap) => {
    const cpu = required(gap, 'cpu', uint32);
    const first = required(gap, 'first_sequence', int(1n, POSITIVE));
    const last = required(gap, 'last_sequence', int(1n, POSITIVE));
    const count = required(gap, 'count', int(1n, last - first + 1n));
    for (const key of ['first_ns', 'last_ns']) wallTime(header, required(gap, key, int()));
    const cause = required(gap, 'cause', str);
    optional(gap, 'processes', list(tuple(uint32, natural)));
    return { cpu, first, last, count, cause };
  });
}

/** The results, as `{cpu, sequence, returned, duration}`. */
export function readResults(map) {
  const count = required(map, 'results', int(1n));
  if (count > ROWS) throw limit(`${count} results in a frame, where ${ROWS} are the most`);
  const columns = decodeColumns(required(map, 'columns', object), Number(count), RESULT_COLUMNS);
  return Array.from({ length: Number(count) }, (_, row) => ({
    cpu: columns.cpu[row],
    sequence: columns.sequence[row],
    returned: columns.returned[row],
    duration: columns.duration_ns[row],
  }));
}

export function readEnd(map) {
  readEnding(map);
  required(map, 'sequences', totals);
  optional(map, 'left_out', totals);
  for (const origin of optional(map, 'origins', list(object)) ?? []) readEnding(origin);
}

/** How a recording ended. */
function readEnding(map) {
  required(map, 'reason', str);
  required(map, 'anchor', anchor);
  for (const key of ['lost', 'lost_results']) optional(map, key, mapOf(natural));
  optional(map, 'unfollowed', natural);
  optional(map, 'exit_status', int(-(2n ** 31n), 2n ** 31n - 1n));
  optional(map, 'warnings', list(str));
  for (const process of optional(map, 'bypassed', list(object)) ?? []) {
    required(process, 'pid', uint32);
    required(process, 'comm', bin);
    required(process, 'how', str);
    optional(process, 'count', natural);
  }
}

/** The summary in an entry. A map that breaks a rule costs the chunk, so its fault is kept for that. */
function readListedSummary(type, value) {
  if (value === undefined || value === null) return {};
  const map = object(value);
  if (type !== TYPES.EVENTS) return {};
  try {
    return { summary: readSummary(map) };
  } catch (fault) {
    return { fault };
  }
}

/** What an INDEX frame lists, and the offset of the one before it. */
export function readIndex(map) {
  const entries = unpackMap(required(map, 'entries', object), ENTRIES_LIMIT, 'entries');
  const frames = required(entries, 'frames', list((entry) => {
    if (!Array.isArray(entry) || entry.length < 3) throw corruption('no list of type, offset, length and summary');
    const [type, offset, length] = tuple(int(), natural, natural)(entry.slice(0, 3)).map(Number);
    return { type, offset, length, ...readListedSummary(type, entry[3]) };
  }));
  const previous = optional(map, 'previous', natural);
  return { frames, previous: previous === undefined ? undefined : Number(previous) };
}

/** Offset of the last INDEX frame. */
export function readFooter(map) {
  return Number(required(map, 'index', natural));
}
