import { metricDefinitions } from '../../activities/report/metric-definitions.js';
import { generatedFrom, table } from './markdown.js';

/** docs/metrics.md: what the report shows and how it is computed. */
export const metricsPage = (): string =>
  `${[
    generatedFrom('`activities/report/metric-definitions.ts`'),
    '# Metrics',
    'The figures of the report, in its order; the report defines them on its page, too. N trajectories of B tasks, G ' +
      'samples each; T_i turns in trajectory i, L_it tokens in its response of turn t. Log-probabilities are in nats, ' +
      'at the sampling temperature.',
    table(
      ['metric', 'formula', 'meaning'],
      metricDefinitions.map(({ name, formula, meaning }) => [name, formula, meaning]),
    ),
  ].join('\n\n')}\n`;
