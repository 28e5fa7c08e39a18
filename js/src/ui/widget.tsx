/** The whole widget of one view. */
import { useEffect, useRef } from "preact/hooks";
import type { Signal } from "@preact/signals-core";
import type { View } from "../store/view";
import { Announcer } from "./announcer";
import { Details } from "./details";
import { Flame } from "./flame";
import { Footer } from "./footer";
import { clip } from "./format";
import { FormulaContext } from "./formulas";
import { useFullScreen } from "./full_screen";
import { Grid } from "./grid";
import { HEADER_HEIGHT } from "./grid_header";
import { Alerts, Banners } from "./banners";
import { Dialogs } from "./dialogs";
import { Header } from "./header";
import { useKeepFocus } from "./keep_focus";
import { PLAIN_SETTING, TextContext } from "./linked_text";
import { ROW_HEIGHT } from "./row";
import type { Host, Theme } from "./theme";
import { Toolbar } from "./toolbar";

export interface Appearance {
  readonly theme: Theme;
  readonly host: Host;
}

export interface WidgetProperties {
  readonly view: View;
  readonly appearance: Signal<Appearance>;
  /** Pixels; the main area is lower when there are few rows. */
  readonly height: Signal<number>;
}

/** Room below the last row, for a scroll bar. */
const BOTTOM_MARGIN = 12;
const LEAST_ROWS = 3;
const COMPARED_ROWS = 14;
const DETAILS_HEIGHT = 420;
/** Of details that take the place of the tree. */
const READING_HEIGHT = 620;

/** Two runs side by side: a part of its own, which asks the kernel for the other run. */
function Comparison({ view }: { view: View }) {
  const part = view.store.parts.read("compare");
  useEffect(() => view.store.parts.request("compare"), []);
  return <div class="rn-compare">{part ? <part.Compare view={view} /> : <p class="rn-nothing">Loading…</p>}</div>;
}

function Main({ view, appearance, height }: WidgetProperties) {
  const input = useRef<HTMLInputElement>(null);
  const hasDetails = view.selected.value !== null;
  // A search leaves the page as high as it was, with room to say that nothing was found.
  const count = view.words.value.length > 0 ? Math.max(view.tree.size, LEAST_ROWS) : view.rows.value.length;
  const isComparing = view.mode.value === "compare";
  const rows = (isComparing ? Math.max(count, COMPARED_ROWS) : count) * ROW_HEIGHT + HEADER_HEIGHT + BOTTOM_MARGIN;
  // On a page of its own nothing follows that the answer would push away.
  const room = view.paneIsWhole.value ? READING_HEIGHT : DETAILS_HEIGHT;
  const wanted = hasDetails ? Math.max(rows, view.run.readonly ? height.value : room) : rows;
  const most = hasDetails && view.paneIsWhole.value ? Math.max(height.value, READING_HEIGHT) : height.value;
  return (
    <>
      <Toolbar view={view} input={input} />
      <div
        class={`rn-main${hasDetails ? " rn-with-details" : ""}${hasDetails && view.paneIsWhole.value ? " rn-whole" : ""}`}
        style={{ "--rn-height": `${Math.min(wanted, most)}px`, "--rn-pane": view.paneWidth.value === null ? undefined : `${view.paneWidth.value}px` }}
      >
        {view.mode.value === "compare" ? (
          <Comparison view={view} />
        ) : view.mode.value === "tree" ? (
          <Grid view={view} theme={appearance.value.theme} focusSearch={() => input.current?.focus()} />
        ) : (
          <Flame view={view} theme={appearance.value.theme} />
        )}
        <Details view={view} />
      </div>
      <Footer view={view} />
    </>
  );
}

/** Keys must not reach the notebook, where single letters delete cells. */
const keepKeys = (event: KeyboardEvent): void => event.stopPropagation();

/** Notebook 7 handles keys before the widget, and only checks the focused element for an opt-out. */
const claimKeys = ({ target }: FocusEvent): void => {
  if (target instanceof Element) target.setAttribute("data-lm-suppress-shortcuts", "true");
};

export function Widget(properties: WidgetProperties) {
  const { view, appearance } = properties;
  const root = useRef<HTMLElement>(null);
  useKeepFocus(root);
  useFullScreen(view, root);
  const { run } = view;
  const { theme, host } = appearance.value;
  return (
    <section
      class={`rn${view.fullScreen.value ? " rn-full" : ""}`}
      ref={root}
      data-theme={theme}
      data-host={host}
      data-run-id={run.run_id}
      data-status={view.store.client.hasState ? run.status : "loading"}
      data-silent={view.store.client.isSilent || undefined}
      data-lm-suppress-shortcuts="true"
      aria-label={`${view.mode.value === "compare" ? "Comparison" : "Recursive run"}: ${clip(run.title, 80)} ${run.run_id.slice(0, 8)}`}
      onKeyDown={keepKeys}
      onFocusIn={claimKeys}
    >
      <TextContext.Provider value={view.textSetting.value}>
        <FormulaContext.Provider value={view.formulas.value}>
          <Header view={view} />
          <Alerts view={view} />
          <Banners view={view} />
          {!view.collapsed.value && <Main {...properties} />}
          <Announcer view={view} />
          <TextContext.Provider value={PLAIN_SETTING}>
            <Dialogs view={view} />
          </TextContext.Provider>
        </FormulaContext.Provider>
      </TextContext.Provider>
    </section>
  );
}
