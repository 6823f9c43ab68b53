import { startTool, type Tool, type ToolEnd, type ToolOptions } from '../process/tool.ts';
import type { ByteStream } from './network.ts';

/** What a conversation needs of a stream, whether it is a socket or a program. */
export type ByteChannel = Pick<
  ByteStream,
  'onBytes' | 'onClose' | 'start' | 'write' | 'end' | 'destroy'
>;

/** What is written is the program's input, and what it prints is received. */
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
  stdout.on('error', () => {});
  stdout.pause();
  const stream: ProgramStream = {
    onBytes() {},
    onClose() {},
    ended,
    start() {
      stdout.on('data', (bytes: Uint8Array) => stream.onBytes(bytes));
      stdout.resume();
    },
    write(bytes, sent) {
      if (stdin.writable) stdin.write(bytes, sent && ((cause) => void (cause || sent())));
    },
    end: () => void stdin.end(),
    destroy: () => tool.kill(),
  };
  void ended.then(() => stream.onClose(undefined));
  return stream;
}
