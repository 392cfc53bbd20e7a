#!/usr/bin/env node
// npm run docs: writes the pages of docs/ and the JSON schemas that are made from the code.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { generatedFiles } from './docs/generated-files.js';
import { repositoryRoot } from './setup/paths.js';

for (const [file, text] of generatedFiles()) {
  const target = path.join(repositoryRoot, file);
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, text);
  console.log(file);
}
