/** The dialog that is open, if one is. Those that command the kernel are a part of the widget that it sends. */
import { useEffect } from "preact/hooks";
import type { View } from "../store/view";
import { HelpDialog } from "./help_dialog";

export function Dialogs({ view }: { view: View }) {
  const dialog = view.dialog.value;
  if (!dialog) return null;
  return dialog.kind === "help" ? <HelpDialog view={view} /> : <CommandDialogs view={view} />;
}

function CommandDialogs({ view }: { view: View }) {
  const { parts, commands } = view.store;
  const part = parts.read("dialogs");
  useEffect(() => {
    parts.request("dialogs", () => {
      view.dialog.value = null;
      commands.error.value = "The kernel that holds this run does not answer. Run the cell again to continue.";
    });
  }, []);
  const dialog = view.dialog.value;
  if (!part || !dialog || dialog.kind === "help") return null;
  const node = view.tree.node(dialog.id);
  return node ? <part.CommandDialog view={view} dialog={dialog} node={node} /> : null;
}
