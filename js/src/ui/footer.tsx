/** The legend of the bars, and how parallel the run was. */
import type { View } from "../store/view";
import { formatDuration } from "./format";

const LEGEND = [
  ["plan", "plan"],
  ["wait", "wait"],
  ["execute", "execute"],
  ["synthesize", "synthesise"],
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
      <span class="rn-saved" title={path}>
        saved in {path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1)}
      </span>
    </>
  );
}

export function Footer({ view }: { view: View }) {
  const { peak, mean } = view.parallelism.value;
  return (
    <footer class="rn-footer">
      {LEGEND.map(([kind, name]) => (
        <span class="rn-legend">
          <i class={`rn-swatch rn-phase-${kind}`} />
          {name}
        </span>
      ))}
      {view.showsCriticalPath.value && (
        <span class="rn-legend">
          <i class="rn-swatch rn-swatch-critical" />
          critical path {formatDuration(view.critical.value.length)}
        </span>
      )}
      <span class="rn-space" />
      <span>
        peak {peak} parallel · mean {mean.toFixed(1)}
      </span>
      <Saved path={view.run.checkpoint} />
      <span class="rn-dot" />
      <Keys />
    </footer>
  );
}
