import { configurationPage } from './configuration-page.js';
import { evaluateConfigSchema, trainConfigSchema } from './json-schema.js';
import { metricsPage } from './metrics-page.js';

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** Every file that is written from the code: its path in the repository, and its text as it should be now. */
export const generatedFiles = (): ReadonlyMap<string, string> =>
  new Map([
    ['docs/configuration.md', configurationPage()],
    ['docs/metrics.md', metricsPage()],
    ['scripts/runs/train-config.schema.json', json(trainConfigSchema())],
    ['scripts/runs/evaluate-config.schema.json', json(evaluateConfigSchema())],
  ]);
