/** The legend of the bars, and how parallel the run was. */
import type { View } from "../store/view";
import { clip, formatDuration } from "./format";

const LEGEND = [
  ["plan", "plan"],
  ["wait", "wait"],
  ["execute", "execute"],
  ["synthesize", "synthesise"],
  ["replayed", "reused"],
] as const;

function Keys() {
  return (
    <span class="rn-keys" aria-hidden="true">
      <kbd>↑</kbd>
      <kbd>↓</kbd> move <kbd>←</kbd>
      <kbd>→</kbd> fold <kbd>↵</kbd> details
    </span>
  );
}

function Saved({ path }: { path: string }) {
  if (path === "") return null;
  return (
    <>
      <span class="rn-dot" />
      <span class="rn-saved" title={clip(path)}>
        saved in {clip(path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1))}
      </span>
    </>
  );
}

/** From the first start to the last end, pauses left out. */
function criticalSeconds(view: View): number {
  const { legs } = view.critical.value;
  const { worked } = view.axis.value;
  return worked(legs.at(-1)?.end ?? 0) - worked(legs[0]?.start ?? 0);
}

export function Footer({ view }: { view: View }) {
  const { peak, mean } = view.parallelism.value;
  return (
    <footer class="rn-footer">
      {LEGEND.filter(([kind]) => kind !== "replayed" || view.tree.count("reused") > 0).map(([kind, name]) => (
        <span class="rn-legend">
          <i class={`rn-swatch rn-phase-${kind}`} />
          {name}
        </span>
      ))}
      {view.tree.count("edited") > 0 && (
        <span class="rn-legend">
          <i class="rn-swatch" style={{ "--rn-color": "var(--rn-edited)" }} />
          edited
        </span>
      )}
      {view.showsCriticalPath.value && (
        <span class="rn-legend" title="The steps that decided how long the run takes: only a shorter one makes it faster">
          <i class="rn-swatch rn-swatch-critical" />
          critical path {formatDuration(criticalSeconds(view))}
        </span>
      )}
      {view.axis.value.pauses.length > 0 && (
        <span class="rn-legend">
          <i class="rn-swatch rn-paused" />
          paused
        </span>
      )}
      <span class="rn-space" />
      <span title="Nodes at work at once, at most and on average; while a tool of it works, a node does too">
        peak {peak} parallel · mean {mean.toFixed(1)}
      </span>
      <Saved path={view.run.checkpoint} />
      <span class="rn-dot" />
      <Keys />
    </footer>
  );
}
