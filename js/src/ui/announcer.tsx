/** Announces the progress of the run to screen readers: rarely, but its end immediately. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { RunStatus } from "../protocol/messages";
import { COMPLETE } from "../store/display";
import type { View } from "../store/view";
import { plural } from "./format";

const INTERVAL = 5000;

export function progressSentence(view: View): string {
  const { run, tree } = view;
  const complete = COMPLETE.reduce((sum, state) => sum + tree.count(state), 0);
  const failed = tree.count("failed");
  const failures = failed > 0 ? `, ${failed} failed` : "";
  return `Run ${run.status}: ${complete} of ${plural(tree.size, "node")} done${failures}.`;
}

export function Announcer({ view }: { view: View }) {
  const [sentence, setSentence] = useState("");
  const last = useRef<{ at: number; failed: number; status: RunStatus | "" }>({ at: -Infinity, failed: 0, status: "" });
  useEffect(() => {
    const failed = view.tree.count("failed");
    const { status } = view.run;
    const urgent = failed > last.current.failed || status !== last.current.status;
    if (!urgent && performance.now() - last.current.at < INTERVAL) return;
    last.current = { at: performance.now(), failed, status };
    setSentence(progressSentence(view));
  });
  return (
    <div class="rn-hidden" role="status">
      {sentence}
    </div>
  );
}
