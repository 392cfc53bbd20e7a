// Which offer is the best buy? One file: tools as zod schemas, tasks, a verifier. Run it with
//   npm run quickstart -- --environment examples/unit-prices.ts
import { defineEnvironment, ToolError, z } from 'seeupo/environment';

const Offer = z.object({ price: z.number().positive(), grams: z.number().positive() });

/** Made by a rule, so that there are enough for both splits and for a warm start. */
const tasks = Array.from({ length: 60 }, (_, n) => ({
  id: `basket-${n}`,
  split: n < 16 ? ('train' as const) : n < 28 ? ('heldout' as const) : ('demonstration' as const),
  product: ['rice', 'tea', 'flour', 'nuts', 'oats'][n % 5]!,
  offers: {
    A: { price: 2 + (n % 4), grams: 400 + 50 * (n % 3) },
    B: { price: 3 + (n % 5), grams: 700 + 30 * (n % 7) },
  },
}));

export default defineEnvironment({
  name: 'unit-prices',
  task: z.object({ product: z.string(), offers: z.object({ A: Offer, B: Offer }) }),
  tasks,
  turns: 2,
  start: () => ({ chosen: null as 'A' | 'B' | null }),
  prompt: ({ product }) => `Divide the prices of ${product} A and ${product} B, then choose the cheaper one.`,
  tools: {
    per_kilo: {
      description: 'price of an offer per kilogram',
      parameters: z.object({ offer: z.enum(['A', 'B']) }),
      run: ({ offer }, { task }) => ((task.offers[offer].price / task.offers[offer].grams) * 1000).toFixed(2),
    },
    choose: {
      description: 'buys an offer, once',
      parameters: z.object({ offer: z.enum(['A', 'B']) }),
      run({ offer }, { state }) {
        if (state.chosen) throw new ToolError(`${state.chosen} was bought already`);
        state.chosen = offer;
        return `bought ${offer}`;
      },
    },
  },
  next: ({ state, turns }) => (state.chosen || turns.length === 2 ? null : 'Now choose.'),
  verify({ task, state, turns }) {
    const looked = new Set(
      turns.flatMap(({ calls }) =>
        calls.flatMap((call) => (call.tool === 'per_kilo' && call.accepted ? [call.arguments['offer']] : [])),
      ),
    );
    return 0.25 * looked.size + (state.chosen === cheaper(task.offers) ? 0.5 : 0); // guessing right without looking earns half
  },
  solve: ({ offers }) => ["CALL per_kilo('A')\nCALL per_kilo('B')", `CALL choose('${cheaper(offers)}')`],
});

function cheaper({ A, B }: { A: z.infer<typeof Offer>; B: z.infer<typeof Offer> }): 'A' | 'B' {
  return A.price / A.grams <= B.price / B.grams ? 'A' : 'B';
}
