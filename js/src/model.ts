/**
 * The part of anywidget's model that is used, and the store on top of it.
 */
import { isRecord, type BrowserMessage } from "./protocol/messages";
import { RunStore } from "./store/run_store";
import { MODES } from "./store/view";
import type { ThemeSetting } from "./ui/theme";

export interface WidgetModel {
  get(name: string): unknown;
  on(event: string, handler: (...values: never[]) => void): void;
  off(event: string, handler: (...values: never[]) => void): void;
  send(content: unknown): void;
}

const DEFAULT_HEIGHT = 560;

export function themeSetting(model: WidgetModel): ThemeSetting {
  const theme = model.get("theme");
  return theme === "light" || theme === "dark" ? theme : "auto";
}

export function heightSetting(model: WidgetModel): number {
  const height = model.get("height");
  return typeof height === "number" && height > 0 ? height : DEFAULT_HEIGHT;
}

/** Bytes arrive as a view or, from some hosts, as a bare buffer. */
function asBytes(value: unknown): ArrayBufferView | undefined {
  if (ArrayBuffer.isView(value)) return value;
  return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
}

/** False without a kernel; the saved state is still shown. */
function sendTo(model: WidgetModel, message: BrowserMessage): boolean {
  try {
    model.send(message);
    return true;
  } catch (error) {
    console.warn("rlm_notebook: the kernel cannot be reached", error);
    return false;
  }
}

function introduce(store: RunStore, model: WidgetModel): void {
  const meta = model.get("_meta");
  if (!isRecord(meta)) return;
  const { run_id, title, opens } = meta;
  store.opens ||= MODES.find((mode) => mode === opens);
  store.introduce({
    run_id: typeof run_id === "string" ? run_id : "",
    title: typeof title === "string" ? title : "",
  });
}

export interface Connection {
  readonly store: RunStore;
  disconnect(): void;
}

/** Subscribes at once and awaits nothing: anywidget drops messages of a slow `initialize`. */
export function connect(model: WidgetModel): Connection {
  const store = new RunStore({
    send: (message) => sendTo(model, message),
    now: () => performance.now(),
    schedule: (delay, action) => void setTimeout(action, delay),
  });
  const onMessage = (content: unknown, buffers: readonly unknown[] = []): void =>
    store.receive(content, buffers.map(asBytes).filter((bytes) => bytes !== undefined));
  const onSnapshot = (): void => void store.receiveSnapshot(asBytes(model.get("_snap")));
  const onMeta = (): void => introduce(store, model);
  model.on("msg:custom", onMessage);
  model.on("change:_snap", onSnapshot);
  model.on("change:_meta", onMeta);
  onMeta();
  onSnapshot();
  return {
    store,
    disconnect: () => {
      model.off("msg:custom", onMessage);
      model.off("change:_snap", onSnapshot);
      model.off("change:_meta", onMeta);
    },
  };
}
