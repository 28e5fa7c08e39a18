/** Buttons that send commands to the kernel; the button itself responds to a click immediately. */
import type { Command } from "../store/commands";
import type { View } from "../store/view";
import { Icon, type IconName } from "./icons";

export interface CommandButtonProperties {
  readonly view: View;
  readonly command: Command;
  readonly label: string;
  /** The label until the kernel has answered. */
  readonly busyLabel: string;
  readonly icon: IconName;
  readonly look?: "danger" | "primary";
  /** What pressing it does, where the label alone does not say. */
  readonly hint?: string;
}

/** A disabled button stays focusable, so that the focus is not lost. */
export function CommandButton({ view, command, label, busyLabel, icon, look, hint }: CommandButtonProperties) {
  const busy = view.store.commands.isPending(command);
  const { obstacle } = view;
  const press = (): void => {
    if (!busy && obstacle === "") void view.store.commands.run(command);
  };
  return (
    <button
      type="button"
      class={`rn-button${look ? ` rn-${look}` : ""}`}
      aria-disabled={busy || obstacle !== ""}
      aria-busy={busy}
      title={obstacle || hint}
      onClick={press}
    >
      {busy ? <Icon name="running" turning /> : <Icon name={icon} />}
      {busy ? busyLabel : label}
    </button>
  );
}
