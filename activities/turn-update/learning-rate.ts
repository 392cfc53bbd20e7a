import type { ScheduledOptimizerConfig } from '../../schemas/train-config.js';

/** Where a step stands in its run. */
export interface StepPosition {
  /** k, from 0, of so many. */
  readonly iteration: number;
  readonly iterations: number;
  /** Optimiser steps of the run before this one. */
  readonly step: number;
}

/**
 * Learning rate of an optimiser step. It falls by iterations, from the peak in the first to `finalRate`
 * of it in the last, because how many steps an iteration takes depends on how its episodes went; the
 * warm-up counts steps, and raises the rate linearly from above 0 to what the shape says.
 */
export function learningRateAt(
  { learningRate, schedule }: ScheduledOptimizerConfig,
  { iteration, iterations, step }: StepPosition,
): number {
  const { shape, warmUpSteps, finalRate } = schedule;
  const progress = iterations <= 1 ? 0 : Math.min(1, iteration / (iterations - 1));
  const left = { constant: 1, linear: 1 - progress, cosine: (1 + Math.cos(Math.PI * progress)) / 2 }[shape];
  const warmth = step < warmUpSteps ? (step + 1) / warmUpSteps : 1;
  return learningRate * warmth * (finalRate + (1 - finalRate) * left);
}
