/** What the keys do and what the pictures mean. */
import type { PhaseKind } from "../protocol/messages";
import type { DisplayState } from "../store/display";
import type { View } from "../store/view";
import { Dialog } from "./dialog";
import { StateIcon } from "./icons";

const KEYS: readonly (readonly [keys: string, meaning: string])[] = [
  ["↑ ↓", "previous and next node"],
  ["→", "open the branch, then go into it"],
  ["←", "close the branch, then go up"],
  ["Home End PgUp PgDn", "first and last node, a page up or down"],
  ["* ", "open all branches of this level"],
  ["Enter", "details of the node"],
  ["a b c …", "go to the next node that begins so"],
  ["/", "search"],
  ["[ ]", "previous and next failure"],
  ["c", "critical path on or off"],
  ["?", "this help"],
  ["Esc", "close the details, clear the search"],
];

const STATES: readonly (readonly [DisplayState, string])[] = [
  ["pending", "not started"],
  ["planning", "deciding whether to split"],
  ["running", "being answered"],
  ["waiting", "waiting for its sub-tasks"],
  ["synthesizing", "synthesising the results of its sub-tasks"],
  ["done", "done"],
  ["reused", "reused from the run's file, at no cost"],
  ["cached", "from a cache, at no cost"],
  ["edited", "its result was written by a person"],
  ["failed", "failed"],
  ["cancelled", "cancelled"],
  ["superseded", "superseded by another plan"],
];

const PHASES: readonly (readonly [PhaseKind, string])[] = [
  ["plan", "plan"],
  ["wait", "wait"],
  ["execute", "execute"],
  ["synthesize", "synthesise"],
  ["failed", "failed attempt"],
  ["replayed", "reused"],
];

export function HelpDialog({ view }: { view: View }) {
  const close = (): void => void (view.dialog.value = null);
  return (
    <Dialog title="Reading the tree" name={`rn-help-${view.key}`} wide onClose={close}>
      <div class="rn-help">
        <section>
          <h3>Keys</h3>
          <dl>
            {KEYS.map(([keys, meaning]) => (
              <div>
                <dt>
                  {keys.trim().split(" ").map((key) => (
                    <kbd>{key}</kbd>
                  ))}
                </dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
        </section>
        <section>
          <h3>States</h3>
          <dl>
            {STATES.map(([state, meaning]) => (
              <div>
                <dt>
                  <StateIcon state={state} />
                </dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
        </section>
        <section>
          <h3>Bars</h3>
          <dl>
            {PHASES.map(([kind, meaning]) => (
              <div>
                <dt>
                  <i class={`rn-swatch rn-phase-${kind}`} />
                </dt>
                <dd>{meaning}</dd>
              </div>
            ))}
            <div>
              <dt>
                <i class="rn-swatch rn-swatch-critical" />
              </dt>
              <dd>critical path: the chain of nodes that determines the duration of the run</dd>
            </div>
          </dl>
        </section>
      </div>
    </Dialog>
  );
}
