#!/usr/bin/env node
import { enableCompileCache } from 'node:module';

// Before anything else is loaded: from the second start on, parsing takes a third.
enableCompileCache();
const { main } = await import('./run.ts');
process.exitCode = await main(process.argv.slice(2));
