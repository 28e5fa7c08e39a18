/** The dialogs that command the kernel: without one there is nothing to edit or approve, so it sends them, too. */
import type { TreeNode } from "../protocol/messages";
import { asksForTools } from "../store/display";
import type { OpenDialog, View } from "../store/view";
import { ApproveDialog } from "../ui/approve_dialog";
import { ApproveToolsDialog } from "../ui/approve_tools_dialog";
import { EditDialog } from "../ui/edit_dialog";

export function CommandDialog({ view, dialog, node }: { view: View; dialog: OpenDialog; node: TreeNode }) {
  if (dialog.kind === "edit") return <EditDialog view={view} node={node} />;
  return asksForTools(node) ? <ApproveToolsDialog view={view} node={node} /> : <ApproveDialog view={view} node={node} />;
}
