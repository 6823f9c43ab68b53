import type { Handler } from './procedure.ts';

/** Procedure 0 of every program, which clients use to find out whether it is there, and others that do nothing. */
export const nullProcedure: Handler = (_args, _caller, reply) => {
  reply.begin(0);
  reply.end();
};
