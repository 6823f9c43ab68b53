#!/usr/lib/holdfast/bin/node
// The login shell of the user "admin" (appliance/ssh): the console, or one command of Holdfast. No shell reads
// anything: the words of `ssh admin@box holdfast session list` are split and checked here.
import { login } from './login-session.ts';

process.exitCode = await login({
  asked: process.env['SSH_ORIGINAL_COMMAND'],
  from: process.env['SSH_CONNECTION'],
});
