/**
 * The scale of the timeline: it grows in steps, so that bars don't creep with every frame, and a pause
 * takes little room on it however long it was.
 */
import type { Pause } from "../protocol/messages";

export interface Tick {
  /** Seconds of work, pauses left out. */
  readonly seconds: number;
  /** From 0 to 1 on the axis. */
  readonly share: number;
}

export interface PauseBand {
  readonly start: number;
  readonly end: number;
  /** How long it really was. */
  readonly seconds: number;
}

export interface TimeAxis {
  /** Two axes with the same key draw the same. */
  readonly key: string;
  readonly ticks: readonly Tick[];
  readonly pauses: readonly PauseBand[];
  /** Where a moment is on the axis, from 0 to 1. */
  share(moment: number): number;
  /** Seconds of the run until a moment, pauses left out. */
  worked(moment: number): number;
}

/** The part of the axis that lies before now, where nothing is known of its width. */
export const USUAL_ROOM = 0.85;
const GROWTH = 1.12;
const SHORTEST = 0.2;
const MOST_TICKS = 6;
const LONGEST_PAUSE_SHARE = 0.04;
const TICK_STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400];

function tickStep(end: number): number {
  return TICK_STEPS.find((step) => end / step <= MOST_TICKS) ?? Math.ceil(end / MOST_TICKS / 86400) * 86400;
}

function steppedEnd(length: number, room: number): number {
  const wanted = Math.max(SHORTEST, length / room);
  return SHORTEST * GROWTH ** Math.ceil(Math.log(wanted / SHORTEST) / Math.log(GROWTH) - 1e-9);
}

interface Break {
  readonly start: number;
  readonly length: number;
  /** As how many seconds it is drawn. */
  readonly drawn: number;
}

/** How much of a break is over at a moment. */
const passed = ({ start, length }: Break, moment: number): number => Math.max(0, Math.min(length, moment - start));

function breaksUntil(now: number, pauses: readonly Pause[], room: number): Break[] {
  const known = pauses
    .map(([start, end]) => ({ start, length: Math.max(0, Math.min(end ?? now, now) - start) }))
    .filter(({ length }) => length > 0);
  const worked = known.reduce((rest, { length }) => rest - length, now);
  const longest = steppedEnd(worked, room) * LONGEST_PAUSE_SHARE;
  return known.map(({ start, length }) => ({ start, length, drawn: Math.min(length, longest) }));
}

export function timeAxis(now: number, pauses: readonly Pause[] = [], room = USUAL_ROOM): TimeAxis {
  const breaks = breaksUntil(now, pauses, room);
  const worked = (moment: number): number => breaks.reduce((rest, each) => rest - passed(each, moment), moment);
  const drawn = (moment: number): number =>
    breaks.reduce((sum, each) => sum + passed(each, moment) * (each.drawn / each.length), worked(moment));
  const end = steppedEnd(drawn(now), room);
  const share = (moment: number): number => drawn(moment) / end;
  const bands = breaks.map(({ start, length }) => ({ start: share(start), end: share(start + length), seconds: length }));
  return { key: JSON.stringify([end, breaks]), ticks: ticksUntil(end, breaks, worked), pauses: bands, share, worked };
}

/** Ticks count work: after a pause they are as far apart as before it. */
function ticksUntil(end: number, breaks: readonly Break[], worked: (moment: number) => number): Tick[] {
  const step = tickStep(end);
  const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => Number((index * step).toFixed(2)));
  return ticks
    .map((seconds) => {
      const before = breaks.filter(({ start }) => worked(start) < seconds);
      return { seconds, share: before.reduce((sum, { drawn }) => sum + drawn, seconds) / end };
    })
    .filter((tick) => tick.share <= 1);
}
