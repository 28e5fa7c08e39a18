/** The bar of one node on the timeline: its phases, from when it began to when it ended or now. */
import type { Phase, PhaseKind, TreeNode } from "../protocol/messages";
import { nodeEnd, nodeStart, phaseEnd } from "../store/critical_path";
import { displayState } from "../store/display";
import { formatDuration } from "./format";

const PHASE_NAMES: Record<PhaseKind, string> = {
  plan: "plan",
  wait: "wait",
  execute: "execute",
  synthesize: "synthesise",
  failed: "failed attempt",
  replayed: "replayed",
};

export interface BarProperties {
  readonly node: TreeNode;
  readonly now: number;
  /** Seconds at the right edge of the timeline. */
  readonly end: number;
  readonly dimmed: boolean;
}

const percent = (part: number, whole: number): string => `${whole > 0 ? (part / whole) * 100 : 0}%`;

function Segment({ phase, start, length, now }: { phase: Phase; start: number; length: number; now: number }) {
  const open = phase[2] === null;
  const end = phaseEnd(phase, now);
  return (
    <i
      class={`rn-phase rn-phase-${phase[0]}${open ? " rn-open" : ""}`}
      title={`${PHASE_NAMES[phase[0]] ?? phase[0]} ${formatDuration(end - phase[1])}`}
      style={{ left: percent(phase[1] - start, length), width: percent(end - phase[1], length) }}
    />
  );
}

function Label({ node, at, duration }: { node: TreeNode; at: string; duration: number }) {
  const text = node.state === "failed" && node.note ? <em>{node.note}</em> : formatDuration(duration);
  return (
    <span class="rn-bar-label" style={{ left: at }}>
      {text}
    </span>
  );
}

export function Bar({ node, now, end, dimmed }: BarProperties) {
  const start = nodeStart(node);
  const stop = nodeEnd(node, now);
  if (start === null || stop === null) return node.note ? <span class="rn-bar-label">{node.note}</span> : null;
  const length = stop - start;
  const classes = `rn-bar rn-bar-${displayState(node)}${dimmed ? " rn-dimmed" : ""}`;
  return (
    <>
      <div class={classes} style={{ left: percent(start, end), width: percent(length, end) }}>
        {node.phases.map((phase) => (
          <Segment phase={phase} start={start} length={length} now={now} />
        ))}
      </div>
      <Label node={node} at={percent(stop, end)} duration={length} />
    </>
  );
}
