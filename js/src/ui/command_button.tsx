/** Buttons that tell the kernel something: a click is answered at once, by the button itself. */
import type { Command } from "../store/commands";
import type { View } from "../store/view";
import { Icon, type IconName } from "./icons";

export interface CommandButtonProperties {
  readonly view: View;
  readonly command: Command;
  readonly label: string;
  /** What the button says until the kernel has answered. */
  readonly busyLabel: string;
  readonly icon: IconName;
  readonly look?: "danger" | "primary";
  /** What pressing it does, where the label alone does not say. */
  readonly hint?: string;
}

/** The button stays focusable when it cannot be used: whoever is on it must not be thrown off. */
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
