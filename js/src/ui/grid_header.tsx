/** The head of the grid: names of the columns, and over the timeline its scale and how much was done at once. */
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { View } from "../store/view";
import { formatDuration, formatTick } from "./format";
import { Overview } from "./overview";

export const HEADER_HEIGHT = 56;

/** Pixels between the middles of a tick and of the label of now, and of two ticks. */
const LABEL_ROOM = 40;
const TICK_ROOM = 42;

function useTimelineWidth(view: View): RefObject<HTMLDivElement | null> {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const timeline = element.current;
    if (!timeline || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(() => (view.timelineWidth.value = timeline.clientWidth));
    observer.observe(timeline);
    return () => observer.disconnect();
  }, []);
  return element;
}

function TimelineHeader({ view, theme }: { view: View; theme: string }) {
  const { ticks, share } = view.axis.value;
  const now = view.worked.value;
  const nowShare = share(view.clock.value);
  // Pixels between two texts; without a width nothing is laid out yet.
  const width = view.timelineWidth.value || 1000;
  const shown = ticks.filter(
    (tick, index) =>
      tick.share <= 0.97 &&
      Math.abs(tick.share - nowShare) * width > LABEL_ROOM &&
      (index === 0 || index % Math.ceil(TICK_ROOM / (((ticks[1]?.share ?? 1) || 1) * width)) === 0),
  );
  return (
    <div class="rn-time" ref={useTimelineWidth(view)} role="columnheader" aria-label="Timeline">
      <Overview view={view} theme={theme} />
      {shown.map((tick) => (
        <span class={`rn-tick${tick.seconds === 0 ? " rn-first" : ""}`} style={{ left: `${tick.share * 100}%` }}>
          {formatTick(tick.seconds)}
        </span>
      ))}
      <span class="rn-now-label" style={{ left: `${nowShare * 100}%` }}>
        {now < 60 ? formatDuration(now) : formatTick(Math.floor(now))}
      </span>
    </div>
  );
}

export function HeaderRow({ view, theme }: { view: View; theme: string }) {
  return (
    <div class="rn-row rn-head" role="row" aria-rowindex={1}>
      <div class="rn-task-cell" role="columnheader">
        Task
      </div>
      <div class="rn-agent" role="columnheader">
        Agent
      </div>
      <div class="rn-number" role="columnheader">
        Tokens
      </div>
      <div class="rn-number rn-cost" role="columnheader">
        Cost
      </div>
      <TimelineHeader view={view} theme={theme} />
    </div>
  );
}
