import type { Mutant } from './mutant.ts';

const FILES = 'test/sys/files/file-system.test.ts';
const TOKENS = 'test/engine/secrets/tokens.test.ts';

export const network: readonly Mutant[] = [
  {
    name: 'datagrams: one from port 0 is answered',
    file: 'src/sys/net/datagrams.ts',
    text: '    if (from === 0) return;\n',
    to: '',
    tests: ['test/sys/net/datagrams.test.ts'],
  },
  {
    name: 'threads: no room for one is thrown',
    file: 'src/sys/process/worker-thread.ts',
    text: 'code !== NO_ROOM) throw',
    to: 'code !== undefined) throw',
    tests: ['test/sys/process/worker-thread.test.ts'],
  },
  {
    name: 'files: a descriptor is closed while a thread is at work with it',
    file: 'src/sys/files/descriptor-use.ts',
    text: 'if (underWay > 0) await',
    to: 'if (underWay < 0) await',
    tests: [FILES],
  },
  {
    name: 'files: a closed one reads what has its descriptor',
    file: 'src/sys/files/descriptor-use.ts',
    text: 'if (!isOpen) throw',
    to: 'if (underWay < 0) throw',
    tests: [FILES],
  },
  {
    name: 'files: another attempt to open takes an open one out of the list',
    file: 'src/sys/files/open-files.ts',
    text: 'if (handles.get(key) === handle) handles.delete(key);',
    to: 'handles.delete(key);',
    tests: ['test/sys/files/open-files.test.ts'],
  },
  {
    name: 'reader: a row of a block that failed by a fault of ours stays taken',
    file: 'src/store/read/block-reader.ts',
    text: "cache.settle(place, outcome === 'decoded');\n    }",
    to: "if (outcome !== 'failed') cache.settle(place, outcome === 'decoded');\n    }",
    tests: ['test/store/decode/decode-pool.test.ts'],
  },
  {
    name: 'decode pool: what is asked for at its end waits for ever',
    file: 'src/store/decode/decode-pool.ts',
    text: "      if (closing) return Promise.resolve('failed');\n",
    to: '',
    tests: ['test/store/decode/decode-ring.test.ts'],
  },
  {
    name: 'socket: idle connections of users keep another user out',
    file: 'src/sys/net/connection-room.ts',
    text: 'if (!isUser(group) || count',
    to: 'if (isUser(group) || count',
    tests: ['test/sys/net/connection-room.test.ts'],
  },
  {
    name: 'tokens: each address of an IPv6 host has tries of its own',
    file: 'src/engine/secrets/wrong-tokens.ts',
    text: 'waits.next(peerNetwork(address))',
    to: 'waits.next(address)',
    tests: [TOKENS],
  },
  {
    name: 'TLS port: while it is full, a host that has no connection gets none',
    file: 'src/sys/net/http-server.ts',
    text: 'if (most.length <= its + 1) {',
    to: 'if (most.length > 0) {',
    tests: ['test/daemon/remote.test.ts'],
  },
  {
    name: 'sockets: without IPv6 in the kernel nothing is listened at',
    file: 'src/sys/net/network.ts',
    text: 'if (!isAll || code !== NO_FAMILY) throw cause;',
    to: 'if (code !== undefined || isAll) throw cause;',
    tests: ['test/sys/net/networks.test.ts'],
  },
  {
    name: 'client: whatever answers is the service',
    file: 'src/client/service-client.ts',
    text: "if (typeof line?.event === 'string') return",
    to: 'if (line) return',
    tests: ['test/client/service-client.test.ts'],
  },
  {
    name: 'client: a server that went away without a word is waited for',
    file: 'src/sys/net/http-client.ts',
    text: '  sent.setSocketKeepAlive(true, PROBE_AFTER_MS);\n',
    to: '  void PROBE_AFTER_MS;\n',
    tests: ['test/client/service-client.test.ts'],
  },
  {
    name: 'SSH: an invalid line hides all keys',
    file: 'src/host/settings/ssh.ts',
    text: "cause.code !== 'BAD_REQUEST') throw",
    to: "cause.code !== 'FAILED') throw",
    tests: ['test/engine/host/host-work.test.ts'],
  },
  {
    name: 'tools: a program that is stopped leaves what it has started',
    file: 'src/sys/process/tool.ts',
    text: "process.kill(-child.pid!, 'SIGKILL');",
    to: "process.kill(child.pid!, 'SIGKILL');",
    tests: ['test/sys/process/tool.test.ts'],
  },
  {
    name: 'mutex: a place that is free goes to the newest caller',
    file: 'src/lib/mutex.ts',
    text: 'const next = waiting.shift();',
    to: 'const next = waiting.pop();',
    tests: ['test/lib/mutex.test.ts'],
  },
];
