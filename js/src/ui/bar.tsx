/** The bar of one node on the timeline: its phases, from when it began to when it ended or now. */
import type { Phase, PhaseKind, TreeNode } from "../protocol/messages";
import { nodeEnd, nodeStart, phaseEnd } from "../store/critical_path";
import { displayState, noteOf } from "../store/display";
import type { TimeAxis } from "../store/time_axis";
import { clip, formatDuration } from "./format";

export const PHASE_NAMES: Record<PhaseKind, string> = {
  plan: "plan",
  wait: "wait",
  execute: "execute",
  synthesize: "synthesise",
  failed: "failed attempt",
  replayed: "reused",
};

/** The place of a bar's label: after the bar, before it, or after the line of the present. */
export type LabelPlace = "after" | "before" | "beyond";

export interface BarProperties {
  readonly node: TreeNode;
  readonly now: number;
  readonly axis: TimeAxis;
  readonly place: LabelPlace;
  readonly dimmed: boolean;
}

const LABEL_PADDING = 7;
/** The width of a character of a label in pixels, at most. */
const CHARACTER_WIDTH = 6.6;

const percent = (share: number): string => `${share * 100}%`;

const labelOf = (start: number, stop: number, axis: TimeAxis): string =>
  formatDuration(axis.worked(stop) - axis.worked(start));

/**
 * A label crosses neither the line of now nor one of the critical path, which passes its row at the moments
 * `crossings`; it leaves the timeline only where there is room nowhere.
 */
export function labelPlace(
  node: TreeNode,
  now: number,
  axis: TimeAxis,
  width: number,
  running: boolean,
  crossings: readonly number[] = [],
): LabelPlace {
  const start = nodeStart(node);
  const stop = nodeEnd(node, now);
  if (start === null || stop === null || width === 0) return "after";
  const needed = LABEL_PADDING + labelOf(start, stop, axis).length * CHARACTER_WIDTH;
  const x = (moment: number): number => axis.share(moment) * width;
  const isOpen = node.phases.at(-1)?.[2] === null;
  const [from, to, present] = [x(start), x(stop), x(now)];
  const isFree = (left: number): boolean => !crossings.some((each) => x(each) > left + 1 && x(each) < left + needed);
  const gap = running && !isOpen ? present - to : width - to;
  const usual = needed <= gap ? "after" : needed <= from || from > width - to ? "before" : running && !isOpen ? "beyond" : "after";
  if (crossings.length === 0 || isFree(usual === "after" ? to : usual === "before" ? from - needed : present)) return usual;
  if (needed <= gap && isFree(to)) return "after";
  if (needed <= from && isFree(from - needed)) return "before";
  return isOpen ? usual : "beyond";
}

function Segment({ phase, axis, from, length, now }: {
  phase: Phase;
  axis: TimeAxis;
  /** Of the whole bar, as shares of the axis. */
  from: number;
  length: number;
  now: number;
}) {
  const open = phase[2] === null;
  const end = phaseEnd(phase, now);
  const within = (moment: number): number => (length > 0 ? (axis.share(moment) - from) / length : 0);
  return (
    <i
      class={`rn-phase rn-phase-${phase[0]}${open ? " rn-open" : ""}`}
      title={`${PHASE_NAMES[phase[0]] ?? phase[0]} ${formatDuration(axis.worked(end) - axis.worked(phase[1]))}`}
      style={{ left: percent(within(phase[1])), width: percent(within(end) - within(phase[1])) }}
    />
  );
}

function labelStyle(place: LabelPlace, start: number, stop: number, now: number): Record<string, string> {
  if (place === "before") return { left: "0", right: percent(1 - start) };
  return { left: percent(place === "beyond" ? now : stop) };
}

export function Bar({ node, now, axis, place, dimmed }: BarProperties) {
  const start = nodeStart(node);
  const stop = nodeEnd(node, now);
  if (start === null || stop === null) return node.note !== node.edited ? <span class="rn-bar-label">{clip(noteOf(node))}</span> : null;
  const from = axis.share(start);
  const length = axis.share(stop) - from;
  return (
    <>
      <div
        class={`rn-bar rn-bar-${displayState(node)}${dimmed ? " rn-dimmed" : ""}`}
        style={{ left: percent(from), width: percent(length) }}
      >
        {node.phases.map((phase) => (
          <Segment phase={phase} axis={axis} from={from} length={length} now={now} />
        ))}
      </div>
      <span
        class={`rn-bar-label rn-${place}${node.state === "failed" ? " rn-failed" : ""}`}
        style={labelStyle(place, from, axis.share(stop), axis.share(now))}
      >
        <b>{labelOf(start, stop, axis)}</b>
      </span>
    </>
  );
}
