/** Search, filters by state, and the switch of the critical path. */
import type { RefObject } from "preact";
import { STATE_GROUPS, type StateGroup } from "../store/display";
import type { View } from "../store/view";
import { Icon, StateIcon } from "./icons";

function Search({ view, input }: { view: View; input: RefObject<HTMLInputElement | null> }) {
  const leave = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    view.query.value = "";
    input.current?.blur();
  };
  const search = (text: string): void => {
    view.touch();
    view.query.value = text;
  };
  return (
    <label class="rn-search">
      <Icon name="search" />
      <input
        ref={input}
        type="text"
        placeholder="Search tasks…"
        aria-label="Search tasks"
        value={view.query.value}
        onInput={(event) => search(event.currentTarget.value)}
        onKeyDown={leave}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}

function Chip({ view, group, count }: { view: View; group: StateGroup; count: number }) {
  const pressed = group.states.every((state) => view.states.value.has(state));
  return (
    <button
      type="button"
      class={`rn-filter rn-filter-${group.icon}`}
      aria-pressed={pressed}
      title={`Show only ${group.name} tasks`}
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

function Modes({ view }: { view: View }) {
  const choose = (mode: "tree" | "flame"): void => {
    view.touch();
    view.mode.value = mode;
  };
  return (
    <div class="rn-modes" role="group" aria-label="Shown as">
      {(["tree", "flame"] as const).map((mode) => (
        <button type="button" aria-pressed={view.mode.value === mode} onClick={() => choose(mode)}>
          {mode === "tree" ? "Tree" : "Flame"}
        </button>
      ))}
    </div>
  );
}

export function Toolbar({ view, input }: { view: View; input: RefObject<HTMLInputElement | null> }) {
  return (
    <div class="rn-toolbar">
      <Search view={view} input={input} />
      <Chips view={view} />
      <span class="rn-space" />
      <CriticalToggle view={view} />
      <Modes view={view} />
    </div>
  );
}
