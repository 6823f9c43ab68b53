import { disks } from './disks.ts';
import { formats } from './formats.ts';
import { exports } from './exports.ts';
import { ingest } from './ingest.ts';
import { guard } from './guard.ts';
import { hypervisorRuns } from './hypervisor-runs.ts';
import { hypervisors } from './hypervisors.ts';
import { jobs } from './jobs.ts';
import { keptPoints } from './kept-points.ts';
import { libvirt } from './libvirt.ts';
import { machineBackups } from './machine-backups.ts';
import { libvirtGuests } from './libvirt-guests.ts';
import { managed } from './managed.ts';
import type { Mutant } from './mutant.ts';
import { nbdClient } from './nbd-client.ts';
import { network } from './network.ts';
import { pageLocations } from './page-locations.ts';
import { proofs } from './proofs.ts';
import { restores } from './restores.ts';
import { screens } from './screens.ts';
import { sealedLog } from './sealed-log.ts';
import { sealedOverlay } from './sealed-overlay.ts';
import { service } from './service.ts';
import { placedSessions } from './placed-sessions.ts';
import { sessions } from './sessions.ts';
import { sets } from './sets.ts';
import { store } from './store.ts';
import { sweep } from './sweep.ts';
import { targets } from './servers.ts';
import { upkeep } from './upkeep.ts';
import { verify } from './verify.ts';

export const mutants: readonly Mutant[] = [
  ...formats,
  ...disks,
  ...store,
  ...sweep,
  ...upkeep,
  ...keptPoints,
  ...sets,
  ...sessions,
  ...proofs,
  ...verify,
  ...placedSessions,
  ...ingest,
  ...exports,
  ...service,
  ...targets,
  ...nbdClient,
  ...guard,
  ...jobs,
  ...pageLocations,
  ...sealedLog,
  ...sealedOverlay,
  ...screens,
  ...network,
  ...hypervisors,
  ...hypervisorRuns,
  ...managed,
  ...restores,
  ...machineBackups,
  ...libvirt,
  ...libvirtGuests,
];
