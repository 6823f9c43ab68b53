#!/usr/bin/env node
import { main } from './files-run.ts';

process.exitCode = await main();
