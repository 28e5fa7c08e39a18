/**
 * The entry point for anywidget. The default export is called once per model, so that each widget
 * on a page has a store of its own, which all views of that widget share.
 */
import { computed, effect, signal } from "@preact/signals-core";
import { h, render as renderInto } from "preact";
import { connect, heightSetting, themeSetting, type Connection, type WidgetModel } from "./model";
import { Painter } from "./painter";
import { hideStaticCopy, isExported, watchStaticCopy } from "./static_copy";
import type { RunStore } from "./store/run_store";
import { View } from "./store/view";
import styles from "./styles";
import { rowsThatFit } from "./ui/grid";
import { colorHost, detectTheme, watchTheme } from "./ui/theme";
import { Widget, type Appearance } from "./ui/widget";

type Cleanup = () => void;

/** The style sheet travels with the element: a view may be moved into another root at any time. */
function addStyles(element: HTMLElement): void {
  const style = document.createElement("style");
  style.textContent = styles;
  element.append(style);
}

/** The element that is drawn in; what the host may put beside it is left alone. */
function addMount(element: HTMLElement): HTMLElement {
  const mount = document.createElement("div");
  element.append(mount);
  return mount;
}

function appearanceOf(model: WidgetModel, element: Element): Appearance {
  const setting = themeSetting(model);
  return { theme: detectTheme(element, setting), host: colorHost(setting) };
}

/** Keeps theme and height as the model and the page have them. */
function followSettings(model: WidgetModel, element: HTMLElement) {
  const appearance = signal(appearanceOf(model, element));
  const height = signal(heightSetting(model));
  const updateAppearance = (): void => {
    const next = appearanceOf(model, element);
    const { theme, host } = appearance.peek();
    if (next.theme !== theme || next.host !== host) appearance.value = next;
  };
  const updateHeight = (): void => void (height.value = heightSetting(model));
  const unwatch = watchTheme(updateAppearance);
  model.on("change:theme", updateAppearance);
  model.on("change:height", updateHeight);
  const stop = (): void => {
    unwatch();
    model.off("change:theme", updateAppearance);
    model.off("change:height", updateHeight);
  };
  return { appearance, height, updateAppearance, stop };
}

function mountView(store: RunStore, model: WidgetModel, element: HTMLElement): Cleanup {
  addStyles(element);
  const mount = addMount(element);
  const { appearance, height, updateAppearance, stop } = followSettings(model, element);
  const view = new View(store, computed(() => rowsThatFit(height.value)));
  // Rendering goes through all components at once, so whatever signal one reads draws everything
  // again; unchanged rows are skipped (see `memo`).
  const stopDrawing = effect(() => renderInto(h(Widget, { view, appearance, height }), mount));
  const painter = new Painter({
    element: mount,
    draw: () => view.draw(),
    isMoving: () => (store.run.elapsed === null && !store.run.readonly) || view.isBehind,
    shown: updateAppearance,
  });
  const unlisten = store.listen(painter.request);
  const showStaticCopy = effect(() => hideStaticCopy(element.ownerDocument, view.runId.value));
  const unwatchStaticCopy = watchStaticCopy(element, () => store.run, (isElsewhere) => view.setElsewhere(isElsewhere));
  store.client.start();
  return () => {
    unwatchStaticCopy();
    unlisten();
    painter.stop();
    stopDrawing();
    showStaticCopy();
    stop();
    store.subscribe(view, []);
    renderInto(null, mount);
    element.replaceChildren();
  };
}

export default function createWidget() {
  let connection: Connection | undefined;
  return {
    initialize({ model }: { model: WidgetModel }): Cleanup {
      connection = connect(model);
      return () => connection?.disconnect();
    },
    render({ model, el }: { model: WidgetModel; el: HTMLElement }): Cleanup {
      connection ??= connect(model);
      if (isExported(el.ownerDocument, connection.store.run.run_id)) return () => undefined;
      return mountView(connection.store, model, el);
    },
  };
}
