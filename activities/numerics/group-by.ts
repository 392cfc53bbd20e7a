/** Items by key, keys in order of first appearance. (Map.groupBy, which Node 20 lacks.) */
export function groupBy<T, K>(items: readonly T[], keyOf: (item: T, index: number) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  items.forEach((item, index) => {
    const key = keyOf(item, index);
    const members = groups.get(key);
    if (members) members.push(item);
    else groups.set(key, [item]);
  });
  return groups;
}
