import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** Two days of a machine, and what changed between them. */
export interface Dataset {
  readonly first: string;
  readonly second: string;
  /** A changed-block list from the first to the second. */
  readonly changed: string;
  readonly size: number;
}

const MiB = 2 ** 20;
const PIECE = 64 * 1024;

/** The disk images given, or the demo VM and a later day made up from it. */
export function dataset(
  work: string,
  first: string | undefined,
  second: string | undefined,
): Dataset {
  const image = first ?? demoVm();
  const next = second ?? madeUpDay(image, join(work, 'second.raw'));
  const changed = join(work, 'changed.json');
  writeFileSync(changed, JSON.stringify(differences(image, next)));
  return { first: image, second: next, changed, size: statSync(image).size };
}

function demoVm(): string {
  const image = 'var/demo-vm.raw';
  if (!existsSync(image)) {
    execFileSync('mkdir', ['-p', 'var']);
    execFileSync('sh', ['appliance/build-demo-vm.sh', image], { stdio: 'inherit' });
  }
  return image;
}

/** Some 40 MiB of changes: data that was elsewhere before, new data, and pages here and there. */
function madeUpDay(image: string, path: string): string {
  execFileSync('cp', ['--sparse=always', image, path]);
  const fd = openSync(path, 'r+');
  const size = statSync(path).size;
  const buffer = Buffer.alloc(MiB);
  for (let n = 0; n < 30; n++) {
    readSync(fd, buffer, 0, MiB, Math.floor((size * (n + 7)) / 60 / MiB) * MiB + 4096 * n);
    writeSync(fd, buffer, 0, MiB, size - (n + 40) * 3 * MiB);
  }
  for (let n = 0; n < 2000; n++) {
    buffer.fill(`line ${n} of a log file that grew today\n`, 0, 4096);
    writeSync(
      fd,
      buffer,
      0,
      4096,
      Math.floor(((n * 7919) % 100_003) * (size / 100_003 / 4096)) * 4096,
    );
  }
  closeSync(fd);
  return path;
}

function differences(a: string, b: string): { readonly offset: number; readonly length: number }[] {
  const [one, two] = [openSync(a, 'r'), openSync(b, 'r')];
  const [x, y] = [Buffer.alloc(PIECE), Buffer.alloc(PIECE)];
  const found: { offset: number; length: number }[] = [];
  for (let offset = 0; offset < statSync(b).size; offset += PIECE) {
    const had = readSync(one, x, 0, PIECE, offset);
    const has = readSync(two, y, 0, PIECE, offset);
    if (had === has && x.compare(y) === 0) continue;
    found.push({ offset, length: has });
  }
  closeSync(one);
  closeSync(two);
  return found;
}

/** Where most of a disk's data lies close together: for reads that are not all holes. */
export function densestWindow(image: string, length: number): number {
  const fd = openSync(image, 'r');
  const buffer = Buffer.alloc(PIECE);
  const size = statSync(image).size;
  const counts: number[] = [];
  for (let offset = 0; offset + 16 * MiB <= size; offset += 16 * MiB) {
    let count = 0;
    for (let at = offset; at < offset + 16 * MiB; at += MiB / 2) {
      readSync(fd, buffer, 0, PIECE, at);
      if (buffer.some((byte) => byte !== 0)) count++;
    }
    counts.push(count);
  }
  closeSync(fd);
  const span = length / (16 * MiB);
  let best = 0;
  let most = -1;
  for (let at = 0; at + span <= counts.length; at++) {
    const sum = counts.slice(at, at + span).reduce((a, b) => a + b, 0);
    if (sum > most) [best, most] = [at, sum];
  }
  return best * 16 * MiB;
}
