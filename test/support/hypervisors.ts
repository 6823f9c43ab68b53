import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { openHypervisorFiles } from '../../src/box/hypervisor-files.ts';
import type {
  HypervisorDriver,
  Hypervisors,
  OpenOptions,
} from '../../src/engine/hypervisors/hypervisors.ts';
import { runSsh } from '../../src/engine/hypervisors/ssh-keys.ts';
import { keyFingerprint } from '../../src/formats/store/service/hypervisor.ts';
import type { Hypervisor } from '../../src/hypervisors/base/hypervisor.ts';
import {
  HypervisorError,
  type HypervisorErrorCode,
} from '../../src/hypervisors/base/hypervisor-error.ts';
import { realWorld } from '../../src/sys/world.ts';
import { temporaryDirectory } from './temporary.ts';

/** Hypervisors as the operations know them, with a driver for the scheme "fake" and SSH servers that are scripted. */
export interface ManagedHome {
  readonly hypervisors: Hypervisors;
  /** Where their files lie. */
  readonly directory: string;
  readonly credentials: string;
  /** The lines that a scan of this host answers; none: it does not answer. */
  readonly hostKeys: Map<string, readonly HostKeyLine[]>;
  /** What the driver was opened with, newest last. */
  readonly opened: OpenOptions[];
}

export interface HostKeyLine {
  readonly type: string;
  readonly key: string;
  readonly fingerprint: string;
}

/** The part of a request that names no files for TLS. */
export const NO_FILES = { ca: undefined, clientCertificate: undefined, clientKey: undefined };

const WORK = { signal: new AbortController().signal };
export { WORK };

/** A host key as a server would show it: of no use but to be compared. */
export function hostKey(type = 'ssh-ed25519'): HostKeyLine {
  const { publicKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  return { type, key, fingerprint: keyFingerprint(key) };
}

/** `open`: what the driver answers with. */
export function managedHome(
  open: (options: OpenOptions) => Hypervisor | Promise<Hypervisor>,
): ManagedHome {
  const root = temporaryDirectory();
  const [directory, credentials] = [join(root, 'hypervisors'), join(root, 'credentials')];
  const hostKeys = new Map<string, readonly HostKeyLine[]>();
  const opened: OpenOptions[] = [];
  const world = realWorld();
  const driver: HypervisorDriver = {
    ...{ kind: 'libvirt', schemes: ['fake', 'fake+ssh', 'fake+tls'], example: 'fake:///system' },
    async open(options) {
      opened.push(options);
      return open(options);
    },
    remoteCommand: ({ path }) => `helper fake://${path}`,
    prepare: (account) => [`useradd ${account}`],
    prepareHere: (account, { path }) => [`allow ${account} fake${path}`],
  };
  return {
    ...{ directory, credentials, hostKeys, opened },
    hypervisors: {
      world,
      files: openHypervisorFiles(world, { directory, credentials }),
      drivers: [driver],
      async run(name, args, signal) {
        if (name === 'ssh-keygen') return runSsh(name, args, signal);
        const lines = (hostKeys.get(args.at(-1)!) ?? []).map(({ type, key }) => `h ${type} ${key}`);
        const stderr = lines.length > 0 ? '# h:22 SSH-2.0-OpenSSH' : 'connect: Connection refused';
        return { code: 0, signal: undefined, stdout: `${lines.join('\n')}\n`, stderr };
      },
    },
  };
}

/** Fails with this each time. */
export function failing(code: HypervisorErrorCode, message: string): () => never {
  return () => {
    throw new HypervisorError(code, message);
  };
}
