// Runs the decoder of samples/decoders/javascript over all captures named on standard input, each as a file and as
// a pipe, in one process: starting Node for each would take minutes. One line of JSON for each capture.

import { readFileSync } from 'node:fs';
import { decode } from '../../samples/decoders/javascript/decode.mjs';

function run(path, isPipe) {
  const events = [];
  const complaints = [];
  const status = decode(path, (line) => events.push(line), (line) => complaints.push(line), isPipe);
  return { events, complaints, status };
}

for (const path of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  console.log(JSON.stringify({ file: run(path, false), pipe: run(path, true) }));
}
