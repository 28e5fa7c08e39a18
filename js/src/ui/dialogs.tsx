/** The dialog that is open, if one is. */
import { asksForTools } from "../store/display";
import type { View } from "../store/view";
import { ApproveDialog } from "./approve_dialog";
import { ApproveToolsDialog } from "./approve_tools_dialog";
import { EditDialog } from "./edit_dialog";
import { HelpDialog } from "./help_dialog";

export function Dialogs({ view }: { view: View }) {
  const dialog = view.dialog.value;
  if (!dialog) return null;
  if (dialog.kind === "help") return <HelpDialog view={view} />;
  const node = view.tree.node(dialog.id);
  if (!node) return null;
  if (dialog.kind === "edit") return <EditDialog view={view} node={node} />;
  return asksForTools(node) ? <ApproveToolsDialog view={view} node={node} /> : <ApproveDialog view={view} node={node} />;
}
