/** Search, filters by state, and the switch of the critical path. */
import type { RefObject } from "preact";
import { STATE_GROUPS, type StateGroup } from "../store/display";
import { MODES, type Mode, type View } from "../store/view";
import { focusActiveRow } from "./grid_scroll";
import { Icon, StateIcon } from "./icons";

function Search({ view, input }: { view: View; input: RefObject<HTMLInputElement | null> }) {
  const leave = (event: KeyboardEvent & { currentTarget: HTMLElement }): void => {
    const { key } = event;
    if (key !== "Escape" && key !== "ArrowDown" && key !== "Enter") return;
    event.preventDefault();
    if (key === "Escape") view.setQuery("");
    focusActiveRow(event.currentTarget);
  };
  return (
    <label class="rn-search">
      <Icon name="search" />
      <input
        ref={input}
        type="text"
        dir="auto"
        placeholder="Search titles, outputs, prompts, ids"
        title="Words in any order; &quot;quoted words&quot; belong together; [0.2] is a node"
        aria-label="Search nodes"
        value={view.query.value}
        onInput={(event) => view.setQuery(event.currentTarget.value)}
        onKeyDown={leave}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}

/** How many tasks were found, and where. Prompts repeat the tasks above them, so they are shown on request. */
function Found({ view }: { view: View }) {
  if (view.words.value.length === 0) return null;
  const { own, prompt } = view.found.value;
  const status = view.search.status.value;
  const shown = view.filter.value.prompts;
  const more = status === "asking" ? "…" : status === "unanswered" ? " in titles; the kernel does not answer" : "";
  return (
    <>
      <span class="rn-found" role="status">
        <b>{shown ? own + prompt : own}</b> found{more}
      </span>
      {own > 0 && prompt > 0 && (
        <button type="button" class="rn-filter" aria-pressed={shown} onClick={() => (view.showsPrompts.value = !shown)}>
          in prompts <b>{prompt}</b>
        </button>
      )}
    </>
  );
}

function Chip({ view, group, count }: { view: View; group: StateGroup; count: number }) {
  const pressed = group.states.every((state) => view.states.value.has(state));
  return (
    <button
      type="button"
      class={`rn-filter rn-filter-${group.icon}`}
      aria-pressed={pressed}
      title={`Show only ${group.name} nodes`}
      onClick={() => view.toggleStates(group.states)}
    >
      <StateIcon state={group.icon} size={13} />
      <span>{group.name}</span> <b>{count}</b>
    </button>
  );
}

function Chips({ view }: { view: View }) {
  const { tree } = view;
  return (
    <div class="rn-filters" role="group" aria-label="Filter by state">
      {STATE_GROUPS.map((group) => {
        const count = group.states.reduce((sum, state) => sum + tree.count(state), 0);
        return count > 0 ? <Chip key={group.name} view={view} group={group} count={count} /> : null;
      })}
    </div>
  );
}

function CriticalToggle({ view }: { view: View }) {
  const shown = view.showsCriticalPath.value;
  const toggle = (): void => {
    view.touch();
    view.showsCriticalPath.value = !shown;
  };
  return (
    <button type="button" class="rn-toggle" aria-pressed={shown} onClick={toggle} title="What decided how long the run takes (c)">
      <Icon name="path" />
      <span>Critical path</span>
    </button>
  );
}

const MODE_NAMES: Record<Mode, string> = { tree: "Tree", flame: "Flame", compare: "Compare" };

function Modes({ view }: { view: View }) {
  const choose = (mode: Mode): void => {
    view.touch();
    view.mode.value = mode;
  };
  // A copy without a kernel knows of no other run.
  const modes = MODES.filter((mode) => mode !== "compare" || !view.run.readonly);
  return (
    <div class="rn-modes" role="group" aria-label="Shown as">
      {modes.map((mode) => (
        <button type="button" aria-pressed={view.mode.value === mode} onClick={() => choose(mode)}>
          {MODE_NAMES[mode]}
        </button>
      ))}
    </div>
  );
}

export function Toolbar({ view, input }: { view: View; input: RefObject<HTMLInputElement | null> }) {
  return (
    <div class="rn-toolbar">
      <Search view={view} input={input} />
      <Found view={view} />
      <Chips view={view} />
      <span class="rn-space" />
      <CriticalToggle view={view} />
      <Modes view={view} />
    </div>
  );
}
