#!/usr/bin/env node
// npm run setup [-- --with reference] [-- --only model,bfcl]: provides what a run needs, and does nothing else.
import { parseArgs } from 'node:util';
import { componentNames, defaultComponents, describeFailure, setUp, type ComponentName } from './setup/index.js';

try {
  const { values } = parseArgs({
    options: {
      with: { type: 'string', multiple: true },
      only: { type: 'string', multiple: true },
      quiet: { type: 'boolean' },
    },
  });
  const list = (values: string[] | undefined) => (values ?? []).flatMap((value) => value.split(',')) as ComponentName[];
  const names = values.only === undefined ? [...defaultComponents, ...list(values.with)] : list(values.only);
  const start = performance.now();
  await setUp(names);
  if (!values.quiet) {
    console.log(
      `set-up: all there (${names.filter((name) => componentNames.includes(name)).join(', ')}), ${((performance.now() - start) / 1000).toFixed(1)} s`,
    );
  }
} catch (error) {
  console.error(describeFailure(error));
  process.exitCode = 1;
}
