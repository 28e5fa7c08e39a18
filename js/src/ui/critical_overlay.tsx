/** The critical path as a staircase over the timeline, and the lines of ticks and of now. */
import type { CriticalPath, Leg } from "../store/critical_path";
import type { Tree } from "../store/tree";
import type { View } from "../store/view";
import { formatDuration } from "./format";
import { ROW_HEIGHT } from "./row";

/** The line runs just below the bar of its row. */
const LINE_OFFSET = ROW_HEIGHT - 4;

interface Point {
  readonly time: number;
  readonly y: number;
}

/** A node inside a folded branch is drawn on the row of the branch. */
function visibleRow(tree: Tree, rowIndex: ReadonlyMap<string, number>, id: string): number | null {
  const own = rowIndex.get(id);
  if (own !== undefined) return own;
  const shown = tree.ancestors(id).find((ancestor) => rowIndex.has(ancestor.id));
  return shown ? (rowIndex.get(shown.id) ?? null) : null;
}

/** The corners of the staircase: along each leg, then straight to the row of the next. */
export function staircase(legs: readonly Leg[], rowOf: (id: string) => number | null): Point[] {
  const points: Point[] = [];
  for (const leg of legs) {
    const row = rowOf(leg.id);
    if (row === null) continue;
    const y = row * ROW_HEIGHT + LINE_OFFSET;
    const previous = points.at(-1);
    if (previous) points.push({ time: leg.start, y: previous.y });
    points.push({ time: leg.start, y }, { time: leg.end, y });
  }
  return points;
}

/** Where the staircase goes up or down: at what time, between which pixels. */
export interface Riser {
  readonly time: number;
  readonly top: number;
  readonly bottom: number;
}

export function risers(view: View): Riser[] {
  if (!view.showsCriticalPath.value) return [];
  const points = staircase(view.critical.value.legs, (id) => visibleRow(view.tree, view.rowIndex.value, id));
  return points.flatMap(({ time, y }, index) => {
    const before = points[index - 1];
    return before?.time === time && before.y !== y ? [{ time, top: Math.min(y, before.y), bottom: Math.max(y, before.y) }] : [];
  });
}

interface OverlayProperties {
  readonly view: View;
  /** The part of the rows that is rendered, in pixels. */
  readonly top: number;
  readonly bottom: number;
}

function CriticalLine({ view, top, bottom, path }: OverlayProperties & { path: CriticalPath }) {
  const { share } = view.axis.value;
  const rowIndex = view.rowIndex.value;
  const points = staircase(path.legs, (id) => visibleRow(view.tree, rowIndex, id));
  const position = (point: Point): string => `${share(point.time) * 100}%`;
  return (
    <svg class="rn-critical">
      {points.map((point, index) => {
        const from = points[index - 1];
        if (!from || Math.max(from.y, point.y) < top || Math.min(from.y, point.y) > bottom) return null;
        return <line x1={position(from)} y1={from.y} x2={position(point)} y2={point.y} />;
      })}
    </svg>
  );
}

export function TimelineOverlay(properties: OverlayProperties) {
  const { view } = properties;
  const { ticks, pauses, share } = view.axis.value;
  const running = view.run.elapsed === null;
  return (
    <div class="rn-lines" aria-hidden="true">
      {ticks.slice(1).map((tick) => (
        <span style={{ left: `${tick.share * 100}%` }} />
      ))}
      {pauses.map(({ start, end, seconds }) => (
        <span
          class="rn-paused"
          title={`paused for ${formatDuration(seconds)}`}
          style={{ left: `${start * 100}%`, width: `${(end - start) * 100}%` }}
        />
      ))}
      {running && <span class="rn-now" style={{ left: `${share(view.clock.value) * 100}%` }} />}
      {view.showsCriticalPath.value && <CriticalLine {...properties} path={view.critical.value} />}
    </div>
  );
}
