import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import type { RunPlan } from '../../src/hypervisors/base/run-driver.ts';
import { libvirtHost, type LibvirtHost, libvirtMissing } from '../support/libvirt.ts';
import { libvirtRunHost, makeNetwork } from '../support/libvirt-run-host.ts';
import { program } from '../support/programs.ts';
import { savedMachine } from '../support/saved-machine.ts';
import type { Test } from './rig.ts';
import { COPY, journal, PLACE, prepare, runOf, STAY, walk } from './running.ts';
import { restoresConformAlone } from './restores.ts';
import { runsConformAlone } from './runs.ts';
import { walksThereConform } from './runs-there.ts';
import { endless, failureOf } from './taking.ts';

// A real libvirtd. What happens at each call takes too long for each commit: libvirt-runs.long.ts.

test('libvirt runs machines, and gets them back, as any', {
  skip: libvirtMissing,
  timeout: 900_000,
}, async (t) => {
  await using host = await libvirtHost();
  await makeNetwork(host);
  const saved = await savedMachine(host);
  const tests: Promise<unknown>[] = [];
  const each: Test = (name, body) => tests.push(t.test(name, body));
  const open = () => libvirtRunHost(host, saved);
  runsConformAlone(each, open);
  walksThereConform(each, open, [1]);
  restoresConformAlone(each, open);

  each('a machine that was backed up is set aside with its checkpoints, and put back', async () => {
    await using rig = await open();
    const { old, plan } = await prepare(rig);
    await old.start();
    for (const name of ['first', 'second']) {
      await host.virsh('checkpoint-create-as', old.id, name);
    }
    await host.virsh('autostart', old.id);
    await old.shutDown();
    await using driver = await rig.connect();
    const run = runOf(driver);
    const checkpoints = () => host.virsh('checkpoint-list', old.id, '--topological', '--name');
    const before = [await checkpoints(), await host.virsh('dominfo', old.id)];
    await run.setAside(old.id, plan.session, endless());
    const info = await host.virsh('dominfo', old.id);
    match(info, /Name: +web-session1-replaced-session1\n/);
    match(info, /Autostart: +disable/);
    equal(await checkpoints(), before[0]);
    await run.putBack(old.id, plan.session, endless());
    deepEqual([await checkpoints(), await host.virsh('dominfo', old.id)], before);
    // They count as before.
    await old.start();
    await host.virsh('checkpoint-create-as', old.id, 'third');
    await host.virsh('checkpoint-delete', old.id, 'second');
    await host.virsh('snapshot-create-as', old.id, 'taken');
    await old.shutDown();
    const refused = await failureOf(run.setAside(old.id, plan.session, endless()));
    equal(refused?.code, 'UNSUPPORTED');
    match(refused?.message ?? '', /has snapshots \(taken\)/);
    deepEqual(await rig.sessionTraces(), []);
  });

  each('a machine with a saved state keeps its disks: it would start on the old ones', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using driver = await rig.connect();
    const noted = journal();
    await walk(driver, prepared, { steps: PLACE, noted });
    const machine = { id: noted.id!, session: prepared.plan.session };
    await host.virsh('managedsave', noted.id!);
    const refused = await failureOf(runOf(driver).switchDisks(machine, [], endless()));
    equal(refused?.code, 'CONFLICT');
    match(refused?.message ?? '', /has a saved state: start it and shut it down/);
    await host.virsh('managedsave-remove', noted.id!);
    await runOf(driver).switchDisks(machine, [], endless());
  });

  each('once it stays, its definition is as it was in the recovery point', async () => {
    await using rig = await open();
    const prepared = await prepare(rig);
    await using driver = await rig.connect();
    const noted = journal();
    await walk(driver, prepared, { steps: PLACE, noted });
    const running = await host.virsh('dumpxml', noted.id!);
    equal(running.match(/error_policy='stop' rerror_policy='stop'/g)?.length, 2);
    await walk(driver, prepared, { steps: [...COPY, ...STAY], noted });
    const kept = await host.virsh('dumpxml', '--inactive', noted.id!);
    doesNotMatch(kept, /error_policy|holdfast-run|nbd/);
    equal(kept.match(/<driver name='qemu' type='qcow2' discard='unmap'\/>/g)?.length, 2);
    match(kept, /<source network='lan'\/>/);
    match(await host.virsh('dominfo', noted.id!), /Autostart: +enable/);
  });

  each(
    'a machine of UEFI and a TPM finds its variables and its state, and they go with it',
    async () => {
      await using rig = await open();
      const prepared = await prepare(rig);
      const { plan } = prepared;
      const secured = await withFirmware(plan);
      await using driver = await rig.connect();
      const run = runOf(driver);
      const before = await leftFiles(host);
      const shown = await run.show(secured, endless());
      const free = { ...secured, name: 'secured' };
      deepEqual(await run.check(free, endless()), []);
      const id = await run.register(free, shown, endless());
      const variables = host.path(`/var/lib/libvirt/qemu/nvram/holdfast-${plan.session}_VARS.fd`);
      const state = host.path(`/var/lib/libvirt/swtpm/${id}/tpm2/tpm2-00.permall`);
      const [nvram, tpm] = secured.files.slice(-2);
      deepEqual(new Uint8Array(readFileSync(variables)), new Uint8Array(nvram!.bytes));
      deepEqual(new Uint8Array(readFileSync(state)), new Uint8Array(tpm!.bytes));
      const machine = { id, session: plan.session };
      await run.start(machine, endless());
      equal((await run.look(machine, endless())).isThere, true);
      await run.stop(machine, 'off', endless());
      await run.unregister(machine, endless());
      deepEqual(await leftFiles(host), before);
      // As if the answer to the definition had never come, and someone had removed it.
      await run.register(free, shown, endless());
      await host.virsh('undefine', id, '--keep-nvram', '--keep-tpm');
      await run.unregister(machine, endless());
      deepEqual(await leftFiles(host), before);
    },
  );
  await Promise.all(tests);
});

/** A machine with UEFI and a TPM of its own, as a recovery point of libvirt has it. */
async function withFirmware(plan: RunPlan): Promise<RunPlan> {
  const state = mkdtempSync(join(tmpdir(), 'holdfast-tpm-'));
  await program('swtpm_setup', '--tpm2', '--tpm-state', state, '--createek', '--overwrite');
  const tpm = readFileSync(join(state, 'tpm2-00.permall'));
  rmSync(state, { recursive: true });
  const variables = readFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd');
  return {
    ...plan,
    machine: {
      ...plan.machine,
      ...{ machineType: 'q35', native: { format: 'vmx', file: 'none' } },
      firmware: { kind: 'uefi', secureBoot: false, varsFile: 'variables' },
      tpm: { version: '2.0', stateFile: 'tpm' },
    },
    files: [
      { name: 'variables', kind: 'firmware-vars', bytes: variables },
      { name: 'tpm', kind: 'tpm-state', bytes: tpm },
    ],
  };
}

/** Variables and states of machines that lie there. */
async function leftFiles(host: LibvirtHost): Promise<readonly string[]> {
  return ['/var/lib/libvirt/qemu/nvram', '/var/lib/libvirt/swtpm'].flatMap((it) =>
    existsSync(host.path(it)) ? (readdirSync(host.path(it), { recursive: true }) as string[]) : [],
  );
}
