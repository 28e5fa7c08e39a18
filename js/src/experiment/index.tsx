/**
 * The entry point for anywidget of the view of an experiment. It is a bundle of its own, which only notebooks with
 * experiments load. Under the table, the kernel shows the tree of the row that is open.
 */
import { h, render as renderInto } from "preact";
import { themeSetting, type WidgetModel } from "../model";
import { isRecord } from "../protocol/messages";
import base from "../styles/base.css?inline";
import { colorHost, detectTheme, watchTheme } from "../ui/theme";
import styles from "./experiment.css?inline";
import { Rows } from "./rows";
import { headFrom, Table } from "./table";

type Cleanup = () => void;

const HEIGHT = 340;

/** The copy in the notebook is for readers without a kernel: it is hidden as long as this view is on the page. */
function hideCopy(page: Document, id: string): Cleanup {
  const style = page.createElement("style");
  style.textContent = `[data-rlm-experiment="${CSS.escape(id)}"] { display: none !important; }`;
  page.head.append(style);
  return () => style.remove();
}

/** Milliseconds in which the tree of a row that was opened has to appear, to be scrolled to. */
const TREE_PATIENCE = 10_000;

/** Brings the tree below the table into sight, as soon as it has its rows; returns how to stop waiting for it. */
function scrollToTree(el: HTMLElement): Cleanup {
  const box = el.closest(".widget-vbox") ?? el.parentElement;
  const show = (): void => {
    const row = box?.querySelector(".rn:not(.rx) [data-node-id]");
    if (!row) return;
    stop();
    const tree = row.closest(".rn");
    // After the page has laid it out; a tree that is higher than the page begins at its top.
    requestAnimationFrame(() => tree?.scrollIntoView({ block: tree.clientHeight < innerHeight * 0.7 ? "nearest" : "start" }));
  };
  const observer = new MutationObserver(show);
  const timer = setTimeout(() => stop(), TREE_PATIENCE);
  function stop(): void {
    observer.disconnect();
    clearTimeout(timer);
  }
  if (box) observer.observe(box, { childList: true, subtree: true });
  show();
  return stop;
}

interface Connection {
  readonly rows: Rows;
  error: string;
  readonly changed: Set<Cleanup>;
  /** Called when the kernel has put the tree of a row below the table. */
  readonly opened: Set<Cleanup>;
  disconnect(): void;
}

function connect(model: WidgetModel): Connection {
  const connection: Connection = { rows: new Rows(), error: "", changed: new Set(), opened: new Set(), disconnect };
  const notify = (): void => connection.changed.forEach((each) => each());
  const onMessage = (content: unknown): void => {
    if (!isRecord(content)) return;
    const { t, rows, reset, error } = content;
    if (t === "rows") {
      if (reset === true) connection.rows.reset();
      connection.rows.add(rows);
    }
    connection.error = t === "error" ? String(error) : t === "opened" ? "" : connection.error;
    notify();
    if (t === "opened") connection.opened.forEach((each) => each());
  };
  model.on("msg:custom", onMessage);
  model.on("change:_head", notify);
  model.on("change:_open", notify);
  function disconnect(): void {
    model.off("msg:custom", onMessage);
    model.off("change:_head", notify);
    model.off("change:_open", notify);
  }
  return connection;
}

function send(model: WidgetModel, message: object): void {
  try {
    model.send(message);
  } catch (error) {
    console.warn("rlm_notebook: the kernel cannot be reached", error);
  }
}

export default function createExperiment() {
  let connection: Connection | undefined;
  return {
    initialize({ model }: { model: WidgetModel }): Cleanup {
      connection = connect(model);
      send(model, { t: "sync" });
      return () => connection?.disconnect();
    },
    render({ model, el }: { model: WidgetModel; el: HTMLElement }): Cleanup {
      connection ??= connect(model);
      const { rows, changed, opened } = connection;
      const style = document.createElement("style");
      style.textContent = base + styles;
      const mount = document.createElement("div");
      el.append(style, mount);
      const setting = themeSetting(model);
      let frame = 0;
      // Only the page on which the row was opened scrolls.
      let asked = false;
      let stopScrolling: Cleanup = () => undefined;
      const onOpened = (): void => {
        if (!asked) return;
        asked = false;
        stopScrolling = scrollToTree(el);
      };
      opened.add(onOpened);
      const draw = (): void => {
        frame = 0;
        const open = model.get("_open");
        const shown = {
          rows,
          head: headFrom(model.get("_head")),
          theme: detectTheme(el, setting),
          host: colorHost(setting),
          open: typeof open === "number" && open >= 0 ? open : null,
          error: connection?.error ?? "",
          height: HEIGHT,
          send: (message: object) => send(model, message),
          setOpen: (row: number | null) => {
            asked = row !== null;
            stopScrolling();
            send(model, { t: "open", row });
          },
        };
        renderInto(h(Table, shown), mount);
      };
      const request = (): void => {
        if (frame === 0) frame = requestAnimationFrame(draw);
      };
      changed.add(request);
      const unwatch = watchTheme(request);
      const showCopy = hideCopy(el.ownerDocument, String(model.get("_id")));
      draw();
      return () => {
        changed.delete(request);
        opened.delete(onOpened);
        stopScrolling();
        unwatch();
        showCopy();
        cancelAnimationFrame(frame);
        renderInto(null, mount);
        el.replaceChildren();
      };
    },
  };
}
