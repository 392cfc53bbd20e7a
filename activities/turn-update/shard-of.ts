/**
 * A shard's share of samples: whole tasks, which share prefixes, dealt out in the pool's order as
 * evenly as they go. Every sample is in exactly one shard.
 */
export function shardOf<S extends { readonly taskId: string }>(
  samples: readonly S[],
  shard: number,
  shards: number,
): S[] {
  const tasks = [...new Set(samples.map(({ taskId }) => taskId))];
  const own = new Set(tasks.filter((_, i) => Math.floor((i * shards) / tasks.length) === shard));
  return samples.filter(({ taskId }) => own.has(taskId));
}
