#!/usr/bin/env node
// npm run setup [-- --with reference] [-- --only model,bfcl]: provides what a run needs, and does nothing else.
import { command } from './cli.js';
import { componentNames, defaultComponents, setUp, type ComponentName } from './setup/index.js';

const USAGE = `npm run setup -- [OPTIONS]

Provides what a run needs below .runtime, and does nothing else; what is there already is left as it is.

  --with A,B   these too (${componentNames.filter((name) => !defaultComponents.includes(name)).join(', ')})
  --only A,B   nothing but these (${componentNames.join(', ')})
  --quiet      says nothing of what is there already`;

const OPTIONS = {
  with: { type: 'string', multiple: true },
  only: { type: 'string', multiple: true },
  quiet: { type: 'boolean' },
} as const;

await command(USAGE, OPTIONS, async (values) => {
  const list = (given: string[] = []) => given.flatMap((value) => value.split(',')) as ComponentName[];
  const names = values.only === undefined ? [...defaultComponents, ...list(values.with)] : list(values.only);
  const start = performance.now();
  await setUp(names);
  if (values.quiet) return;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const there = names.filter((name) => componentNames.includes(name));
  console.log(`set-up: all there (${there.join(', ')}), ${seconds} s`);
});
