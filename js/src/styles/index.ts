/** All styles, in the order in which they may override each other. */
import base from "./base.css?inline";
import details from "./details.css?inline";
import dialogs from "./dialogs.css?inline";
import flame from "./flame.css?inline";
import footer from "./footer.css?inline";
import header from "./header.css?inline";
import markdown from "./markdown.css?inline";
import narrow from "./narrow.css?inline";
import preferences from "./preferences.css?inline";
import states from "./states.css?inline";
import timeline from "./timeline.css?inline";
import toolbar from "./toolbar.css?inline";
import tree from "./tree.css?inline";

const PARTS = [base, header, toolbar, states, tree, timeline, flame, details, markdown, dialogs, footer, narrow, preferences];

export default PARTS.join("\n");
