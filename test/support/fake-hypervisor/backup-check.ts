import type { BackupWish } from '../../../src/hypervisors/base/backup-driver.ts';
import type { Finding } from '../../../src/hypervisors/base/finding.ts';
import { type Link, markOf } from './describe.ts';
import { type FakeMachine, machineOf } from './host.ts';

interface Checked {
  readonly wish: BackupWish;
  readonly signal: AbortSignal;
}

export async function checkBackup(
  link: Link,
  id: string,
  { wish, signal }: Checked,
): Promise<readonly Finding[]> {
  const examine = () => findingsOf(machineOf(link.host, id), { wish, mark: markOf(link) });
  return link.wire.call('examine', examine, signal);
}

function findingsOf(
  machine: FakeMachine,
  { wish, mark }: { readonly wish: BackupWish; readonly mark: string },
): readonly Finding[] {
  const findings: Finding[] = [];
  const { power, job, tokens, internalSnapshots } = machine;
  const isQuiet = wish.consistency === 'application' || wish.consistency === 'file-system';
  if (power === 'off') findings.push({ level: 'note', code: 'power', message: 'it is off' });
  if (isQuiet && power !== 'off' && !machine.hasAgent) {
    findings.push({
      ...{ level: wish.fallBack ? 'warning' : 'blocker', code: 'agent' },
      ...{ message: 'no guest agent answers', remedy: 'install qemu-guest-agent in the guest' },
    });
  }
  if (internalSnapshots.length > 0) {
    const message = `it has internal snapshots (${internalSnapshots.join(', ')}): each backup reads all`;
    const remedy = 'remove them, or make external ones';
    findings.push({ level: 'warning', code: 'snapshots', message, remedy });
  }
  const foreign = [...tokens.keys()].filter((name) => !name.startsWith(mark));
  if (foreign.length > 0) {
    const message = `another product tracks changes here (${foreign.join(', ')})`;
    const remedy = 'back up the machine with one product';
    findings.push({ level: 'warning', code: 'foreign-tracking', message, remedy });
  }
  if (job) {
    const message = `job ${job.name} runs`;
    findings.push({ level: 'blocker', code: 'busy', message, remedy: 'wait for its end' });
  }
  for (const [disk, { excluded, isRaw }] of machine.disks) {
    if (excluded) {
      const { detail: message } = excluded;
      findings.push({ level: 'note', code: 'disk-excluded', disk, message });
    } else if (isRaw) {
      const remedy = 'convert it: qemu-img convert -O qcow2';
      const message = 'it is raw: each backup reads all of it';
      findings.push({ level: 'warning', code: 'disk-format', disk, message, remedy });
    }
  }
  return findings;
}
