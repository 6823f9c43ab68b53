/*
 * Loaded into a server before anything else (`node --import`): on demand it reports how long its main thread was held
 * at once. Time on the processor, so that other programs of this machine count for nothing.
 */
let isRunning = false;
let last = 0;
let worst = 0;

function processorMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

/** Between two of these every callback that was due has run. */
function turn(): void {
  const now = processorMicros();
  worst = Math.max(worst, now - last);
  last = now;
  if (isRunning) setImmediate(turn);
}

process.on('message', (what) => {
  if (what === 'begin') {
    isRunning = true;
    last = processorMicros();
    worst = 0;
    setImmediate(turn);
  } else if (what === 'end') {
    isRunning = false;
    process.send!({ heldMs: worst / 1000 });
  }
});
process.channel?.unref();
