/**
 * How many nodes worked at once, over time: the strip above the timeline.
 */
import type { Phase, PhaseKind, TreeNode } from "../protocol/messages";
import { phaseEnd } from "./critical_path";

/** Bottom to top in the strip. Waiting is no work, so it is not counted. */
export const WORK_KINDS = ["execute", "plan", "synthesize"] as const;
export type WorkKind = (typeof WORK_KINDS)[number];

export interface Concurrency {
  /** The nodes at work in each slice of time, by kind. */
  readonly layers: Readonly<Record<WorkKind, Float64Array>>;
  /** The tallest slice, for the scale of the drawing. */
  readonly height: number;
}

const LAYER_OF: Partial<Record<PhaseKind, WorkKind>> = {
  execute: "execute",
  failed: "execute",
  plan: "plan",
  synthesize: "synthesize",
};

/** Where a moment lies in the drawing; equal to the moment where no time is left out. */
export type Position = (moment: number) => number;
const asItIs: Position = (moment) => moment;

/** Counts in `slices` equal parts of the drawing until `now`, in time proportional to nodes plus slices. */
export function concurrency(nodes: Iterable<TreeNode>, now: number, slices: number, position = asItIs): Concurrency {
  const layers = { execute: changes(slices), plan: changes(slices), synthesize: changes(slices) };
  for (const node of nodes) {
    for (const phase of node.phases) addPhase(layers, phase, now, slices, position);
  }
  for (const kind of WORK_KINDS) accumulate(layers[kind]);
  return { layers, height: tallest(layers, slices) };
}

const changes = (slices: number): Float64Array => new Float64Array(slices + 1);

/** A phase counts in a slice by how much of it it fills: where one ends and the next begins, that is one. */
function addPhase(layers: Concurrency["layers"], phase: Phase, now: number, slices: number, position: Position): void {
  const kind = LAYER_OF[phase[0]];
  const whole = position(now);
  if (!kind || whole <= 0) return;
  const place = (moment: number): number => Math.max(0, Math.min(slices, (position(moment) / whole) * slices));
  addUntil(layers[kind], place(phase[1]), 1);
  addUntil(layers[kind], place(phaseEnd(phase, now)), -1);
}

/** From `place` on each slice has so much more; the one that it lies in, as much of it as is left. */
function addUntil(layer: Float64Array, place: number, change: number): void {
  const slice = Math.floor(place);
  const left = 1 - (place - slice);
  layer[slice] = (layer[slice] ?? 0) + change * left;
  if (slice + 1 < layer.length) layer[slice + 1] = (layer[slice + 1] ?? 0) + change * (1 - left);
}

function accumulate(layer: Float64Array): void {
  let sum = 0;
  for (let index = 0; index < layer.length; index += 1) layer[index] = sum += layer[index] ?? 0;
}

function tallest(layers: Concurrency["layers"], slices: number): number {
  let height = 0;
  for (let index = 0; index < slices; index += 1) {
    const stacked = WORK_KINDS.reduce((total, kind) => total + (layers[kind][index] ?? 0), 0);
    height = Math.max(height, stacked);
  }
  return height;
}

/** Exact, from the moments when work begins and ends, as slices would count neighbours together. */
export function parallelism(nodes: Iterable<TreeNode>, now: number, worked = asItIs): { peak: number; mean: number } {
  const starts: number[] = [];
  const ends: number[] = [];
  for (const node of nodes) {
    for (const phase of node.phases) {
      if (!LAYER_OF[phase[0]]) continue;
      starts.push(worked(phase[1]));
      ends.push(worked(phaseEnd(phase, now)));
    }
  }
  const work = sum(ends) - sum(starts);
  return { peak: peakOverlap(Float64Array.from(starts), Float64Array.from(ends)), mean: now > 0 ? work / worked(now) : 0 };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Work that ends when other work begins does not overlap it. */
function peakOverlap(starts: Float64Array, ends: Float64Array): number {
  starts.sort();
  ends.sort();
  let peak = 0;
  let ended = 0;
  starts.forEach((start, begun) => {
    while ((ends[ended] ?? Infinity) <= start) ended += 1;
    peak = Math.max(peak, begun + 1 - ended);
  });
  return peak;
}
