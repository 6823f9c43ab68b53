import { PROGRAMS } from '../../../formats/wire/rpc.ts';
import { nullProcedure } from './null-procedure.ts';
import type { Handler, Program } from './procedure.ts';

/** The port and transport of a program. */
export interface Registration {
  readonly program: number;
  readonly version: number;
  readonly transport: 'tcp' | 'udp';
  readonly port: number;
}

const TRANSPORTS = { tcp: 6, udp: 17 } as const;
const ENTRY_LENGTH = 20;

/** The port mapper, version 2 (RFC 1833, section 3). Only this process registers programs. */
export function portmapProgram(registrations: () => readonly Registration[]): Program {
  const refuse: Handler = (_args, _caller, reply) => {
    reply.begin(4).flag(false);
    reply.end();
  };
  const handlers: readonly (Handler | undefined)[] = [
    nullProcedure,
    // SET, UNSET
    refuse,
    refuse,
    // GETPORT
    (args, _caller, reply) => {
      const program = args.u32();
      args.u32();
      const transport = args.u32();
      // Any version: the program itself refuses an unknown one, and lists those that it has.
      const found = registrations().find(
        (it) => it.program === program && TRANSPORTS[it.transport] === transport,
      );
      reply.begin(4).u32(found?.port ?? 0);
      reply.end();
    },
    // DUMP
    (_args, _caller, reply) => {
      const all = registrations();
      const writer = reply.begin(all.length * ENTRY_LENGTH + 4);
      for (const { program, version, transport, port } of all) {
        writer.flag(true);
        for (const word of [program, version, TRANSPORTS[transport], port]) writer.u32(word);
      }
      writer.flag(false);
      reply.end();
    },
  ];
  return {
    ...PROGRAMS.portmap,
    procedure: (number) => handlers[number],
    happensOnce: () => false,
    fail(_number, _reply, cause) {
      throw cause;
    },
  };
}
