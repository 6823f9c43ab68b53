import { rejects } from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'tap';
import { askRootService } from '../../src/client/root-services.ts';
import { temporaryDirectory } from '../support/temporary.ts';

test("the message names what starts a service with root's rights that does not answer", async () => {
  const service = {
    socket: join(temporaryDirectory(), 'none.sock'),
    unit: 'holdfast-hostd.socket',
  };
  const { signal } = new AbortController();
  await rejects(
    askRootService(service, 'host/show', {}, { secret: undefined, signal, report() {} }),
    { kind: 'unreachable', message: /systemctl start holdfast-hostd\.socket \(/ },
  );
});
