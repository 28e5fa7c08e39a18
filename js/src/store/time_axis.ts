/**
 * The scale of the timeline: it grows in steps, so that bars don't creep with every frame.
 */
export interface TimeAxis {
  /** Seconds at the right edge; room is left there for the labels of bars. */
  readonly end: number;
  /** Seconds at the ticks, from 0. */
  readonly ticks: readonly number[];
}

const NOW_SHARE = 0.85;
const GROWTH = 1.12;
const SHORTEST = 0.2;
const MOST_TICKS = 6;
const TICK_STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400];

function tickStep(end: number): number {
  return TICK_STEPS.find((step) => end / step <= MOST_TICKS) ?? Math.ceil(end / MOST_TICKS / 86400) * 86400;
}

export function timeAxis(now: number): TimeAxis {
  const wanted = Math.max(SHORTEST, now / NOW_SHARE);
  const end = SHORTEST * GROWTH ** Math.ceil(Math.log(wanted / SHORTEST) / Math.log(GROWTH) - 1e-9);
  const step = tickStep(end);
  const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => Number((index * step).toFixed(2)));
  return { end, ticks };
}
