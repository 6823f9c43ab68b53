import { startTool, type Tool, type ToolEnd, type ToolOptions } from '../process/tool.ts';
import type { ByteStream } from './network.ts';

/** What a conversation needs of a stream, whether it is a socket or a program. */
export type ByteChannel = Pick<
  ByteStream,
  'onBytes' | 'onClose' | 'start' | 'write' | 'end' | 'destroy'
>;

/** Writes go to the program's standard input; its standard output is received. */
export interface ProgramStream extends ByteChannel {
  /** Never rejects: how the program ended, with what it has written to its standard error. */
  readonly ended: Promise<ToolEnd>;
}

/** Starts a program to speak with. `onClose` is called once it has ended, without an error: see `ended`. */
export async function programStream(
  command: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<ProgramStream> {
  return streamOf(await startTool(command, args, options));
}

function streamOf(tool: Tool): ProgramStream {
  const { stdin, stdout, ended } = tool;
  // Node reads and drops what a program has left when it ends, unless it is listened to.
  let early: Uint8Array[] | undefined = [];
  let isOver = false;
  stdout.on('error', () => {});
  stdout.on('data', (bytes: Uint8Array) => {
    if (early) early.push(bytes);
    else stream.onBytes(bytes);
  });
  stdout.pause();
  const stream: ProgramStream = {
    onBytes() {},
    onClose() {},
    ended,
    start() {
      for (const bytes of early ?? []) stream.onBytes(bytes);
      early = undefined;
      stdout.resume();
      if (isOver) stream.onClose(undefined);
    },
    write(bytes, sent) {
      if (stdin.writable) stdin.write(bytes, sent && ((cause) => void (cause || sent())));
    },
    end: () => void stdin.end(),
    destroy: () => tool.kill(),
  };
  void ended.then(() => {
    isOver = true;
    if (!early) stream.onClose(undefined);
  });
  return stream;
}
