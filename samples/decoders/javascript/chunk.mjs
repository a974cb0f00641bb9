// One EVENTS frame (sections 4.2 and 5): tables, columns and payload, checked, and the events that they make.

import { hostOf, wallTime } from './bodies.mjs';
import { decodeColumns, EVENT_COLUMNS } from './columns.mjs';
import { corruption, Fault, UNSUPPORTED } from './fault.mjs';
import { bin, int, list, object, optional, required, str, tuple, uint32, yes } from './fields.mjs';
import { unpack, unpackMap } from './packed.mjs';
import { readSummary } from './summary.mjs';

const PAYLOAD_LIMIT = 48 * 2 ** 20;
const TABLE_LIMIT = 8 * 2 ** 20;

const KNOWN = new Set([
  ...Object.keys(EVENT_COLUMNS.needed), ...Object.keys(EVENT_COLUMNS.more),
  'summary', 'processes', 'comms', 'syscalls', 'targets', 'addresses', 'payload', 'at-exit',
]);

/** The flags, lowest bit first. */
export const FLAGS = [
  'TRUNCATED', 'READ_AT_EXIT', 'UNREADABLE', 'UNFINISHED', 'RESULT_LOST', 'PAYLOAD_LOST', 'AT_EXIT', 'NO_PAYLOAD',
  'UNSENT', 'HAS_OFFSET', 'HAS_SOURCE', 'HAS_ADDRESS',
];
const BIT = Object.fromEntries(FLAGS.map((name, bit) => [name, 1n << BigInt(bit)]));
const NEEDS = { HAS_OFFSET: ['offset'], HAS_SOURCE: ['source_fd', 'source'], HAS_ADDRESS: ['address'] };

/** Everything in a chunk: `{summary, events}`, with the events as an iterator. */
export function readChunk(map, header) {
  const unknown = (optional(map, 'essential', list(str)) ?? []).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) throw new Fault(UNSUPPORTED, `a chunk that cannot be understood without ${JSON.stringify(unknown)}`);
  const summary = readSummary(required(map, 'summary', object));
  const rows = Number(summary.events);
  const tables = {
    process: required(unpackMap(required(map, 'processes', object), TABLE_LIMIT, 'processes'), 'processes', list(readProcess)),
    comm: required(map, 'comms', list(bin)),
    syscall: required(map, 'syscalls', list(str)),
    target: readTargets(map),
    address: optional(map, 'addresses', list(bin)),
  };
  tables.source = tables.target;
  const columns = decodeColumns(required(map, 'columns', object), rows, EVENT_COLUMNS);
  checkColumns(columns, tables, rows, header);
  const payload = unpack(required(map, 'payload', object), PAYLOAD_LIMIT, 'payload');
  const captured = columns.captured.reduce((sum, count) => sum + count, 0n);
  if (BigInt(payload.length) !== captured) throw corruption(`a payload of ${payload.length} bytes, where ${captured} were captured`);
  return { summary, events: makeEvents(columns, tables, payload, rows, header) };
}

function readTargets(map) {
  const packed = optional(map, 'targets', object);
  return packed && required(unpackMap(packed, TABLE_LIMIT, 'targets'), 'targets', list(readTarget));
}

function readProcess(value) {
  const process = object(value);
  const pid = required(process, 'pid', uint32);
  required(process, 'comm', bin);
  for (const key of ['leader', 'exe', 'cgroup']) optional(process, key, bin);
  for (const key of ['uid', 'gid', 'ns_pid']) optional(process, key, uint32);
  optional(process, 'start_ns', int());
  optional(process, 'cmdline', list(bin));
  return { pid, ppid: optional(process, 'ppid', uint32) };
}

function readTarget(value) {
  const target = object(value);
  optional(target, 'device', tuple(uint32, uint32));
  optional(target, 'from_proc', yes);
  const facts = {
    kind: optional(target, 'kind', str),
    path: optional(target, 'path', bin),
    inode: optional(target, 'inode', int(0n, 2n ** 64n - 1n)),
    local: optional(target, 'local', bin),
    peer: optional(target, 'peer', bin),
    partial: optional(target, 'partial', yes),
    deleted: optional(target, 'deleted', yes),
  };
  return { kind: facts.kind, name: nameOf(facts) };
}

/** The name of a target as bytes, or undefined. */
function nameOf({ kind, path, inode, local, peer, partial, deleted }) {
  const join = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
  const number = `[${inode ?? '?'}]`;
  if (kind === undefined) return undefined;
  if (kind === 'anonymous') return join('anon_inode:', path ?? '?');
  if (path) return join(partial ? '…/' : '', path, deleted ? ' (deleted)' : '');
  if (!local && !peer) return join(kind, ':', number);
  return join(kind, ' ', local ?? number, peer ? '→' : '', peer ?? '');
}

function checkColumns(columns, tables, rows, header) {
  for (const [name, table] of Object.entries(tables)) {
    const outside = columns[name]?.find((position) => position >= BigInt(table?.length ?? 0));
    if (outside !== undefined) throw corruption(`column ${name}: ${outside} is not in its table`);
  }
  if (tables.target && !columns.target) throw corruption('targets without the column target');
  for (const [flag, names] of Object.entries(NEEDS)) {
    const missing = names.find((name) => !columns[name]);
    if (missing && columns.flags.some((flags) => flags & BIT[flag])) throw corruption(`${flag} without the column ${missing}`);
  }
  for (let row = 1; row < rows; row++) {
    if (columns.time_ns[row] < columns.time_ns[row - 1]) throw corruption('column time_ns: it decreases');
  }
  for (const row of [0, rows - 1]) wallTime(header, columns.time_ns[row]);
}

function* makeEvents(columns, tables, payload, rows, header) {
  const at = (name, row) => tables[name][Number(columns[name][row])];
  let position = 0;
  for (let row = 0; row < rows; row++) {
    const end = position + Number(columns.captured[row]);
    const flags = columns.flags[row];
    const has = (name) => (flags & BIT[name]) !== 0n;
    yield {
      time: wallTime(header, columns.time_ns[row]),
      host: hostOf(header, BigInt(columns.cpu[row])),
      process: at('process', row),
      comm: at('comm', row),
      syscall: at('syscall', row),
      ...Object.fromEntries(['tid', 'fd', 'count', 'captured', 'cpu', 'sequence', 'returned'].map((name) => [name, columns[name][row]])),
      duration: columns.duration_ns[row],
      flags: new Set(FLAGS.filter(has)),
      target: columns.target && at('target', row),
      offset: has('HAS_OFFSET') ? columns.offset[row] : undefined,
      sourceFd: has('HAS_SOURCE') ? columns.source_fd[row] : undefined,
      source: has('HAS_SOURCE') ? at('source', row) : undefined,
      address: has('HAS_ADDRESS') ? at('address', row) : undefined,
      payload: payload.subarray(position, end),
    };
    position = end;
  }
}
