// Values of maps: each has a type and a range, and nil counts as absent (sections 2.2, 3.4).
//
// A type is a function that gives the value, ints as BigInt, or throws a Fault.

import { corruption } from './fault.mjs';
import { FLOAT, OTHER_KEY } from './msgpack.mjs';

export const INT64 = [-(2n ** 63n), 2n ** 63n - 1n];

const FREE_DEPTH = 4;

/** The value of a key that may be absent, or undefined. */
export function optional(map, key, type) {
  const value = map[key];
  if (value === undefined || value === null) return undefined;
  try {
    return type(value);
  } catch (fault) {
    fault.message = `${key}: ${fault.message}`;
    throw fault;
  }
}

/** The value of a key that is always there. */
export function required(map, key, type) {
  const value = optional(map, key, type);
  if (value === undefined) throw corruption(`${key} is absent`);
  return value;
}

export function str(value) {
  if (typeof value !== 'string') throw corruption('no str');
  return value;
}

export function bin(value) {
  if (!(value instanceof Uint8Array)) throw corruption('no bin');
  return value;
}

export function yes(value) {
  if (value !== true) throw corruption('not true');
  return true;
}

export function object(value) {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
  if (!isMap) throw corruption('no map');
  return value;
}

export function int(lowest = INT64[0], highest = INT64[1]) {
  return (value) => {
    if (typeof value !== 'number' && typeof value !== 'bigint') throw corruption('no int');
    const number = BigInt(value);
    if (number < lowest || number > highest) throw corruption(`${number} is out of range`);
    return number;
  };
}

export const uint32 = int(0n, 2n ** 32n - 1n);

export function list(type) {
  return (value) => {
    if (!Array.isArray(value)) throw corruption('no list');
    return value.map(type);
  };
}

/** A list with one element of each type. */
export function tuple(...types) {
  return (value) => {
    if (!Array.isArray(value) || value.length !== types.length) throw corruption(`no list of ${types.length}`);
    return value.map((element, i) => types[i](element));
  };
}

/** A map from any str to values of one type. */
export function mapOf(type) {
  return (value) => {
    const present = Object.entries(object(value)).filter(([, inner]) => inner !== null);
    if (Object.hasOwn(value, OTHER_KEY)) throw corruption('a key that is not str');
    return new Map(present.map(([key, inner]) => [key, type(inner)]));
  };
}

/** A map of text, ints, booleans, lists and such maps, nested at most 4 deep, itself included: `filters` of HEADER. */
export function free(value) {
  return freeMap(FREE_DEPTH)(object(value));
}

function freeMap(depth) {
  return mapOf((value) => freeValue(value, depth - 1));
}

function freeValue(value, depth) {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' || typeof value === 'bigint') return int()(value);
  if (value === FLOAT || value === null || value instanceof Uint8Array) throw corruption('no text, int, boolean, list or map');
  if (depth === 0) throw corruption(`nested more than ${FREE_DEPTH} deep`);
  return Array.isArray(value) ? value.map((inner) => freeValue(inner, depth - 1)) : freeMap(depth)(value);
}
