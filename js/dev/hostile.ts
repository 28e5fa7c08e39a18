/** Text as a hostile web page could make a model repeat it. */
export const HOSTILE_TEXT = [
  `<img src=x onerror="window.broken=true">`,
  `<script>window.broken=true</script>`,
  `[click](javascript:window.broken=true)`,
  `[click](JaVaScRiPt&colon;window.broken=true)`,
  `[click](data:text/html,<script>window.broken=true</script>)`,
  `![tracker](https://tracker.invalid/pixel.png)`,
  `<iframe srcdoc="<script>parent.broken=true</script>"></iframe>`,
  `</style><svg onload="window.broken=true">`,
  `<a href="javascript:window.broken=true">raw</a>`,
  `&lt;img src=x onerror=window.broken=true&gt;`,
  `[ref]: javascript:window.broken=true`,
  `[ref]`,
  `<javascript:window.broken=true>`,
  "```\n</code></pre><script>window.broken=true</script>\n```",
].join("\n\n");
