import { createServer, type Socket } from 'node:net';
import { lineCutter } from '../../src/formats/wire/qmp.ts';

/** A monitor of a QEMU that says whatever a test wants. */
export interface FakeQmp extends AsyncDisposable {
  /** Names of the commands that came. */
  readonly heard: string[];
  /**
   * By command: the value of its answer, or `{error}`; a text is sent as it is; null: the connection ends; undefined:
   * nothing is said.
   */
  readonly answers: Map<string, unknown>;
  /** Connections that are open. */
  readonly sockets: Set<Socket>;
}

const GREETING = {
  QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 }, package: '' }, capabilities: [] },
};
export const FAKE_UUID = '5e1fc4ec-0000-4000-8000-000000000002';

export async function fakeQmp(
  path: string,
  { greeting = JSON.stringify(GREETING), uuid = FAKE_UUID } = {},
): Promise<FakeQmp> {
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const answers = new Map<string, unknown>([
    ['qmp_capabilities', {}],
    ['query-uuid', { UUID: uuid }],
    ['query-status', { status: 'running', running: true }],
  ]);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    if (greeting !== '') socket.write(`${greeting}\r\n`);
    socket.on(
      'data',
      lineCutter((line) => {
        const { execute, id } = JSON.parse(Buffer.from(line).toString()) as {
          execute: string;
          id: number;
        };
        heard.push(execute);
        say(socket, answers.get(execute), id);
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    ...{ heard, answers, sockets },
    async [Symbol.asyncDispose]() {
      for (const it of sockets) it.destroy();
      server.close();
    },
  };
}

function say(socket: Socket, answer: unknown, id: number): void {
  if (answer === undefined) return;
  if (answer === null) socket.destroy();
  else if (typeof answer === 'string') socket.write(answer);
  else {
    const isFailure = typeof answer === 'object' && 'error' in answer;
    socket.write(`${JSON.stringify(isFailure ? { ...answer, id } : { return: answer, id })}\n`);
  }
}
