import { join } from 'node:path/posix';
import { AGENT_DELIMITER, encodeQmpCommand } from '../../formats/wire/qmp.ts';
import type { Clock } from '../../sys/base/clock.ts';
import { SystemError } from '../../sys/base/system-error.ts';
import { type ByteStream, connect } from '../../sys/net/network.ts';
import { HypervisorError } from '../base/hypervisor-error.ts';
import { AGENT } from './commands.ts';
import { type Lines, linesOver } from './lines.ts';
import type { QmpHost } from './qmp-host.ts';

/*
 * The agent in a guest, at the other end of a channel of the machine: the administrator gives the channel a socket
 * beside the monitor's, NAME.qga. The channel takes one client at a time, and is there whether an agent runs or not.
 */

export interface Agent extends AsyncDisposable, Pick<Lines, 'call'> {}

const SUFFIX = '.qga';
/** An agent that runs answers at once. */
const SYNC_MS = 5000;

let syncs = 0;

export async function hasAgentSocket(
  { files, directory }: QmpHost,
  name: string,
): Promise<boolean> {
  return (await files.list(directory)).includes(`${name}${SUFFIX}`);
}

/** What a person can do where no agent answers. */
export async function agentRemedy(host: QmpHost, name: string): Promise<string> {
  if (await hasAgentSocket(host, name)) return 'install and start qemu-guest-agent in the guest';
  const socket = `socket,id=qga,path=${join(host.directory, `${name}${SUFFIX}`)},server=on,wait=off`;
  const device = 'virtserialport,chardev=qga,name=org.qemu.guest_agent.0';
  return (
    `start the machine with a channel for it ("-chardev ${socket} -device virtio-serial -device ${device}"), and ` +
    'install qemu-guest-agent in the guest'
  );
}

/** Rejects UNREACHABLE if no agent answers, with what to do about it. */
export async function openAgent(
  { directory, clock }: Pick<QmpHost, 'directory' | 'clock'>,
  name: string,
  signal: AbortSignal,
): Promise<Agent> {
  const path = join(directory, `${name}${SUFFIX}`);
  const stream = await connected(path, signal);
  const lines = linesOver(stream, clock, { who: 'the guest agent', hasIds: false });
  try {
    await synchronize(stream, lines, { clock, signal });
  } catch (cause) {
    await lines.close();
    signal.throwIfAborted();
    if (!(cause instanceof HypervisorError)) throw cause;
    const message = `the guest agent does not answer at ${path}: it does not run, or another program uses its channel`;
    throw new HypervisorError('UNREACHABLE', message, { cause });
  }
  return {
    call: lines.call,
    [Symbol.asyncDispose]: () => lines.close(),
  };
}

async function connected(path: string, signal: AbortSignal): Promise<ByteStream> {
  try {
    return await connect({ kind: 'unix', path }, signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof SystemError)) throw cause;
    throw new HypervisorError('UNREACHABLE', `the guest agent: ${cause.message}`, { cause });
  }
}

/** Answers to those who were here before are dropped (qmp.md, "The guest agent"). */
async function synchronize(
  stream: ByteStream,
  lines: Lines,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  // Others who use the channel count from somewhere else.
  const number = Math.floor(clock.now().getTime() / 1000) * 1000 + (syncs++ % 1000);
  stream.write(Uint8Array.of(AGENT_DELIMITER));
  stream.write(encodeQmpCommand({ name: AGENT.sync, args: { id: number }, id: undefined }));
  await lines.wait(AGENT.sync, (message) => message.kind === 'reply' && message.value === number, {
    timeoutMs: SYNC_MS,
    signal,
  });
}
