import { defineSearchAttributeKey, SearchAttributeType, type SearchAttributePair } from '@temporalio/common';
import type { RunRef } from '../schemas/run.js';

/**
 * For searching runs in the Web UI and with `temporal workflow list -q`. They must be registered on the server: see
 * workers/check-search-attributes.ts.
 * A server on SQLite has room for 10 Keyword attributes and 3 of each other type.
 */
export const attributes = {
  runId: defineSearchAttributeKey('SeeupoRunId', SearchAttributeType.KEYWORD),
  phase: defineSearchAttributeKey('SeeupoPhase', SearchAttributeType.KEYWORD),
  environment: defineSearchAttributeKey('SeeupoEnv', SearchAttributeType.KEYWORD),
  model: defineSearchAttributeKey('SeeupoModel', SearchAttributeType.KEYWORD),
  algorithm: defineSearchAttributeKey('SeeupoAlgo', SearchAttributeType.KEYWORD),
  iteration: defineSearchAttributeKey('SeeupoIteration', SearchAttributeType.INT),
  reward: defineSearchAttributeKey('SeeupoAvgReward', SearchAttributeType.DOUBLE),
  evaluation: defineSearchAttributeKey('SeeupoEvalScore', SearchAttributeType.DOUBLE),
  kl: defineSearchAttributeKey('SeeupoKl', SearchAttributeType.DOUBLE),
  paused: defineSearchAttributeKey('SeeupoPaused', SearchAttributeType.BOOL),
} as const;

type Values = {
  readonly [Name in keyof typeof attributes]?: (typeof attributes)[Name]['type'] extends 'INT' | 'DOUBLE'
    ? number
    : (typeof attributes)[Name]['type'] extends 'BOOL'
      ? boolean
      : string;
};

export const pairs = (values: Values): SearchAttributePair[] =>
  Object.entries(values).map(
    ([name, value]) => ({ key: attributes[name as keyof Values], value }) as SearchAttributePair,
  );

/** The attributes that a run and its iterations share. */
export const runAttributes = (run: RunRef, also: Values = {}): SearchAttributePair[] =>
  pairs({ runId: run.runId, environment: run.environment, model: run.model, algorithm: run.algorithm, ...also });
