// What a chunk says of itself (section 5.5): types and ranges, no comparison with its columns.

import { corruption, limit } from './fault.mjs';
import { bin, int, list, optional, required, str, tuple } from './fields.mjs';

const ROWS = 2n ** 20n;
const COUNTS = ['failed', 'truncated', 'unreadable', 'unfinished', 'results_lost', 'unseen'];

const natural = int(0n);

export function readSummary(map) {
  const events = required(map, 'events', int(1n));
  if (events > ROWS) throw limit(`${events} events in a chunk, where ${ROWS} are the most`);
  const upToEvents = int(0n, events);
  const summary = { events };
  for (const key of ['first_ns', 'last_ns']) summary[key] = required(map, key, int());
  summary.captured = required(map, 'captured', natural);
  summary.written = required(map, 'written', int(0n, 2n ** 64n - 1n));
  for (const key of COUNTS) summary[key] = required(map, key, upToEvents);
  summary.sequences = required(map, 'sequences', list(tuple(natural, natural, natural, natural)));
  const inSequences = summary.sequences.reduce((sum, [, , , count]) => sum + count, 0n);
  if (inSequences !== events) throw corruption(`sequences: ${inSequences} events, where there are ${events}`);
  for (const key of ['pids', 'tids', 'fds']) summary[key] = optional(map, key, list(int()));
  for (const key of ['comms', 'targets']) summary[key] = optional(map, key, list(bin));
  for (const key of ['calls', 'kinds']) summary[key] = optional(map, key, list(str));
  summary.payload_lost = optional(map, 'payload_lost', upToEvents) ?? 0n;
  return summary;
}
