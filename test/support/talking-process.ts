import { processSide } from '../../src/sys/process/own-process.ts';

// Prints a given amount, and ends at once: for test/sys/process/own-process.test.ts.
const side = processSide<number, Uint8Array>();
const count = await side.receive();
for (let n = 0; n < count; n++) side.post(new Uint8Array(64 * 1024));
side.close();
