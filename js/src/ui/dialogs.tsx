/** The dialog that is open, if one is. */
import type { View } from "../store/view";
import { ApproveDialog } from "./approve_dialog";
import { EditDialog } from "./edit_dialog";
import { HelpDialog } from "./help_dialog";

export function Dialogs({ view }: { view: View }) {
  const dialog = view.dialog.value;
  if (!dialog) return null;
  if (dialog.kind === "help") return <HelpDialog view={view} />;
  const node = view.tree.node(dialog.id);
  if (!node) return null;
  return dialog.kind === "edit" ? <EditDialog view={view} node={node} /> : <ApproveDialog view={view} node={node} />;
}
