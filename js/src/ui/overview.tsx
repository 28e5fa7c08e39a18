/** The strip above the timeline: how many nodes worked at once. */
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { concurrency, WORK_KINDS, type Concurrency, type WorkKind } from "../store/concurrency";
import type { View } from "../store/view";

const SLICES = 160;
const HEADROOM = 2;
const COLORS: Record<WorkKind, string> = {
  execute: "--rn-execute",
  plan: "--rn-plan",
  synthesize: "--rn-synthesize",
};

interface Area {
  readonly width: number;
  readonly height: number;
}

const NO_AREA: Area = { width: 0, height: 0 };

/** Also empties the canvas. */
function prepare(canvas: HTMLCanvasElement, area: Area): CanvasRenderingContext2D | null {
  const context = canvas.getContext("2d");
  if (!context || area.width === 0) return null;
  canvas.width = area.width * devicePixelRatio;
  canvas.height = area.height * devicePixelRatio;
  context.scale(devicePixelRatio, devicePixelRatio);
  return context;
}

/** Stacks one bar per slice and kind; `span` is the width that stands for the time until now. */
function paint(context: CanvasRenderingContext2D, area: Area, span: number, work: Concurrency, colors: CSSStyleDeclaration) {
  const unit = (area.height - HEADROOM) / Math.max(1, work.height);
  const sliceWidth = span / SLICES;
  const base = new Float64Array(SLICES).fill(area.height);
  for (const kind of WORK_KINDS) {
    context.fillStyle = colors.getPropertyValue(COLORS[kind]).trim();
    for (let index = 0; index < SLICES; index += 1) {
      const height = (work.layers[kind][index] ?? 0) * unit;
      const top = (base[index] ?? 0) - height;
      // Whole pixels: neighbours that overlap or leave a gap would show as stripes.
      const left = Math.round(index * sliceWidth);
      context.fillRect(left, top, Math.round((index + 1) * sliceWidth) - left, height);
      base[index] = top;
    }
  }
}

function draw(canvas: HTMLCanvasElement, area: Area, view: View): void {
  const context = prepare(canvas, area);
  if (!context) return;
  const now = view.clock.peek();
  const { share } = view.axis.peek();
  const span = share(now) * area.width;
  context.globalAlpha = 0.85;
  paint(context, area, span, concurrency(view.tree.nodes(), now, SLICES, share), getComputedStyle(canvas));
}

/** The last observed size: reading it would force a layout while drawing. */
function useArea(canvas: RefObject<HTMLCanvasElement | null>): Area {
  const [area, setArea] = useState(NO_AREA);
  useEffect(() => {
    const element = canvas.current;
    if (!element || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(() => setArea({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return area;
}

/** Redrawn once a second, on a change of theme or size, and when the scale or the tree changes. */
export function Overview({ view, theme }: { view: View; theme: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const second = view.second.value;
  const axis = view.axis.value;
  const area = useArea(canvas);
  useLayoutEffect(() => {
    if (canvas.current) draw(canvas.current, area, view);
  }, [second, axis, theme, area]);
  return <canvas class="rn-overview" ref={canvas} aria-hidden="true" />;
}
