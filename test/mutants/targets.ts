import type { Mutant } from './mutant.ts';

const HANDSHAKE = 'test/targets/nbd-handshake.test.ts';
const HOSTILE = 'test/targets/nbd-hostile.test.ts';
const NBD_TLS = 'test/targets/nbd-tls.test.ts';
const NFS_ACCESS = 'test/targets/nfs-access.test.ts';
const NFS_SHARED = 'test/targets/nfs-shared.test.ts';
const SHARED_NBD = 'test/daemon/shared-nbd.test.ts';

export const targets: readonly Mutant[] = [
  {
    name: 'NBD: bytes in the clear behind STARTTLS are taken over',
    file: 'src/targets/nbd/handshake.ts',
    text: "if (outcome.kind === 'tls' && pending.length > 0) return { kind: 'close' };",
    to: '',
    tests: [NBD_TLS, HOSTILE],
  },
  {
    name: 'NBD: exports are named and served before TLS where TLS is required',
    file: 'src/targets/nbd/handshake.ts',
    text: "if (tls === 'require' && !isSecure && !isAllowedInTheClear(option)) {",
    to: 'if (false) {',
    tests: [NBD_TLS, HOSTILE],
  },
  {
    name: 'NBD: what was agreed before TLS counts after it',
    file: 'src/targets/nbd/handshake.ts',
    text: "      style = 'simple';\n      contextOf = undefined;\n",
    to: '',
    tests: [NBD_TLS, HOSTILE],
  },
  {
    name: 'NBD: a client may negotiate for ever',
    file: 'src/targets/nbd/handshake.ts',
    text: ' || ++count > OPTIONS_MAX)',
    to: ')',
    tests: [HANDSHAKE, HOSTILE],
  },
  {
    name: 'NBD: an option of any length is read',
    file: 'src/targets/nbd/handshake.ts',
    text: 'if (length > OPTION_LENGTH_MAX) {',
    to: 'if (false) {',
    tests: [HANDSHAKE, HOSTILE],
  },
  {
    name: 'NBD: a read-only export says that it can be written',
    file: 'src/targets/nbd/handshake.ts',
    text: '(readOnly ? TRANSMISSION_FLAGS.readOnly : writing) |',
    to: 'writing |',
    tests: [HOSTILE, 'test/targets/nbd-conformance.test.ts'],
  },
  {
    name: 'NBD: an answer is sent between the parts of another one',
    file: 'src/targets/nbd/outgoing.ts',
    text: 'if (sending) void sending.then(() => between(say));',
    to: 'if (false) void sending;',
    tests: ['test/targets/nbd-bounds.test.ts'],
  },
  {
    name: 'NBD: an answer in parts is begun before its range is known to be readable',
    file: 'src/targets/nbd/reading.ts',
    text: '    await readThrough(device, offset, length);',
    to: '    await Promise.resolve();',
    tests: ['test/targets/nbd-bounds.test.ts'],
  },
  {
    name: 'NBD: a long read is answered from memory for all of it',
    file: 'src/targets/nbd/reading.ts',
    text: 'const WHOLE_MAX = QUEUED_MAX;',
    to: 'const WHOLE_MAX = 32 * MiB;',
    tests: ['test/targets/nbd-bounds.test.ts'],
  },
  {
    name: 'NBD: a request larger than any is taken',
    file: 'src/targets/nbd/transmission.ts',
    text: 'if (request.command === COMMANDS.disconnect || length > PAYLOAD_LENGTH_MAX) {',
    to: 'if (request.command === COMMANDS.disconnect) {',
    tests: [HOSTILE, 'test/targets/nbd-bounds.test.ts'],
  },
  {
    name: 'connections: a host that has one is turned away where another has all',
    file: 'src/targets/crowd.ts',
    text: "return yields === 'always' || most.length > its.length + 1 ? most : undefined;",
    to: "return yields === 'always' ? most : undefined;",
    tests: ['test/targets/crowd.test.ts'],
  },
  {
    name: 'connections: one that was used goes before one that said nothing',
    file: 'src/targets/crowd.ts',
    text: 'if (a.hasSpoken !== b.hasSpoken) return a.hasSpoken ? b : a;',
    to: '',
    tests: ['test/targets/crowd-order.test.ts'],
  },
  {
    name: 'NFS: a retransmission of a call under way is carried out',
    file: 'src/targets/nfs/dispatch.ts',
    text: "if (known === 'running') return;",
    to: '',
    tests: ['test/targets/nfs-dispatch.test.ts'],
  },
  {
    name: 'NFS: a call that was carried out is carried out again',
    file: 'src/targets/nfs/dispatch.ts',
    text: 'if (known) return repeat(open(xid, rethrow), known);',
    to: '',
    tests: ['test/targets/nfs-dispatch.test.ts'],
  },
  {
    name: 'NFS: one client pushes out the answers of others',
    file: 'src/targets/nfs/replay-cache.ts',
    text: 'if (its > REPLIES_OF_CLIENT_MAX) dropOldest(client);\n      else if',
    to: 'if',
    tests: [NFS_SHARED],
  },
  {
    name: 'NFS: every client may use a port above 1023',
    file: 'src/targets/nfs/access.ts',
    text: 'port < PRIVILEGED_END && user === ROOT',
    to: 'user === ROOT',
    tests: [NFS_ACCESS],
  },
  {
    name: 'NFS: addresses that are not allowed are served',
    file: 'src/targets/nfs/access.ts',
    text: 'return allow.has(address) &&',
    to: 'return allow && address !== null &&',
    tests: [NFS_ACCESS],
  },
  {
    name: 'NFS: root is root where it is squashed',
    file: 'src/targets/nfs/access.ts',
    text: "if (squash === 'all' || caller.uid === ROOT) return NOBODY;",
    to: "if (squash === 'all') return NOBODY;",
    tests: [NFS_ACCESS],
  },
  {
    name: 'NFS: the group of a file has the rights of its owner',
    file: 'src/targets/nfs/access.ts',
    text: 'return (mode >> 3) & 7;',
    to: 'return (mode >> 6) & 7;',
    tests: [NFS_ACCESS, 'test/targets/nfs.test.ts'],
  },
  {
    name: 'NBD: hosts that chose no export leave no room for others',
    file: 'src/targets/nbd/target.ts',
    text: "const shaking = crowd({ yields: 'always' });",
    to: "const shaking = crowd({ yields: 'to-others' });",
    tests: ['test/targets/crowd.test.ts'],
  },
  {
    name: 'NBD: renewed credentials are not used',
    file: 'src/targets/nbd/target.ts',
    text: 'tls = { ...tls, credentials };',
    to: 'void credentials;',
    tests: [SHARED_NBD],
  },
  {
    name: 'NBD: renewed credentials may stop to ask clients who they are',
    file: 'src/recovery/disk-server.ts',
    text: 'if (!tls || knowsClients(next) !== isKnown) {',
    to: 'if (!tls) {',
    tests: [SHARED_NBD],
  },
  {
    name: 'sockets: one that is in use is taken for one that was left',
    file: 'src/sys/network.ts',
    text: '    if (await isListenedAt(path)) continue;',
    to: '',
    tests: ['test/sys/network.test.ts'],
  },
  {
    name: 'sectors: a table of large sectors counts before one of small ones',
    file: 'src/ingest/sector-size.ts',
    text: '([USUAL_SECTOR, LARGE_SECTOR] as const)',
    to: '([LARGE_SECTOR, USUAL_SECTOR] as const)',
    tests: ['test/ingest/source.test.ts'],
  },
];
