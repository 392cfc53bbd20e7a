/** The steps that use the model, in pipeline order; a module of names alone, which loads in no time. */
export const GPU_ACTIVITIES = [
  'warmStart',
  'evaluatePolicy',
  'collectRollouts',
  'scoreTrajectories',
  'updateTurn',
  'computeGradient',
  'applyGradients',
  'measureRatios',
  'evaluateShard',
] as const;
export type GpuActivityName = (typeof GPU_ACTIVITIES)[number];

/** Whether an activity of this name is done by GPU workers. */
export const isGpuActivity = (name: string): boolean => (GPU_ACTIVITIES as readonly string[]).includes(name);
