#!/usr/bin/env node
// npm run lab: what converges, on small games whose optimum and exact returns are known by enumeration.
import { writeFile } from 'node:fs/promises';
import { callersPath, command, oneOf, wholeNumber } from './cli.js';
import { allArms } from './lab/arms.js';
import { gameNames } from './lab/games.js';
import { labPage } from './lab/lab-page.js';
import { runLaboratory } from './lab/laboratory.js';
import { markdown } from './lab/words.js';

const QUICK_STARTS = 20;
const STARTS = 200;

const USAGE = `npm run -s lab -- [OPTIONS]

Every algorithm on small sequential games: share of random starts that end within 1 % of the global optimum, falls of the
exact return, iterations needed. Markdown on standard output; the same options give the same figures on any machine.

  --quick           fewer rows and ${QUICK_STARTS} starts: under half a minute
  --starts N        random starts for each game (default ${STARTS})
  --part NAME       theory, per-turn-exact, shared-exact, per-turn-sampled or shared-sampled; 'exact' is both
  --game NAME       one game: ${gameNames.join(', ')}
  --algorithm NAME  rows whose algorithm begins so: ${[...new Set(allArms(1).map(({ name }) => name))].join(', ')}
  --seed N          another set of starts, games and draws (default 1)
  --json FILE       all figures, per game, with intervals and curves
  --html FILE       the same as a page with curves`;

const OPTIONS = {
  quick: { type: 'boolean' },
  starts: { type: 'string' },
  game: { type: 'string' },
  part: { type: 'string' },
  algorithm: { type: 'string' },
  seed: { type: 'string' },
  json: { type: 'string' },
  html: { type: 'string' },
} as const;

await command(USAGE, OPTIONS, async (values) => {
  const { quick = false, part, algorithm } = values;
  const options = {
    quick,
    starts: wholeNumber('--starts', values.starts, 2, quick ? QUICK_STARTS : STARTS),
    seed: wholeNumber('--seed', values.seed, 0, 1),
    part,
    game: oneOf('--game', values.game, gameNames, undefined),
    algorithm,
  };
  const findings = await runLaboratory(options, (done, cells) => {
    if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${cells} cells${done === cells ? '\n' : ''}`);
  });
  console.log(markdown(findings));
  if (values.json !== undefined) await writeFile(callersPath(values.json), `${JSON.stringify(findings, null, 1)}\n`);
  if (values.html !== undefined) await writeFile(callersPath(values.html), labPage(findings));
});
