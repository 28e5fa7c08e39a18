/**
 * The flame chart: a canvas of which only what is in sight is drawn. It is for the eye and the mouse;
 * the tree shows the same and has the keyboard.
 */
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { PhaseKind, TreeNode } from "../protocol/messages";
import { nodeEnd, nodeStart, phaseEnd } from "../store/critical_path";
import { flameLayout, type FlameLayout, type FlameSpan } from "../store/flame_layout";
import { isFiltering, matcher } from "../store/rows";
import type { TimeAxis } from "../store/time_axis";
import type { View } from "../store/view";
import { clip, formatDuration, formatTick, plural } from "./format";

const LANE_HEIGHT = 20;
const SPAN_HEIGHT = 17;
const AXIS_HEIGHT = 24;
const MARGIN = 14;
/** Pixels; a narrower span has no text. */
const NARROWEST_LABELLED = 34;
const CHARACTER_WIDTH = 6.7;
/** Shorter than this, a span is drawn as one with its neighbour. */
const NARROWEST = 0.5;

const COLORS: Record<PhaseKind, string> = {
  plan: "--rn-plan",
  wait: "--rn-wait",
  execute: "--rn-execute",
  synthesize: "--rn-synthesize",
  failed: "--rn-failed",
  replayed: "--rn-cached",
};

interface Size {
  readonly width: number;
  readonly height: number;
}

/** The conversion of a span to pixels. */
interface Scale {
  readonly axis: TimeAxis;
  readonly now: number;
  readonly width: number;
  readonly scrollTop: number;
}

const x = ({ axis, width }: Scale, moment: number): number => MARGIN + axis.share(moment) * (width - 2 * MARGIN);
const y = ({ scrollTop }: Scale, lane: number): number => AXIS_HEIGHT + lane * LANE_HEIGHT - scrollTop;

function bounds(scale: Scale, node: TreeNode): [left: number, right: number] {
  return [x(scale, nodeStart(node) ?? 0), x(scale, nodeEnd(node, scale.now) ?? 0)];
}

/** The span under a point of the canvas. */
export function spanAt(layout: FlameLayout, scale: Scale, left: number, top: number): FlameSpan | undefined {
  const lane = Math.floor((top - AXIS_HEIGHT + scale.scrollTop) / LANE_HEIGHT);
  return layout.spans.find((span) => {
    if (span.lane !== lane) return false;
    const [from, to] = bounds(scale, span.node);
    return left >= from - 1 && left <= Math.max(to, from + 2);
  });
}

interface Palette {
  color(name: string): string;
  readonly font: string;
}

/** The colours of the theme, each read once: reading one takes as long as drawing a span. */
function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element);
  const known = new Map<string, string>();
  const color = (name: string): string => {
    const value = known.get(name) ?? style.getPropertyValue(name).trim();
    known.set(name, value);
    return value;
  };
  return { color, font: style.fontFamily };
}

function drawPhases(context: CanvasRenderingContext2D, scale: Scale, palette: Palette, { node, lane }: FlameSpan): void {
  const top = y(scale, lane);
  for (const phase of node.phases) {
    const left = x(scale, phase[1]);
    // The last pixel is left to the background: neighbours must not look like one.
    const width = Math.max(1, x(scale, phaseEnd(phase, scale.now)) - left - 1);
    const waits = phase[0] === "wait";
    context.fillStyle = palette.color(COLORS[phase[0]] ?? "--rn-wait");
    context.globalAlpha *= waits ? 0.25 : 0.8;
    context.fillRect(left, top, width, SPAN_HEIGHT);
    context.globalAlpha /= waits ? 0.25 : 0.8;
  }
}

function drawLabel(context: CanvasRenderingContext2D, scale: Scale, palette: Palette, { node, lane }: FlameSpan): void {
  const [left, right] = bounds(scale, node);
  const from = Math.max(left, 0);
  if (right - from < NARROWEST_LABELLED) return;
  context.fillStyle = palette.color("--rn-fg");
  context.fillText(clip(node.title, Math.floor((right - from - 10) / CHARACTER_WIDTH)), from + 5, y(scale, lane) + 12.5);
}

function outline(context: CanvasRenderingContext2D, scale: Scale, color: string, { node, lane }: FlameSpan): void {
  const [left, right] = bounds(scale, node);
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.strokeRect(left, y(scale, lane) + 1, Math.max(2, right - left), SPAN_HEIGHT - 2);
}

function drawPauses(context: CanvasRenderingContext2D, scale: Scale, palette: Palette, height: number): void {
  context.globalAlpha = 0.75;
  context.fillStyle = palette.color("--rn-bg");
  for (const { start, end } of scale.axis.pauses) {
    const room = scale.width - 2 * MARGIN;
    context.fillRect(MARGIN + start * room, AXIS_HEIGHT, Math.max(3, (end - start) * room), height);
  }
  context.globalAlpha = 1;
}

function drawAxis(context: CanvasRenderingContext2D, scale: Scale, palette: Palette, height: number, running: boolean): void {
  context.fillStyle = palette.color("--rn-bg");
  context.fillRect(0, 0, scale.width, AXIS_HEIGHT - 2);
  context.globalAlpha = 0.7;
  context.fillStyle = palette.color("--rn-fg");
  for (const { seconds, share } of scale.axis.ticks) {
    const left = MARGIN + share * (scale.width - 2 * MARGIN);
    context.fillText(formatTick(seconds), left, 14);
    context.globalAlpha = 0.08;
    context.fillRect(left, AXIS_HEIGHT - 4, 1, height);
    context.globalAlpha = 0.7;
  }
  context.globalAlpha = 1;
  if (!running) return;
  context.fillStyle = palette.color("--rn-accent");
  context.fillRect(x(scale, scale.now), AXIS_HEIGHT - 4, 1, height);
}

/** The spans in sight, without those that would be drawn on the same pixel as the one before. */
function* visibleSpans(layout: FlameLayout, scale: Scale, height: number): Iterable<FlameSpan> {
  const drawnUntil: number[] = [];
  for (const span of layout.spans) {
    const top = y(scale, span.lane);
    if (top < -LANE_HEIGHT || top > height) continue;
    const [, right] = bounds(scale, span.node);
    if (right - (drawnUntil[span.lane] ?? -Infinity) < NARROWEST) continue;
    drawnUntil[span.lane] = right;
    yield span;
  }
}

function draw(canvas: HTMLCanvasElement, size: Size, view: View, layout: FlameLayout, scale: Scale): void {
  const context = canvas.getContext("2d");
  if (!context || size.width === 0) return;
  canvas.width = size.width * devicePixelRatio;
  canvas.height = size.height * devicePixelRatio;
  context.scale(devicePixelRatio, devicePixelRatio);
  const palette = paletteOf(canvas);
  context.font = `11px ${palette.font}`;
  const filter = view.filter.peek();
  const matches = isFiltering(filter) ? matcher(filter) : () => true;
  const critical = view.showsCriticalPath.peek() ? view.critical.peek().ids : null;
  const selected = view.selected.peek();
  const spans = [...visibleSpans(layout, scale, size.height)];
  const strength = (span: FlameSpan): number => (matches(span.node) ? 1 : 0.2);
  for (const span of spans) {
    context.globalAlpha = strength(span);
    drawPhases(context, scale, palette, span);
  }
  drawPauses(context, scale, palette, size.height);
  for (const span of spans) {
    context.globalAlpha = strength(span);
    drawLabel(context, scale, palette, span);
    if (critical?.has(span.node.id)) outline(context, scale, palette.color("--rn-critical"), span);
    if (span.node.id === selected) outline(context, scale, palette.color("--rn-accent"), span);
  }
  context.globalAlpha = 1;
  drawAxis(context, scale, palette, size.height, view.run.elapsed === null);
}

function useSize(element: RefObject<HTMLElement | null>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useEffect(() => {
    const box = element.current;
    if (!box || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(() => setSize({ width: box.clientWidth, height: box.clientHeight }));
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  return size;
}

/** Lanes are reassigned about once a second; until then spans grow in place. */
function useLayout(view: View): FlameLayout {
  const second = view.second.value;
  const known = useMemo(() => flameLayout(view.tree, view.clock.peek()), [second]);
  const spans = known.spans.map(({ node, lane }) => ({ node: view.tree.node(node.id) ?? node, lane }));
  return { spans, lanes: known.lanes };
}

export function Flame({ view, theme }: { view: View; theme: string }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [scrollTop, setScrollTop] = useState(0);
  const size = useSize(box);
  const layout = useLayout(view);
  const now = view.clock.value;
  const scale: Scale = { axis: view.axis.value, now, width: size.width, scrollTop };
  useLayoutEffect(() => {
    if (canvas.current) draw(canvas.current, size, view, layout, scale);
  });
  const find = (event: MouseEvent): FlameSpan | undefined => spanAt(layout, scale, event.offsetX, event.offsetY);
  const choose = (event: MouseEvent): void => {
    const span = find(event);
    if (span) view.reveal(span.node.id);
  };
  const name = (event: MouseEvent & { currentTarget: HTMLElement }): void => {
    const node = find(event)?.node;
    const worked = node ? view.axis.peek().worked(nodeEnd(node, now) ?? 0) - view.axis.peek().worked(nodeStart(node) ?? 0) : 0;
    event.currentTarget.title = node ? `${clip(node.title)} · ${formatDuration(worked)} · ${node.state}` : "";
    event.currentTarget.classList.toggle("rn-over", node !== undefined);
  };
  return (
    <div
      class="rn-flame"
      ref={box}
      tabIndex={0}
      role="group"
      aria-label="Flame chart"
      data-theme={theme}
      onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)}
    >
      <div style={{ height: `${AXIS_HEIGHT + layout.lanes * LANE_HEIGHT + MARGIN}px` }}>
        <canvas
          ref={canvas}
          style={{ height: `${size.height}px` }}
          role="img"
          aria-label={`${plural(layout.spans.length, "node")} over ${formatDuration(view.worked.value)}, each below the one it is a part of. The tree shows the same, for the keyboard.`}
          onClick={choose}
          onMouseMove={name}
        />
      </div>
    </div>
  );
}
