// Columns (sections 5.1 and 5.2): byte planes to steps, steps to numbers modulo 2^64, numbers to their range.
//
// Typed arrays of 64-bit numbers calculate modulo 2^64 by themselves; the signed and the unsigned one of the same
// memory are the two ways to read a number.

import { corruption } from './fault.mjs';
import { int, list, object, optional, required, str, tuple, uint32 } from './fields.mjs';
import { unpack } from './packed.mjs';

const WIDTHS = [0n, 1n, 2n, 4n, 8n];

const INT64 = [-(2n ** 63n), 2n ** 63n - 1n];
const INT32 = [-(2n ** 31n), 2n ** 31n - 1n];
const UINT32 = [0n, 2n ** 32n - 1n];
const UINT64 = [0n, 2n ** 64n - 1n];
const FROM_1 = [1n, 2n ** 63n - 1n];

/** The columns of EVENTS with their ranges; those that other columns are calculated from come first. */
export const EVENT_COLUMNS = {
  needed: {
    time_ns: INT64, cpu: UINT32, sequence: FROM_1, process: UINT32, tid: UINT32, comm: UINT32, syscall: UINT32,
    fd: INT32, count: UINT64, captured: UINT32, returned: INT64, duration_ns: INT64, flags: UINT32,
  },
  more: { target: UINT32, offset: INT64, source_fd: INT32, source: UINT32, address: UINT32 },
};

export const RESULT_COLUMNS = {
  needed: { cpu: UINT32, sequence: FROM_1, returned: INT64, duration_ns: INT64 },
  more: {},
};

/** All known columns of a map, of `rows` numbers each, by name. */
export function decodeColumns(maps, rows, names) {
  const columns = {};
  const add = (name, range, map) => {
    try {
      columns[name] = decodeColumn(map, rows, name, range, columns);
    } catch (fault) {
      fault.message = `column ${name}: ${fault.message}`;
      throw fault;
    }
  };
  for (const [name, range] of Object.entries(names.needed)) add(name, range, required(maps, name, object));
  for (const [name, range] of Object.entries(names.more)) {
    const map = optional(maps, name, object);
    if (map) add(name, range, map);
  }
  return columns;
}

function decodeColumn(map, rows, name, range, columns) {
  const base = required(map, 'base', int());
  const width = required(map, 'width', int());
  if (!WIDTHS.includes(width)) throw corruption(`a width of ${width}`);
  const delta = optional(map, 'delta', int());
  const deltaBy = optional(map, 'delta-by', list(tuple(uint32, int())));
  const minus = optional(map, 'minus', str);
  if ([delta, deltaBy, minus].filter((way) => way !== undefined).length > 1) throw corruption('more than one of delta, delta-by and minus');
  if (deltaBy && name !== 'sequence') throw corruption('delta-by');
  if (minus !== undefined && !(minus === 'count' && columns.count && ['captured', 'returned'].includes(name))) {
    throw corruption(`minus ${minus}`);
  }

  let steps = rows;
  if (delta !== undefined) steps = rows - 1;
  const groups = deltaBy && rowsByCpu(columns.cpu, deltaBy);
  if (groups) steps = rows - groups.length;
  const values = readSteps(map, steps, Number(width), base);

  let numbers = values;
  if (delta !== undefined) numbers = addUp(values, delta);
  if (groups) numbers = addUpByCpu(values, groups, rows);
  if (minus !== undefined) numbers.forEach((value, row) => { numbers[row] = value + columns.count[row]; });
  return inRange(numbers, range);
}

/** Steps plus base, out of byte planes. */
function readSteps(map, count, width, base) {
  const data = unpack(map, count * width, 'data');
  if (data.length < count * width) throw corruption(`${data.length} bytes, where ${count * width} are needed`);
  const values = new BigUint64Array(count).fill(BigInt.asUintN(64, base));
  const bytes = new Uint8Array(8);
  const step = new DataView(bytes.buffer);
  for (let row = 0; width > 0 && row < count; row++) {
    for (let plane = 0; plane < width; plane++) bytes[plane] = data[plane * count + row];
    values[row] += step.getBigUint64(0, true);
  }
  return values;
}

function addUp(values, first) {
  const numbers = new BigUint64Array(values.length + 1);
  numbers[0] = BigInt.asUintN(64, first);
  values.forEach((value, i) => { numbers[i + 1] = numbers[i] + value; });
  return numbers;
}

/** For each CPU, in ascending order, its rows and its first number. */
function rowsByCpu(cpus, firsts) {
  const rows = new Map();
  cpus.forEach((cpu, row) => {
    if (!rows.has(cpu)) rows.set(cpu, []);
    rows.get(cpu).push(row);
  });
  const first = new Map(firsts);
  const isSame = first.size === firsts.length && first.size === rows.size && [...rows.keys()].every((cpu) => first.has(cpu));
  if (!isSame) throw corruption('delta-by does not list every CPU of the chunk once');
  const ascending = [...rows.keys()].sort((one, other) => Number(one - other));
  return ascending.map((cpu) => ({ rows: rows.get(cpu), first: first.get(cpu) }));
}

function addUpByCpu(values, groups, count) {
  const numbers = new BigUint64Array(count);
  let next = 0;
  for (const { rows, first } of groups) {
    numbers[rows[0]] = BigInt.asUintN(64, first);
    for (let i = 1; i < rows.length; i++) numbers[rows[i]] = numbers[rows[i - 1]] + values[next++];
  }
  return numbers;
}

function inRange(unsigned, [lowest, highest]) {
  const numbers = highest === UINT64[1] ? unsigned : new BigInt64Array(unsigned.buffer);
  const outside = numbers.find((number) => number < lowest || number > highest);
  if (outside !== undefined) throw corruption(`${outside} is out of range`);
  return numbers;
}
