// The JSON form of an event (appendix F).

const UNSEEN = ['HAS_OFFSET', 'HAS_SOURCE', 'HAS_ADDRESS'];
const text = new TextDecoder('utf-8', { ignoreBOM: true }); // U+FFFD for what is not UTF-8, as Unicode recommends

export function eventLine(event) {
  const { flags, process, payload } = event;
  const noResult = flags.has('UNFINISHED') || flags.has('RESULT_LOST') || flags.has('UNSENT');
  const missing = flags.has('UNREADABLE') || flags.has('PAYLOAD_LOST');
  const noPayload = flags.has('NO_PAYLOAD') || (missing && payload.length === 0);
  return json({
    time_ns: event.time,
    pid: process.pid,
    tid: event.tid,
    ppid: process.ppid,
    comm: text.decode(event.comm),
    syscall: event.syscall,
    fd: event.fd,
    count: event.count,
    captured: event.captured,
    returned: noResult ? null : event.returned,
    duration_ns: noResult || flags.has('AT_EXIT') ? null : event.duration,
    cpu: event.cpu,
    sequence: event.sequence,
    flags: [...flags].filter((name) => !UNSEEN.includes(name)).map((name) => name.toLowerCase()),
    target: shown(event.target?.name),
    target_kind: event.target?.kind,
    offset: event.offset,
    source_fd: event.sourceFd,
    source: shown(event.source?.name),
    address: shown(event.address),
    host: event.host,
    text: noPayload ? null : text.decode(payload),
    data_b64: noPayload ? null : Buffer.from(payload).toString('base64'),
  });
}

function shown(bytes) {
  return bytes === undefined ? null : text.decode(bytes);
}

/** JSON in ASCII, with BigInt for numbers that are larger than JavaScript's exact ones. */
function json(value) {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map(json).join(',')}]`;
  if (typeof value === 'object') {
    return `{${Object.entries(value).map(([key, inner]) => `${json(key)}:${json(inner)}`).join(',')}}`;
  }
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
