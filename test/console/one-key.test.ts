import { equal, match, ok } from 'node:assert/strict';
import { test } from 'tap';
import { EXPORT, onSessions } from '../support/console.ts';

// U6
test('a session with clients is stopped by its word, not by one key', async () => {
  const [client] = EXPORT.clients;
  for (const [driven, words] of [
    [onSessions([EXPORT, { ...EXPORT, clients: [client!, client!] }]), /3 clients are connected/],
    [onSessions('unknown'), /The connected clients are not known/],
  ] as const) {
    driven.type('s');
    match(driven.text(), words);
    const isAsked = () => driven.asked.some(({ call }) => call.name === 'session/stop');
    equal(isAsked(), false);
    driven.type('stop\r');
    ok(isAsked());
  }
});
