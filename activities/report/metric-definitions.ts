/** A figure of the report: its name, how it is computed, what it is for. */
export interface MetricDefinition {
  readonly name: string;
  readonly formula: string;
  readonly meaning: string;
}

/** In the order in which the report shows them. N trajectories of B tasks, G samples each; T_i turns, L_it tokens. */
export const metricDefinitions: readonly MetricDefinition[] = [
  {
    name: 'Reward',
    formula: 'R_i = (turns passed before the first failed one) / (turns of the task); mean reward = (1/N) Σ_i R_i',
    meaning:
      'What is trained on. The verifier decides whether a turn passes; an episode ends at its first failed turn.',
  },
  {
    name: 'Standard error (±)',
    formula:
      'SE = sqrt( Σ_b s_b² / n_b ) / B, s_b² the sample variance of the n_b rewards of task b; where they are all equal q (1 − q) / (n_b + 1), q = (Σ + ½) / (n_b + 1), for s_b² / n_b; of a gain: sqrt(SE₁² + SE₂²)',
    meaning:
      'How far another draw of answers to the same tasks would move a mean. It says nothing about other tasks or other seeds. A gain under 2 SE is called noise.',
  },
  {
    name: 'Success rate',
    formula: '(1/N) · #{ i : every turn of the task passed }',
    meaning: 'Share of episodes that solve the whole task.',
  },
  {
    name: 'Turn t pass rate',
    formula: '(1/N) · #{ i : turn t passed }',
    meaning: 'Of all trajectories, so a turn that was never reached counts as not passed.',
  },
  {
    name: 'Rise (learning)',
    formula:
      'mean over the last 3 iterations of the rollouts’ mean reward − mean reward of the evaluation before SeeUPO',
    meaning:
      'The rollout of iteration i is played by the policy before update i, so this slightly understates the end.',
  },
  {
    name: 'Advantage A',
    formula:
      'A_i = R_i − mean of R over the G trajectories of its task; then (A − mean) / (std + 1e-6) over the batch (Eq. 9)',
    meaning: 'A group whose rewards are all equal has A = 0 and teaches nothing: “flat groups”.',
  },
  {
    name: 'Ratio s',
    formula: 's_it = exp( (1/L_it) Σ_l [ log π_θ(y_itl) − log π_θk(y_itl) ] ), after the update of turn t',
    meaning: 'How much more likely a sampled response became. 1 is unmoved.',
  },
  {
    name: 'Weight M',
    formula: 'M_{T+1,i} = A_i;  M_{t,i} = s_it · M_{t+1,i} (Eq. 8)',
    meaning: 'What turn t−1 is trained with: the advantage, corrected for how far later turns have moved already.',
  },
  {
    name: 'Surrogate',
    formula: 'mean over active i of min( s_it M_{t+1,i}, clip(s_it, 1 − ε, 1 + ε) M_{t+1,i} ) (Eq. 6)',
    meaning: 'What the update raises; before and after it.',
  },
  {
    name: 'Loss',
    formula:
      '−surrogate + β · KL to the reference − c · entropy (PPO: + value coefficient · value loss), mean over minibatches, before each step',
    meaning: 'What AdamW lowers.',
  },
  {
    name: 'KL to the reference',
    formula: 'mean of min(10, exp(d) − d − 1), d = log π_frozen − log π_θ per token (k3), nats per token',
    meaning: 'Distance from the frozen model (with the warm start folded in). Punished with weight β.',
  },
  {
    name: 'KL of the iteration',
    formula:
      'mean over active i of (1/L_it) Σ_l min(10, exp(d) − d − 1), d = log π_θ − log π_θk per token, after the update, nats per token',
    meaning:
      'Estimate of KL(θ_k ‖ θ) on the turn’s responses: how far the turn stands from θ_k. The guard holds it against guard.maxKl.',
  },
  {
    name: 'Clip fraction',
    formula:
      'share of active i whose term of the surrogate is clipped after the update (token-level algorithms: a token of it)',
    meaning: '0 means that clipping did nothing.',
  },
  {
    name: 'Gradient norm',
    formula: '‖∇_θ loss‖₂ before it is clipped, mean over steps',
    meaning: 'Spikes point at too high a learning rate.',
  },
  {
    name: 'Quantiles of s and M',
    formula: 'least, 5 %, 50 %, 95 % and greatest of s_it after the update, and of M_{t+1,i} before it',
    meaning: 'A few samples far out are what clipping and the effective sample size are about.',
  },
  {
    name: 'Effective samples',
    formula: '(Σ_i w_i)² / (n Σ_i w_i²), w_i = Π_{t′ ≥ t} s_it′ the product of ratios in M_t (Kish)',
    meaning: '100 % if every sample weighs the same; near 1/n if one has all the weight, and M is then noise.',
  },
  {
    name: 'Flat groups of a pool',
    formula: 'share of D_t’s groups whose active samples all have the same A',
    meaning: 'They prefer none of their samples to another.',
  },
  {
    name: 'Entropy',
    formula:
      'mean over active i of (1/L_it) Σ_l H(π_θ(· | y_it,<l)), H = −Σ_v p_v log p_v, before each step, nats per token',
    meaning:
      'Falls as the policy makes up its mind. Rewarded with weight c = algorithm.entropyCoefficient, 0 by default.',
  },
  {
    name: 'Guard',
    formula:
      'surrogate after < before − guard.surrogateTolerance; KL of the iteration > guard.maxKl; or a figure that is no number',
    meaning:
      'An update that undid itself, and what was done: kept (warned), stopped (no further epoch) or rejected (θ and its moments stay, ratio 1), by guard.onViolation.',
  },
  {
    name: 'Value loss, explained variance (PPO)',
    formula:
      'mean of ½ max( (V − R̂)², (V_k + clip(V − V_k, ±c) − R̂)² ); 1 − Var(R̂ − V_k) / Var(R̂), R̂ = Â + V_k of GAE, over tokens',
    meaning: 'Whether the value head foretells the return: 1 is perfectly, 0 no better than a constant.',
  },
  {
    name: 'Response length',
    formula: '(1/#responses) Σ L_it, tokens, the end-of-turn token included',
    meaning:
      'Cut: share of responses that hit the token limit. Malformed: calls that did not parse or were refused, per response.',
  },
  {
    name: 'Sampler gap',
    formula: 'max over response tokens of | log-prob as sampled − log-prob as recomputed for training |, nats',
    meaning: 'One policy through two code paths: should be rounding only.',
  },
];
