import { match } from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import type { Test } from 'tap';
import type { DebianHost } from '../support/debian-host.ts';

/** What the units permit, measured by systemd and by a process of the service. */
export function unitRights(
  test: Test['test'],
  { skip, host }: { readonly skip: string | false; readonly host: DebianHost | undefined },
): void {
  test('its hardening keeps the scores that the units promise', { skip }, async () => {
    const { run } = host!;
    for (const [unit, instance, limit] of [
      // A tenth for capset(2), by which what boots recovery points gives up privileges.
      ['holdfastd.service', 'holdfastd.service', '--threshold=21'],
      ['holdfast-mount@.service', 'holdfast-mount@srv-points.service', '--threshold=50'],
      ['holdfast-filesd.service', 'holdfast-filesd.service', '--threshold=50'],
    ] as const) {
      await run('cp', `/usr/lib/systemd/system/${unit}`, `/root/${instance}`);
      const analyze = [
        'systemd-analyze',
        'security',
        '--no-pager',
        '--offline=true',
        limit,
      ] as const;
      match(await run(...analyze, `/root/${instance}`), /Overall exposure level/);
    }
  });

  test('what boots a recovery point has none of the privileges, and may filter its own system calls', {
    skip,
  }, async () => {
    const { path, tryRun } = host!;
    // In the place of QEMU, which is large: it says what it may. seccomp(2) is asked whether it knows an action.
    const call = process.arch === 'arm64' ? 277 : 317;
    const program = `#!/usr/bin/perl
open(my $status, "<", "/proc/self/status") or die;
my @lines = grep { /^(CapPrm|CapEff|CapAmb|NoNewPrivs):/ } <$status>;
my $action = pack("L", 0x7fff0000);
my $may = syscall(${call}, 2, 0, $action) == 0 ? "may filter" : "may not filter: $!";
die join("", @lines, "$may\\n");
`;
    const file = path('/usr/local/bin/qemu-system-x86_64');
    writeFileSync(file, program, { mode: 0o755 });
    const { stderr } = await tryRun('holdfast', 'verify', 'vm@latest');
    match(stderr, /CapPrm:.0+\nCapEff:.0+\nCapAmb:.0+\nNoNewPrivs:.1\nmay filter$/m);
    rmSync(file);
  });
}
