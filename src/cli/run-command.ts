import type { Engine } from '../engine/base/engine.ts';
import { noStoreNamed, openCalls } from './base/client.ts';
import type { Command, Context, Input } from './base/command.ts';
import { Interrupted } from './base/interrupted.ts';
import type { Output } from './base/output.ts';
import { withPasskey } from './base/passkey.ts';
import { descriptorOnce, isSecretGiven, type SecretOptions, secretSource } from './base/secrets.ts';
import { givenService, requireHere } from './base/remote-options.ts';

/** A dropped connection (SIGHUP) leaves nothing half done either. */
const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs a command with the service, the store and the secrets that its command line names. */
export async function runCommand(command: Command, input: Input, output: Output): Promise<void> {
  const interrupt = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void =>
    interrupt.abort(new Interrupted('interrupted', signal === 'SIGHUP'));
  for (const signal of STOP_SIGNALS) process.once(signal, onSignal);
  const storeDirectory = input.text('store') ?? process.env['HOLDFAST_STORE'];
  const secretOptions: SecretOptions = {
    passphraseFile: input.text('passphrase-file'),
    passphraseFd: descriptorOnce(input.text('passphrase-fd')),
    recoveryKeyFile: input.text('recovery-key-file'),
    passkeyFile: input.text('passkey-file'),
    passkeyFd: descriptorOnce(input.text('passkey-fd')),
    newPasskeyFile: input.text('new-passkey-file'),
    newPassphraseFile: input.text('new-passphrase-file'),
    credentials: process.env['CREDENTIALS_DIRECTORY'],
  };
  let engine: Engine | undefined;
  const named = givenService(input, process.env['HOLDFAST_SOCKET']);
  async function openOnce(): Promise<Engine> {
    requireHere(named);
    const directory = storeDirectory ?? (await calls.servedStore());
    if (directory === undefined) throw await noStoreNamed();
    const { openEngine } = await import('../engine/base/engine.ts');
    return (engine ??= await openEngine(directory));
  }
  const calls = openCalls({
    named,
    store: storeDirectory,
    engine: openOnce,
    secrets: secretOptions,
    report: output.report,
    signal: interrupt.signal,
  });
  const context: Context = {
    output,
    storeDirectory,
    signal: interrupt.signal,
    secrets: withPasskey(secretSource(secretOptions), {
      ...{ engine: openOnce, options: secretOptions, signal: interrupt.signal },
    }),
    hasSecret: isSecretGiven(secretOptions),
    secretOptions,
    engine: openOnce,
    named,
    ...calls,
  };
  try {
    await command.run(input, context);
  } finally {
    await engine?.[Symbol.asyncDispose]();
    for (const signal of STOP_SIGNALS) process.off(signal, onSignal);
  }
}
