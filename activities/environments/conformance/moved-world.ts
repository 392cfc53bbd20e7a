/** This process's clock and its dice, as they are for one episode. */
export interface World {
  /** The next draw of Math.random is this again; those after it are real. */
  arm(): void;
  /** Clock and dice are what they were. */
  end(): void;
}

export const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Moves the clock of this process (`Date`, `performance.now`), and makes the first draw of `Math.random` an extreme one: what
 * an environment shows must hang on neither, since its episodes are played again on other days and machines. Processes that it
 * started keep their own clock.
 *
 * @param draw  in [0, 1)
 */
export function movedWorld({ clockMs, draw }: { readonly clockMs: number; readonly draw: number }): World {
  const { Date: RealDate } = globalThis;
  const { random } = Math;
  const now = performance.now.bind(performance);
  let armed = true;
  const moved = () => RealDate.now() + clockMs;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, given, made) =>
      Reflect.construct(
        target,
        given.length === 0 ? [moved()] : given,
        made === globalThis.Date ? target : made,
      ) as Date,
    apply: () => new RealDate(moved()).toString(),
    get: (target, key) => (key === 'now' ? moved : (Reflect.get(target, key) as unknown)),
  });
  performance.now = () => now() + clockMs;
  Math.random = () => {
    const drawn = armed ? draw : random();
    armed = false;
    return drawn;
  };
  return {
    arm: () => void (armed = true),
    end() {
      globalThis.Date = RealDate;
      Math.random = random;
      delete (performance as { now?: unknown }).now;
    },
  };
}
