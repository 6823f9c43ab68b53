import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchBoot } from './boot.ts';
import { dataset } from './dataset.ts';
import { benchFairness } from './fairness.ts';
import { benchFiles } from './files.ts';
import { benchFuse } from './fuse.ts';
import { benchHypervisor } from './hypervisor.ts';
import { benchIngest } from './ingest.ts';
import { holdfastIn } from './holdfast.ts';
import { benchLarge } from './large.ts';
import { benchMigrate } from './migrate.ts';
import { benchNfs } from './nfs.ts';
import { benchOverlay } from './overlay.ts';
import { benchReads } from './reads.ts';
import { benchService } from './service.ts';
import { benchStart } from './start.ts';
import { benchVerify } from './verify.ts';
import { benchYears } from './years.ts';

/*
 * npm run bench [-- ingest reads nfs fuse files start boot verify service large fairness overlay hypervisor migrate
 *   years] [--image FILE] [--next FILE] [--before DIRECTORY] [--tib 1,10,100]
 *
 * `large`, `fairness`, `overlay`, `hypervisor`, `migrate` and `years` run only where they are named: one wants 3 GB and
 * some minutes, one knows limits, no peers, one writes for minutes, two want root and a libvirtd, one of them also
 * `virtnbdbackup`, and one wants 1 GB and some minutes for each TiB that its index is to describe. `start` and
 * `overlay` compare with the code before a change too, if --before says in which checkout it is.
 * Each figure is a ratio to a peer that was measured in turn in the same run; above 1 is in our favour. The
 * disk is the demo VM unless an image (raw, and another of a later day) is given.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    image: { type: 'string' },
    next: { type: 'string' },
    before: { type: 'string' },
    tib: { type: 'string' },
  },
});
/** They make disks of their own. */
const ALONE = new Set(['fairness', 'hypervisor', 'migrate', 'overlay', 'start', 'years']);
const wanted = (part: string): boolean => positionals.length === 0 || positionals.includes(part);

const work = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
// Nothing of this is remembered at home.
process.env['HOLDFAST_STATE'] = join(work, 'box');
try {
  process.stdout.write(
    `Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}\n`,
  );
  if (positionals.includes('fairness')) await benchFairness(work);
  if (positionals.includes('overlay')) await benchOverlay(work, values.before);
  if (positionals.includes('hypervisor')) await benchHypervisor(work);
  if (positionals.includes('migrate')) await benchMigrate(work);
  if (positionals.includes('years'))
    await benchYears(work, (values.tib ?? '1').split(',').map(Number));
  if (wanted('start')) await benchStart(work, values.before);
  if (!positionals.every((part) => ALONE.has(part)) || positionals.length === 0) await benchPeers();
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** What needs a recovery point of the demo VM. */
async function benchPeers(): Promise<void> {
  const data = dataset(work, values.image, values.next);
  let holdfast;
  if (wanted('ingest')) holdfast = await benchIngest(work, data);
  else {
    holdfast = await holdfastIn(join(work, 'only'));
    await holdfast.run(
      'backup',
      'create',
      'bench',
      '--machine',
      'vm',
      '--disk',
      `vda=${data.second}`,
    );
  }
  if (wanted('reads')) await benchReads(work, data, holdfast);
  if (wanted('nfs')) await benchNfs(work, data, holdfast);
  if (wanted('fuse')) await benchFuse(work, data, holdfast);
  if (wanted('files')) await benchFiles(work, holdfast);
  if (wanted('service')) await benchService(work, holdfast);
  if (positionals.includes('large')) await benchLarge(work, holdfast);
  if (wanted('boot')) await benchBoot(data, holdfast);
  if (wanted('verify')) await benchVerify(data, holdfast);
}
